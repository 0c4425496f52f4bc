"""One host that speaks OpenAI's protocol, or a cloud of another provider: reached, key accepted, models listed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from service.config.model import Limits
from service.doctor.asking import Reply, Unreached, ask, connect_ms
from service.doctor.endpoints import Endpoint
from service.doctor.findings import Finding, Status

ANTHROPIC_VERSION = "2023-06-01"


@dataclass(frozen=True, slots=True)
class CloudReport:
    """What was found, and how far the host's clock is ahead of ours, in seconds (None: it does not say)."""

    findings: list[Finding]
    ahead_s: float | None = None


def examine(endpoint: Endpoint, limits: Limits, *, has_key: bool) -> CloudReport:
    """All findings of one host. Nothing is generated: that would cost money.

    Args:
        endpoint: The host and the deployments on it.
        limits: ``connect_ms`` is what the service itself allows.
        has_key: Its key is there; False where the environment does not set it.
    """
    name = endpoint.subject
    try:
        took = connect_ms(endpoint.address, in_house=False)
        reached = _reached(name, took, limits)
        provider = endpoint.deployments[0].provider
        if not has_key:
            return CloudReport([reached, Finding(name, "key", Status.FAILED, "its variable is not set", "see above")])
        if endpoint.key is None and not endpoint.local:
            fix = f"write hosts.{name}.key: os.environ/NAME and export NAME=..."
            return CloudReport([reached, Finding(name, "key", Status.FAILED, "there is none", fix)])
        if provider not in ("openai", "anthropic"):
            text = f"{provider} has no listing that is known here; its first request will tell"
            return CloudReport([reached, Finding(name, "key", Status.NOTE, text)])
        reply = _listing(endpoint, provider)
    except Unreached as error:
        return CloudReport([Finding(name, "reachable", Status.FAILED, error.problem, error.fix)])
    judged = _judged(endpoint, reply)
    if all(one.check != reached.check for one in judged):  # else what answers is not what is meant
        judged.insert(0, reached)
    return CloudReport(judged, _ahead_s(reply, time.time()))


def _reached(name: str, took: float | None, limits: Limits) -> Finding:
    if took is not None and took > limits.connect_ms:
        text = f"connects in {took:.0f} ms, and the service gives up after {limits.connect_ms} ms"
        return Finding(name, "reachable", Status.FAILED, text, "raise limits.connect_ms, or look at this network's DNS")
    how = "through a proxy" if took is None else f"connected in {took:.0f} ms"
    return Finding(name, "reachable", Status.OK, how)


def _listing(endpoint: Endpoint, provider: str) -> Reply:
    if provider == "anthropic":
        headers = {"x-api-key": endpoint.key or "", "anthropic-version": ANTHROPIC_VERSION}
        base = endpoint.address.removesuffix("/v1")
        return ask(base, "/v1/models?limit=1000", in_house=False, headers=headers)
    headers = {"Authorization": f"Bearer {endpoint.key}"} if endpoint.key else {}
    return ask(endpoint.address, "/models", in_house=False, headers=headers)


def _judged(endpoint: Endpoint, reply: Reply) -> list[Finding]:
    name = endpoint.subject
    if reply.status in (401, 403):
        fix = "make a new key in the account, export it, and start the service again"
        return [Finding(name, "key", Status.FAILED, f"is refused ({reply.status})", fix)]
    if reply.status == 429:
        return [Finding(name, "key", Status.WARNING, "rate limited (429)", "check the account's credit and limits")]
    if reply.status >= 500:
        return [Finding(name, "models", Status.FAILED, f"the host fails ({reply.status})", "look at its status page")]
    listing = reply.json()
    data = listing.get("data") if listing else None
    if reply.status in (404, 405, 501) and listing is not None:
        return [Finding(name, "models", Status.NOTE, "the host lists none; the first request will tell")]
    if not isinstance(data, list):
        text = f"something answers there that does not speak OpenAI's protocol (status {reply.status})"
        fix = "check the address, with its /v1; is there a login page of the network in between?"
        return [Finding(name, "reachable", Status.FAILED, text, fix)]
    known = {str(one.get("id")) for one in data if isinstance(one, dict)}
    key = "accepted" if endpoint.key else "none needed"
    return [Finding(name, "key", Status.OK, key), *_models(endpoint, known)]


def _models(endpoint: Endpoint, known: set[str]) -> list[Finding]:
    found = []
    for model in dict.fromkeys(d.model for d in endpoint.deployments):
        check = f"model {model}"
        if model in known or (endpoint.local and f"{model}:latest" in known):
            found.append(Finding(endpoint.subject, check, Status.OK, "is listed"))
            continue
        some = ", ".join(sorted(known)[:5]) or "none"
        fix = f"check the name and the account's rights; listed are {len(known)}, such as {some}"
        found.append(Finding(endpoint.subject, check, Status.FAILED, "is not listed for this key", fix))
    return found


def _ahead_s(reply: Reply, now_s: float) -> float | None:
    try:
        return parsedate_to_datetime(reply.headers["date"]).timestamp() - now_s
    except (KeyError, ValueError, TypeError):
        return None
