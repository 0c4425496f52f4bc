"""``autotier cache evaluate``: what guard and embedding would serve of labelled pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


@click.command("evaluate")
@click.option("-c", "--config", envvar="AUTOTIER_CONFIG", type=click.Path(path_type=Path), help="Whose embedding.")
@click.option("--pairs", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Other pairs (.jsonl.gz).")
@click.option("--error", type=click.FloatRange(0, 0.5, min_open=True), default=0.005, show_default=True)
@click.option("--write", type=click.Path(dir_okay=False, path_type=Path), help="Write the evidence to this file.")
@click.option("--language", multiple=True, help="Only these languages.")
@click.option("--public", help="Measure a public paraphrase set instead: its name for `datasets`, or a local folder.")
@click.option("--columns", default="sentence1,sentence2,label", show_default=True, help="Its columns.")
@click.option("--split", default="test", show_default=True, help="Its split.")
@click.option("--subset", help="Its configuration, if it has several.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Most of its rows.")
def command(
    config: Path | None,
    pairs: Path | None,
    error: float,
    write: Path | None,
    language: tuple[str, ...],
    public: str | None,
    columns: str,
    split: str,
    subset: str | None,
    limit: int,
) -> None:
    """Measure the guard on labelled pairs, with the configured embedding model or the one on this machine."""
    from service.cache import evaluation
    from service.cache.evidence import written

    model, embed = _embedding(config)
    if public is not None:
        names = tuple(columns.split(","))
        if len(names) != 3 or len(language) > 1:
            raise click.ClickException("--columns takes three names, and a public set has one --language")
        spoken = language[0] if language else "en"
        click.echo("\n".join(_public(model, embed, error, (public, spoken, names, split, subset, limit))))
        return
    found = [pair for pair in evaluation.pairs(pairs) if not language or pair.lang in language]
    if not found:
        raise click.ClickException(f"no pairs{' in ' + ', '.join(language) if language else ''}: nothing to measure")
    rows = evaluation.measure(found, embed, error)
    click.echo(f"{model}, {len(found)} pairs, error {error:g}\n")
    click.echo("\n".join(evaluation.table(rows)))
    if write is not None:
        write.write_text(written(model, {row.language: row.evidence for row in rows}), encoding="utf-8")


def _embedding(config: Path | None) -> tuple[str, Callable[[list[str]], Any]]:
    """Name of the embedding model, and what embeds with it."""
    from service.cache.local_model import NAME, LocalModel, installed

    if config is not None:
        from service.config.load import load_configuration

        configuration = load_configuration(config)
        settings = configuration.cache.semantic.embedding
        if settings is not None and settings.host is not None:
            return settings.model, _at_host(configuration, settings)
    if not installed():
        raise click.ClickException("no model here: pip install 'autotier[cache-local]', or name a host with -c")
    return NAME, LocalModel().embed


def _at_host(configuration: Any, settings: Any) -> Callable[[list[str]], Any]:
    import asyncio

    import numpy as np

    from service.upstream.embedding import HostEmbedder

    async def every(texts: list[str]) -> Any:
        embedder = HostEmbedder(configuration, settings)
        try:
            vectors = np.stack([await embedder.embed(text) for text in texts])
        finally:
            await embedder.close()
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    return lambda texts: asyncio.run(every(texts))


def _public(
    model: str,
    embed: Callable[[list[str]], Any],
    error: float,
    wanted: tuple[str, str, tuple[str, ...], str, str | None, int],
) -> list[str]:
    """Lines on a public set, at the threshold that the shipped evidence of the model gives for its language."""
    from service.cache.evidence import SHIPPED, read, thresholds
    from service.cache.public_pairs import PublicSetError, measure_public, read_public

    name, language, (first, second, label), split, subset, limit = wanted
    cosine = thresholds(read(model, SHIPPED), error).get(language)
    if cosine is None:
        raise click.ClickException(f"{model} is off in {language!r}: there is no threshold to measure at")
    try:
        rows = read_public(
            name, language=language, columns=(first, second, label), split=split, config=subset, limit=limit
        )
    except PublicSetError as problem:
        raise click.ClickException(str(problem)) from None
    return [f"{model}, {len(rows)} pairs of {name}", *measure_public(rows, embed, cosine).shown()]
