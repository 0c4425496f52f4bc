"""What commands ask of a running service over its admin routes."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import click

DEFAULT_BASE = "http://127.0.0.1:4000"
LIMIT_S = 30.0


class NoService(click.ClickException):
    """Nobody answers there."""


def ask(method: str, base: str, path: str, key: str | None, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The service's answer.

    Args:
        method: Of the request.
        base: Address of the service.
        path: Behind it.
        key: Of a caller with the admin right, or None where no keys are set.
        body: Sent as JSON, or None.

    Raises:
        NoService: It cannot be reached.
        click.ClickException: It refuses, in one line.
    """
    if urlsplit(base).scheme not in ("http", "https"):
        raise click.ClickException(f"--base {base}: write an address such as {DEFAULT_BASE}")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    data = None
    if body is not None:
        headers["content-type"], data = "application/json", json.dumps(body).encode()
    request = urllib.request.Request(base.rstrip("/") + path, data, headers, method=method)  # noqa: S310  # the user's
    proxies = urllib.request.ProxyHandler({}) if _is_here(base) else urllib.request.ProxyHandler()
    opener = urllib.request.build_opener(proxies)
    try:
        with opener.open(request, timeout=LIMIT_S) as answer:
            shown: dict[str, Any] = json.load(answer)
            return shown
    except urllib.error.HTTPError as error:
        try:
            words = json.load(error)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            words = f"HTTP {error.code}"
        raise click.ClickException(f"{base}: {words}") from None
    except (OSError, ValueError) as error:  # a ValueError: no JSON, so it is another service
        raise NoService(f"no service at {base}: {getattr(error, 'reason', error)}") from None


def _is_here(base: str) -> bool:
    return urlsplit(base).hostname in ("127.0.0.1", "localhost", "::1")
