"""One Ollama host: reached, what it has, what it serves and how fast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.config import Deployment
from service.config.model import Limits
from service.doctor.asking import Reply, Unreached, ask, connect_ms
from service.doctor.endpoints import Endpoint
from service.doctor.findings import Finding, Status
from service.doctor.memory import Need, fits, kv_cache_bytes

NOT_OLLAMA = ("something answers there that is not Ollama", "check the port (Ollama's is 11434) and the address")
MEASURE_LIMIT_S = 180.0
MEASURED_TOKENS = 64
SLOWER, FASTER = 0.7, 1.5
"""Measured over configured speed, beyond which the configuration is worth correcting."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A loaded model: bytes in all, bytes on the GPU, and its context in tokens (0: the host does not say)."""

    size: int
    size_vram: int
    context: int


class _NotOllama(Exception):
    """An answer that is not Ollama's."""


def examine(endpoint: Endpoint, limits: Limits, *, memory_gb: float | None, measure: bool) -> list[Finding]:
    """All findings of one host; what cannot be reached ends with that.

    Args:
        endpoint: The host and the deployments on it.
        limits: ``connect_ms`` and ``host_status_ms`` are what the service itself allows.
        memory_gb: Of the machine, or None.
        measure: Also generate a short text with each model.
    """
    name = endpoint.subject
    try:
        return _examined(endpoint, limits, memory_gb, measure)
    except Unreached as error:
        return [Finding(name, "reachable", Status.FAILED, error.problem, error.fix)]
    except _NotOllama:
        return [Finding(name, "reachable", Status.FAILED, *NOT_OLLAMA)]


def _examined(endpoint: Endpoint, limits: Limits, memory_gb: float | None, measure: bool) -> list[Finding]:
    name = endpoint.subject
    took = connect_ms(endpoint.address, in_house=True)
    version = _object(_ask(endpoint, "/api/version")).get("version")
    if not isinstance(version, str):
        raise _NotOllama
    tags = _by_name(_object(_ask(endpoint, "/api/tags")))
    loaded = {
        model: Resident(_int(one, "size"), _int(one, "size_vram"), _int(one, "context_length"))
        for model, one in _by_name(_object(_ask(endpoint, "/api/ps"))).items()
    }
    found = [_reached(name, version, took, limits)]
    needs: list[Need] = []
    for deployment in endpoint.deployments:
        full = full_name(deployment.model)
        if full not in tags:
            fix = f"OLLAMA_HOST={endpoint.address} ollama pull {deployment.model}"
            found.append(Finding(name, f"model {deployment.model}", Status.FAILED, "is not pulled", fix))
            continue
        found.append(Finding(name, f"model {deployment.model}", Status.OK, f"is pulled, for {deployment.id}"))
        info = _model_info(endpoint, deployment.model)
        resident = loaded.get(full)
        found += [_context(name, deployment, info, resident), _loaded(name, deployment, resident)]
        if measure:
            found.append(_speed(endpoint, deployment))
        needs.append(_need(deployment, _int(tags[full], "size"), info, resident))
    return found + _contexts_differ(endpoint) + fits(name, memory_gb, _distinct(needs))


def full_name(model: str) -> str:
    """A name without a tag means ``:latest``."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def _reached(name: str, version: str, took: float | None, limits: Limits) -> Finding:
    if took is not None and took > limits.connect_ms:
        fix = "write the machine's IP address instead of its name, or raise limits.connect_ms"
        text = f"connects in {took:.0f} ms, and the service gives up after {limits.connect_ms} ms"
        return Finding(name, "reachable", Status.FAILED, text, fix)
    how = "through a proxy" if took is None else f"connected in {took:.0f} ms"
    return Finding(name, "reachable", Status.OK, f"Ollama {version}, {how}")


def _context(name: str, deployment: Deployment, info: Mapping[str, Any], resident: Resident | None) -> Finding:
    check = f"context of {deployment.id}"
    trained = info.get(f"{info.get('general.architecture')}.context_length")
    if isinstance(trained, int) and trained < deployment.context:
        text = f"{deployment.context} tokens are configured, the model was trained for {trained} and serves no more"
        return Finding(name, check, Status.FAILED, text, f"write context: {trained}")
    served = resident.context if resident is not None else 0
    if served and served != deployment.context:
        text = f"loaded with {served} tokens now, {deployment.context} are configured: the next request loads it again"
        fix = "let nobody else use this model with another num_ctx (OLLAMA_CONTEXT_LENGTH, other programs)"
        return Finding(name, check, Status.WARNING, text, fix)
    said = f"{served} tokens served now" if served else f"{deployment.context} tokens, asked for with each request"
    return Finding(name, check, Status.OK, f"{said}; trained for {trained or 'an unknown number'}")


def _loaded(name: str, deployment: Deployment, resident: Resident | None) -> Finding:
    check = f"{deployment.model} in memory"
    if resident is None:
        return Finding(name, check, Status.NOTE, "cold: the first request loads it")
    if 0 < resident.size_vram < resident.size:
        share = 100 * (1 - resident.size_vram / resident.size)
        fix = "a smaller context or model; on a Mac, sysctl iogpu.wired_limit_mb gives the GPU more of the memory"
        return Finding(name, check, Status.WARNING, f"{share:.0f} % of it runs on the CPU, which is slow", fix)
    return Finding(name, check, Status.OK, f"loaded, {resident.size / 1e9:.1f} GB")


def _speed(endpoint: Endpoint, deployment: Deployment) -> Finding:
    """One short generation, loaded with the deployment's own context so that no request has to load it again."""
    check = f"speed of {deployment.id}"
    body: dict[str, Any] = {
        "model": deployment.model,
        "prompt": "Count from 1 to 100.",
        "stream": False,
        "options": {"num_ctx": deployment.context, "num_predict": MEASURED_TOKENS},
    }
    if deployment.think is not None:
        body["think"] = deployment.think
    if deployment.keep_alive is not None:
        body["keep_alive"] = deployment.keep_alive
    try:
        reply = _ask(endpoint, "/api/generate", body, MEASURE_LIMIT_S)
    except Unreached as error:
        return Finding(endpoint.subject, check, Status.FAILED, error.problem, error.fix)
    answer = reply.json() or {}
    tokens, nanoseconds = answer.get("eval_count"), answer.get("eval_duration")
    if reply.status != 200 or not isinstance(tokens, int) or not isinstance(nanoseconds, int) or nanoseconds <= 0:
        said = str(answer.get("error") or f"status {reply.status}")[:200]
        return Finding(
            endpoint.subject, check, Status.FAILED, f"generates nothing: {said}", "look at Ollama's log there"
        )
    speed = tokens / nanoseconds * 1e9
    load_s = _int(answer, "load_duration") / 1e9
    text = f"{speed:.0f} tokens/s measured, {deployment.tokens_per_s:g} configured" + (
        f", after {load_s:.1f} s of loading" if load_s >= 0.5 else ""
    )
    if SLOWER <= speed / deployment.tokens_per_s <= FASTER:
        return Finding(endpoint.subject, check, Status.OK, text)
    return Finding(endpoint.subject, check, Status.WARNING, text, f"write tokens_per_s: {speed:.0f}")


def _contexts_differ(endpoint: Endpoint) -> list[Finding]:
    contexts: dict[str, set[int]] = {}
    for deployment in endpoint.deployments:
        contexts.setdefault(full_name(deployment.model), set()).add(deployment.context)
    return [
        Finding(
            endpoint.subject,
            f"contexts of {model}",
            Status.WARNING,
            f"its deployments differ ({', '.join(map(str, sorted(several)))}): each change loads the model again",
            "write the same context for all of them",
        )
        for model, several in contexts.items()
        if len(several) > 1
    ]


def _need(deployment: Deployment, weights: int, info: Mapping[str, Any], resident: Resident | None) -> Need:
    measured = resident.size if resident is not None and resident.context == deployment.context else None
    cache = kv_cache_bytes(info, deployment.context, max(1, deployment.parallel))
    return Need(deployment.model, deployment.context, weights, cache, measured)


def _distinct(needs: Sequence[Need]) -> list[Need]:
    """The largest need of each model: it is in memory once."""
    largest: dict[str, Need] = {}
    for need in needs:
        if need.model not in largest or need.total > largest[need.model].total:
            largest[need.model] = need
    return list(largest.values())


def _model_info(endpoint: Endpoint, model: str) -> Mapping[str, Any]:
    reply = _ask(endpoint, "/api/show", {"model": model})
    info = (reply.json() or {}).get("model_info") if reply.status == 200 else None
    return info if isinstance(info, dict) else {}


def _ask(endpoint: Endpoint, path: str, body: Mapping[str, Any] | None = None, limit_s: float = 5.0) -> Reply:
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    return ask(endpoint.address, path, in_house=True, headers=headers, body=body, limit_s=limit_s)


def _object(reply: Reply) -> dict[str, Any]:
    answer = reply.json() if reply.status == 200 else None
    if answer is None:
        raise _NotOllama
    return answer


def _by_name(listing: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    models = listing.get("models") or []
    if not isinstance(models, list):
        raise _NotOllama
    return {str(one.get("name") or one.get("model")): one for one in models if isinstance(one, dict)}


def _int(of: Mapping[str, Any], name: str) -> int:
    value = of.get(name)
    return value if isinstance(value, int) else 0
