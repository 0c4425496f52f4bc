"""One HTTP request at a time, through the environment's proxies as the service's own, and failures in words."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from service.config.probe import LIMIT_S as CONNECT_LIMIT_S
from service.config.probe import explained

ANSWER_LIMIT_S = 5.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024


class Unreached(Exception):
    """No HTTP answer came.

    Attributes:
        problem: What happened.
        fix: What to do about it.
    """

    def __init__(self, problem: str, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; {fix}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, of whatever status.

    Attributes:
        headers: Names in lower case.
        body: At most 16 MiB of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any] | None:
        """The body if it is a JSON object, else None."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else None


class _AsItCame(urllib.request.HTTPErrorProcessor):
    """Errors and redirects are answers too; none is followed, a key could go astray."""

    def http_response(self, request: urllib.request.Request, response: HTTPResponse) -> HTTPResponse:
        return response

    https_response = http_response


def connect_ms(address: str, *, in_house: bool) -> float | None:
    """Milliseconds to find the name's address and connect; None where a proxy stands in between.

    Args:
        address: Base URL.
        in_house: An Ollama, for the words of a failure.

    Raises:
        Unreached: No connection within ``CONNECT_LIMIT_S``.
    """
    parts = urlsplit(address)
    name, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(f"{name}:{port}"):
        return None
    started = time.perf_counter()
    try:
        socket.create_connection((name, port), CONNECT_LIMIT_S).close()
    except OSError as error:
        raise _told(address, error, in_house) from None
    return (time.perf_counter() - started) * 1000


def ask(
    address: str,
    path: str,
    *,
    in_house: bool,
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    limit_s: float = ANSWER_LIMIT_S,
) -> Reply:
    """A GET, or a POST where there is a body.

    Raises:
        Unreached: No HTTP answer within ``limit_s`` of silence.
    """
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(  # noqa: S310  # the configuration takes http and https only
        address.rstrip("/") + path,
        data,
        {"Content-Type": "application/json", "User-Agent": "autotier", **(headers or {})},
    )
    opener = urllib.request.build_opener(_AsItCame, urllib.request.HTTPSHandler(context=_certificates()))
    try:
        with opener.open(request, timeout=limit_s) as response:
            names = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, names, response.read(MAX_ANSWER_BYTES))
    except urllib.error.URLError as error:
        cause = error.reason if isinstance(error.reason, OSError) else OSError(str(error.reason))
        raise _told(address, cause, in_house, connected=isinstance(cause, TimeoutError)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _told(address, error, in_house, connected=True) from None


def _certificates() -> ssl.SSLContext:
    from service.upstream.lean_session import ssl_context

    return ssl_context() or ssl.create_default_context()


def _told(address: str, error: Exception, in_house: bool, *, connected: bool = False) -> Unreached:
    """The failure in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreached(
            f"its certificate is not accepted ({error.verify_message})",
            "check this machine's clock; where a proxy signs for itself, name its certificates in SSL_CERT_FILE",
        )
    if isinstance(error, ssl.SSLError):
        return Unreached(f"TLS fails ({error.reason or error})", "check http against https, and the port")
    if connected and isinstance(error, TimeoutError):
        return Unreached(
            "it takes the connection and answers nothing", "restart the server there; is the machine asleep?"
        )
    if connected:
        return Unreached(f"it ends the connection without an HTTP answer ({type(error).__name__})", "check the port")
    assert isinstance(error, OSError)
    if in_house:
        problem, _, fix = explained(address, error).partition("; ")
        return Unreached(problem, fix)
    name = urlsplit(address).hostname
    if isinstance(error, socket.gaierror):
        return Unreached(f"the name {name} is not known here", "check the address, and that this machine is online")
    if isinstance(error, TimeoutError):
        return Unreached(
            f"no answer in {CONNECT_LIMIT_S:g} s", "check network and firewall; behind a proxy, set https_proxy"
        )
    return Unreached(f"the connection fails ({error.strerror or error})", "check the address, the port and the network")
