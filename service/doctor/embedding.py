"""Embedding models of the classifier: do they answer, how fast, and are they those of the artifact's training?"""

from __future__ import annotations

import asyncio
import time

import aiohttp

from classifier import ArtifactError
from classifier.artifact import load_artifact, shipped_path
from classifier.embedding import EmbeddingTerm
from service.config import Configuration
from service.config.embedding import ClassifierEmbedding
from service.doctor.findings import Finding, Status
from service.routing.look import artifact_in_use
from service.upstream.embedding import EmbeddingFailed, HostEmbedder

_SUBJECT = "embedding"
LIMIT_S = 10.0
"""Longest wait for two vectors: the model may have to load."""


def embeddings(configuration: Configuration) -> list[Finding]:
    """What the classifier's embeddings are like; nothing where none is configured and none was trained with."""
    term = _term(configuration)
    named = configuration.classifier.embeddings
    found = [_asked(configuration, name, one, term) for name, one in named.items()]
    if term is not None and term.name not in named:
        text = f"the artifact in use was trained with {term.model}, which is not configured: the stages decide alone"
        fix = f"write classifier.embeddings.{term.name} with its host, or roll back"
        found.append(Finding(_SUBJECT, term.name, Status.FAILED, text, fix))
    return found


def _term(configuration: Configuration) -> EmbeddingTerm | None:
    try:
        return load_artifact(artifact_in_use(configuration) or shipped_path()).embedding
    except ArtifactError:
        return None  # a finding of its own says so


def _asked(
    configuration: Configuration, name: str, settings: ClassifierEmbedding, term: EmbeddingTerm | None
) -> Finding:
    is_used = term is not None and term.name == name
    worst = Status.FAILED if is_used else Status.WARNING
    try:
        numbers, took_ms, digest = asyncio.run(_vector(configuration, settings))
    except (EmbeddingFailed, aiohttp.ClientError, OSError, TimeoutError) as error:
        words = str(error) or f"no answer within {LIMIT_S:.0f} s"
        text = f"{settings.model} at {settings.host} gives no vector: {words}"
        return Finding(_SUBJECT, name, worst, text, f"start the host, and there: ollama pull {settings.model}")
    text = f"{settings.model} at {settings.host}, {numbers} numbers in {took_ms:.0f} ms"
    if term is None or not is_used:
        return Finding(_SUBJECT, name, Status.OK, f"{text}; no part of the artifact: autotier train --embedding {name}")
    is_other = bool(term.digest and digest != term.digest) or settings.model != term.model
    if is_other or numbers != term.dimensions:
        fix = f"pull the model that it was trained with again, or train anew: autotier train --embedding {name}"
        return Finding(_SUBJECT, name, worst, f"{text}; not the model that the artifact was trained with", fix)
    if took_ms > settings.deadline_ms:
        fix = f"raise classifier.embeddings.{name}.deadline_ms, or keep the model loaded"
        return Finding(_SUBJECT, name, Status.WARNING, f"{text}; waited for {settings.deadline_ms} ms at most", fix)
    return Finding(_SUBJECT, name, Status.OK, f"{text}, as the artifact was trained")


async def _vector(configuration: Configuration, settings: ClassifierEmbedding) -> tuple[int, float, str]:
    """(length, milliseconds of the second call, digest)."""
    embedder = HostEmbedder(configuration, settings)
    try:
        async with asyncio.timeout(LIMIT_S):
            await embedder.embed("warm up")
            began = time.perf_counter()
            vector = await embedder.embed("How do I undo a commit?")
            took_ms = (time.perf_counter() - began) * 1_000
            return vector.size, took_ms, await embedder.digest()
    finally:
        await embedder.close()
