"""Asks an Ollama what it is and what it has, and says in a sentence what is wrong where it does not answer."""

from __future__ import annotations

import http.client
import json
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from service.config.providers import OLLAMA_PORT

LIMIT_S = 2.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
LISTEN = "set OLLAMA_HOST=0.0.0.0 there and restart Ollama (macOS: launchctl setenv OLLAMA_HOST 0.0.0.0)"
_NUM_CTX = re.compile(r"^num_ctx\s+(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PulledModel:
    """A model that a host has.

    Attributes:
        name: With its tag.
        size_bytes: Size of its file; 0 where it is not on the host's own disk.
        capabilities: As ``/api/show`` says (completion, tools, vision, thinking, embedding); empty for old versions.
        num_ctx: Context that its Modelfile sets, in tokens, or None.
        trained_context: Context that the model was trained for, in tokens, or None.
    """

    name: str
    size_bytes: int
    capabilities: tuple[str, ...] = ()
    num_ctx: int | None = None
    trained_context: int | None = None


@dataclass(frozen=True, slots=True)
class HostReport:
    """What an address answered.

    Attributes:
        address: Base URL.
        version: Ollama's version, or None where nothing usable answered.
        models: What is pulled there.
        problem: What is wrong and how to mend it, or None.
    """

    address: str
    version: str | None = None
    models: tuple[PulledModel, ...] = ()
    problem: str | None = None

    def has(self, model: str) -> bool:
        """Whether ``model`` is pulled; a name without a tag means ``:latest``."""
        full = model if ":" in model else f"{model}:latest"
        return any(one.name == full for one in self.models)


class NotOllama(Exception):
    """Something answers, and it is not Ollama."""


def ollama_address(text: str) -> str:
    """A base URL from what people type: ``mini.local``, ``192.168.1.20:11434``, ``http://mini.local:11434/``.

    Raises:
        ValueError: It is no address.
    """
    text = text.strip()
    if "://" not in text:
        text = f"http://[{text}]" if text.count(":") > 1 and not text.startswith("[") else f"http://{text}"
    parts = urlsplit(text)
    port = parts.port  # raises ValueError where it is no number
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s@]", parts.netloc):
        raise ValueError(f"{text!r} is no address; write one such as mini.local or http://mini.local:11434")
    text = text.rstrip("/")
    if port is None and parts.scheme == "http":
        return text.replace(parts.netloc, f"{parts.netloc}:{OLLAMA_PORT}", 1)
    return text


def probe(address: str, *, details: bool = True) -> HostReport:
    """Asks one host.

    Args:
        address: Base URL.
        details: Also ask ``/api/show`` for each model.

    Returns:
        A report; failures are in its ``problem``, nothing is raised.
    """
    try:
        answer = _ask(address, "GET", "/api/version")
        version = str(answer["version"])
        tags = _ask(address, "GET", "/api/tags").get("models") or []
        models = tuple(_model(address, entry, details) for entry in tags)
    except (NotOllama, KeyError, TypeError, AttributeError, http.client.HTTPException):
        return HostReport(
            address, problem="something answers there that is not Ollama; check the port (Ollama's is 11434)"
        )
    except OSError as error:
        return HostReport(address, problem=explained(address, error))
    return HostReport(address, version, models)


def _model(address: str, entry: dict[str, Any], details: bool) -> PulledModel:
    name, size = str(entry["name"]), int(entry.get("size") or 0)
    if not details:
        return PulledModel(name, size)
    try:
        shown = _ask(address, "POST", "/api/show", {"model": name})
    except NotOllama:
        return PulledModel(name, size)  # a model that is being removed; its name still stands in the list
    info = shown.get("model_info") or {}
    trained = next((v for k, v in info.items() if k.endswith(".context_length") and isinstance(v, int)), None)
    set_by_file = _NUM_CTX.search(str(shown.get("parameters") or ""))
    return PulledModel(
        name,
        size,
        tuple(map(str, shown.get("capabilities") or ())),
        int(set_by_file.group(1)) if set_by_file else None,
        trained,
    )


def _ask(address: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request, without proxies: they are for the world outside.

    Raises:
        NotOllama: Not a 200 with a JSON object.
        OSError: No connection or no answer in time.
    """
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=LIMIT_S)
    try:
        content = json.dumps(body).encode() if body is not None else None
        connection.request(method, parts.path.rstrip("/") + path, content, {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw = response.read(MAX_ANSWER_BYTES)
        answer = json.loads(raw) if response.status == 200 else None
    except (ValueError, http.client.HTTPException) as error:
        raise NotOllama(str(error)) from error
    finally:
        connection.close()
    if not isinstance(answer, dict):
        raise NotOllama(f"{response.status} on {path}")
    return answer


def explained(address: str, error: OSError) -> str:
    """A sentence for a connection that failed."""
    name = urlsplit(address).hostname or ""
    if isinstance(error, socket.gaierror):
        return f"the name {name} is not known here; check it, or write the machine's IP address"
    if isinstance(error, TimeoutError):
        return f"no answer in {LIMIT_S:g} s; is the machine on and in this network, does its firewall allow the port?"
    if isinstance(error, ConnectionRefusedError):
        if name in ("localhost", "127.0.0.1", "::1"):
            return "the connection is refused; start Ollama here: ollama serve"
        if _listens_on_loopback_only(address):
            return f"it listens on 127.0.0.1 only, so that other machines cannot reach it; {LISTEN}"
        return f"the connection is refused: Ollama is not running, or listens on 127.0.0.1 only; start it, or {LISTEN}"
    return f"the connection fails ({error.strerror or error}); check address and network"


def _listens_on_loopback_only(address: str) -> bool:
    """Whether the address is one of this very machine and Ollama answers on its loopback: then it is certain."""
    parts = urlsplit(address)
    try:
        found = socket.getaddrinfo(parts.hostname, 0, type=socket.SOCK_STREAM)
        family, _, _, _, place = found[0]
        with socket.socket(family, socket.SOCK_STREAM) as own:
            own.bind((place[0], 0))  # fails unless this machine has the address
        return "version" in _ask(f"http://127.0.0.1:{parts.port or 80}", "GET", "/api/version")
    except (OSError, NotOllama):
        return False
