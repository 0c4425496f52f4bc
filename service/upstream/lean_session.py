"""Where the lean way's requests go, with proxies and certificates from the environment; aiohttp's session for some."""

from __future__ import annotations

import os
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from multidict import CIMultiDict
from yarl import URL

MOST_CONNECTIONS = 512
MOST_PER_HOST = 256
"""Requests at once. Slots of the chain (``parallel``) are the limit that is meant; these only keep file descriptors in
bounds."""

IDLE_S = 60.0
NAMES_S = 10
"""How long a name's address is believed: hosts at home change theirs."""

_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

CONNECTED_ANEW: ContextVar[list[bool] | None] = ContextVar("autotier_connected_anew", default=None)
"""A list that gets an entry when a request of this context makes a connection, rather than take a pooled one."""


class Origin(NamedTuple):
    """Whom to connect to."""

    host: str
    port: int
    secure: bool


@dataclass(frozen=True, slots=True)
class Target:
    """Where the requests of one deployment go.

    Attributes:
        proxy: The proxy in between, or None.
        origin: Whom to connect to, or None where only aiohttp knows how (a proxy, a user in the address).
        head: The request up to the number of ``Content-Length``, ready for the wire.
    """

    url: URL
    headers: CIMultiDict[str]
    proxy: URL | None
    origin: Origin | None
    head: bytes


class Connections(aiohttp.TCPConnector):
    """A connector that tells whether a request got a connection of its own."""

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's own signature
    ) -> ResponseHandler:
        made = CONNECTED_ANEW.get()
        if made is not None:
            made.append(True)
        return await super()._create_connection(req, traces, timeout)


def open_session(context: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """A session without limits in time: those are the chain's. Needs a running loop.

    Args:
        context: Certificates, from `ssl_context`.
    """
    connector = Connections(
        limit=MOST_CONNECTIONS,
        limit_per_host=MOST_PER_HOST,
        keepalive_timeout=IDLE_S,
        ttl_dns_cache=NAMES_S,
        ssl=context if context is not None else True,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Content-Type", "Accept", "Accept-Encoding"),
        # aiohttp would look for proxies and read ~/.netrc again for each request; `target` does it once.
        trust_env=False,
    )


def target(url: str, key: str | None) -> Target:
    """Where to send, worked out once per deployment.

    Raises:
        ValueError: The address is not a URL.
    """
    parsed = URL(url)
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError(f"not a base URL: {url!r}")
    headers = CIMultiDict(
        {
            "Content-Type": "application/json",
            "Accept": "text/event-stream, application/x-ndjson, application/json",
            "Accept-Encoding": "identity",  # a compressed stream waits for its blocks to fill
            "User-Agent": "autotier",
        }
    )
    if key:
        headers["Authorization"] = f"Bearer {key}"
    proxy = proxy_for(parsed)
    host, port = parsed.raw_host, parsed.port
    if proxy is not None or parsed.user or not host or not port or (key and not key.isprintable()):
        return Target(parsed, headers, proxy, None, b"")
    fields = [("Host", parsed.host_port_subcomponent), *headers.items()]
    lines = [f"POST {parsed.raw_path_qs} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "Content-Length: "]
    return Target(parsed, headers, None, Origin(host, port, parsed.scheme == "https"), "\r\n".join(lines).encode())


def ssl_context() -> ssl.SSLContext | None:
    """Certificates as the environment names them (`_CERTIFICATES`, ``SSL_CERT_DIR``); None: those of the system.

    Where Python finds none of the system's (python.org's installer on a Mac), those of ``certifi``.

    Raises:
        OSError: The file cannot be read.
    """
    named = next((os.environ[name] for name in _CERTIFICATES if os.environ.get(name)), None)
    folder = os.environ.get("SSL_CERT_DIR")
    if named is not None and os.path.isdir(named):
        named, folder = None, named
    if named is None and not folder:
        system = ssl.get_default_verify_paths()
        if system.cafile or system.capath:
            return None
        named = certifi.where()
    return ssl.create_default_context(cafile=named, capath=folder)


def proxy_for(url: URL) -> URL | None:
    """As the environment (or the system's settings) says, ``no_proxy`` respected; ``all_proxy`` where none is named.

    Raises:
        ValueError: What is named there is not a URL.
    """
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    return URL(proxy if "://" in proxy else f"http://{proxy}")
