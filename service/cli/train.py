"""``autotier train``: from the champion in use and the labels of the log, or from scratch, to an artifact folder."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from classifier import ArtifactError
from service.errors import AutotierError, StoreError, StoreProblem

if TYPE_CHECKING:
    from training.logged_labels import LoggedLabel
    from training.promotion import Versions
    from training.public_sets import PublicSet
    from training.retrain import Retrained

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class TrainingFailed(AutotierError):
    """Training stopped: data are missing, malformed, or hold what they must not."""


def _jobs(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value == 0:
        raise click.BadParameter("0 fits at once are none; write 1 or more, or -1 for one for each core")
    return value


def _name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A part of a folder's name, so that what is written stays among the versions."""
    if value is not None and not NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r}; use letters and digits, and . _ - after the first")
    return value


def _public(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> list[PublicSet]:
    """What `--public` names; only who names something pays for the import."""
    if not value:
        return []
    from training.dataset import DatasetError
    from training.public_sets import PublicSet

    try:
        return [PublicSet.of(text) for text in value]
    except DatasetError as error:
        raise click.UsageError(str(error)) from error


@click.command("train")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder to write; default: among the versions.")
@click.option(
    "-c", "--config", envvar="AUTOTIER_CONFIG", type=click.Path(path_type=Path),
    help="Configuration with the champion, the store and the versions.",
)  # fmt: skip
@click.option("--store", metavar="URL", help="Store of the labels instead of the configuration's.")
@click.option("--data", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Base data; default: ours.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--full", is_flag=True, help="All labels again, from the configured artifact; else what is new since.")
@click.option(
    "--jobs", type=int, default=1, show_default=True, callback=_jobs,
    help="Fits at once (joblib); -1 is one for each core.",
)  # fmt: skip
@click.option("--from-scratch", is_flag=True, help="Take no weights and no labels: the recipe of the shipped artifact.")
@click.option("--corpora", type=click.Path(path_type=Path, exists=True, file_okay=False), help="With --from-scratch.")
@click.option(
    "--public", metavar="NAME:FIELD:TIER", multiple=True, callback=_public,
    help="With --from-scratch: the first 1,000 rows of a set on the hub, or of a local folder, train too (datasets).",
)  # fmt: skip
@click.option("--deep", is_flag=True, help="Refit the transformer too: torch, and labels with stored text (minutes).")
@click.option(
    "--embedding", metavar="NAME",
    help="Add the vectors of this entry of classifier.embeddings, if they earn their place beside the stages.",
)  # fmt: skip
@click.option("--name", callback=_name, help="Name of the artifact; default: tuned, or champion with --from-scratch.")
def command(
    out: Path | None, config: Path | None, store: str | None, full: bool, jobs: int, from_scratch: bool, **options: Any
) -> None:
    """Learn from the corrections in the log, starting from the champion; `autotier promote` then decides.

    The second stage's transformer stays the champion's but for --deep; --from-scratch fits everything anew.
    """
    if from_scratch:
        if out is None:
            raise click.UsageError("--from-scratch needs --out FOLDER")
        if options.pop("embedding") is not None:
            raise click.UsageError("--embedding joins a champion: train --from-scratch first, then --embedding")
        _from_scratch(out, **options)
        return
    if options["corpora"] is not None:
        raise click.UsageError("--corpora needs --from-scratch: what was learnt from corpora is in the champion")
    if options["public"]:
        raise click.UsageError("--public needs --from-scratch: a champion learns from the labels of the log")
    from training.dataset import DatasetError

    try:
        _retrain(out, config, store, full, jobs, options)
    except (DatasetError, ArtifactError) as error:
        raise TrainingFailed(str(error)) from error


def _retrain(
    out: Path | None, config: Path | None, store: str | None, full: bool, jobs: int, options: dict[str, Any]
) -> None:
    from joblib import parallel_config

    from service.cli.versions import versions_of
    from training.retrain import Plan, run

    own, versions = versions_of(config)
    folder = out or versions.folder / f".training.{os.getpid()}"
    plan = Plan(
        versions.champion(), folder, versions.configured, full, options["data"], versions.folder / "cache",
        options["seed"], options["name"] or "tuned", versions=versions.folder, deep=options["deep"],
    )  # fmt: skip
    name, also = options["embedding"], {}
    with ExitStack() as stack, parallel_config(n_jobs=jobs), steps() as step:
        if out is None:  # what is finished lies elsewhere by then
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        found = stack.enter_context(labels(config, store, texts=plan.deep or name is not None))
        if name is not None:
            from service.cli.embedding import in_the_house, wanted

            embedding, is_local = stack.enter_context(
                wanted(config, name, versions.folder / "cache", own.classifier.stages)
            )
            found, also = found if is_local else in_the_house(found), {"also": embedding.add}
        result = run(plan, found, say=lambda line: click.echo(line, err=True), step=step, **also)
        path = result.path if out is not None else _placed(versions, result)
    from training.older_schema import keep
    from training.promotion import TRAINED

    keep(plan.champion, versions.folder)
    versions.record(TRAINED, result.id, now=datetime.now(UTC), path=str(path.resolve()), parent=result.report["parent"])
    for line in shown(result):
        click.echo(line)
    click.echo(f"{result.id}: {path}")


def _placed(versions: Versions, result: Retrained) -> Path:
    """A finished folder under its id, among the versions."""
    target = versions.folder / result.id
    if target.is_dir():  # the same labels and seed: the same bytes
        shutil.rmtree(result.path)
    else:
        os.replace(result.path, target)
    return target


@contextmanager
def labels(config: Path | None, store: str | None, *, texts: bool = False) -> Iterator[Iterator[LoggedLabel]]:
    """The labels of the log, with stored texts where asked; none where there is no store yet.

    Raises:
        ConfigurationError: The configuration cannot be read.
        StoreError: The store is there and cannot be read.
    """
    from service.cli.learning import labels_of
    from service.cli.log import opened

    with_store = opened(config, store)
    try:
        records = with_store.__enter__()
    except StoreError as error:
        if error.problem is not StoreProblem.MISSING:
            raise
        click.echo(f"no labels: {error}", err=True)
        yield iter(())
        return
    try:
        yield labels_of(records, config).labels(texts=texts)
    finally:
        with_store.__exit__(None, None, None)


@contextmanager
def steps(label: str = "fits") -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; another one each time that the count starts again."""
    with ExitStack() as open_bar:
        bar: Any = None
        shown = 100

        def step(done: int, of: int) -> None:
            nonlocal bar, shown
            now = 100 * done // of
            if now < shown or bar is None:
                open_bar.close()
                bar, shown = open_bar.enter_context(click.progressbar(length=100, label=label, file=sys.stderr)), 0
            bar.update(now - shown)
            shown = now

        yield step


def shown(result: Retrained) -> Iterator[str]:
    """What changed, for people."""
    report = result.report
    found = report["labels"]
    yield f"parent     {report['parent']}, {report['mode']}"
    sources = ", ".join(
        f"{n} {name} (weight {found['weight_by_source'][name]:g})" for name, n in found["by_source"].items()
    )
    yield f"labels     {found['used']} used of {found['read']}" + (f": {sources}" if sources else "")
    if found["read"]:
        yield "           " + ", ".join(f"{tier} {number}" for tier, number in found["by_tier"].items())
        callers = list(found["by_caller"].items())[:8]
        yield "callers    " + ", ".join(f"{''.join(c for c in n if c.isprintable())} {k}" for n, k in callers)
    if "second_stage" in report:
        deep = report["second_stage"]
        yield (
            f"refitted   second stage on {deep['labels']} labels with text, held by {deep['base']} base rows; log-odds "
            f"of what it had not seen moved by {deep['moved']:.2f}"
        )
    yield from _strengths(report.get("strengths", ()))
    if "strength" in report:
        base, moved = report["base"], report["moved"]
        yield (
            f"moved      {moved['hashed_columns']} word and character columns by {moved['hashed_length']:.1%} of their "
            f"length, structure by {moved['structure_length']:.1%}"
        )
        yield (
            f"agreement  {base['agreement']:.1%} with its parent on held-out base requests, right "
            f"{base['accuracy_before']:.1%} to {base['accuracy']:.1%}"
        )
    for note in result.notes:
        yield f"note       {note}"


def _strengths(tried: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each strength with what it brought and cost where rows were held out, and which was taken."""
    if not tried:
        return
    yield "strengths  held out: change of log loss (less is better) and of right answers; * is taken"
    yield "             prior  base rows' weight   labels   base rows   right  worst tier"
    for one in tried:
        why = f"too far: base rows lose {', '.join(one['too_far'])}" if one["too_far"] else ""
        if one["chosen"]:
            why = f"the weakest, yet {why}" if why else "the best on labels that spares base rows"
        yield (
            f"           {'*' if one['chosen'] else ' '} {one['penalty']:>5g} {one['anchor']:>18g}"
            f"   {-one['labels_gain']:+.3f}     {one['base_loss']:+.4f}  {one['base_right']:+6.1%}"
            f"  {one['worst_tier_right']:+10.1%}  {why}"
        ).rstrip()


def _from_scratch(
    out: Path, *, corpora: Path | None, data: Path | None, seed: int, deep: bool, name: str | None,
    public: list[PublicSet],
) -> None:  # fmt: skip
    import importlib.util

    from training.dataset import DatasetError
    from training.leak import LeakError
    from training.train import run

    missing = [p for p in ("torch", "onnx", "tokenizers") if importlib.util.find_spec(p) is None]
    if deep and missing:
        raise TrainingFailed(f"--deep needs {', '.join(missing)}: install them, or leave --deep out")
    try:
        result = run(
            out=out, corpora=corpora, data=data, seed=seed, from_scratch=True, name=name or "champion",
            deep=True if deep else None, public=public, say=lambda line: click.echo(line, err=True),
        )  # fmt: skip
    except (DatasetError, LeakError) as error:
        raise TrainingFailed(str(error)) from error
    click.echo(f"{result.path}: {result.rows} rows")
    for note in result.notes:
        click.echo(note, err=True)
