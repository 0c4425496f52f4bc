"""Where the service may listen."""

from __future__ import annotations

import ipaddress

from service.config import Configuration
from service.errors import ConfigurationError


def check_binding(configuration: Configuration, host: str, source: str) -> None:
    """Refuses an address beyond loopback while callers have no keys.

    Raises:
        ConfigurationError: With what to write instead.
    """
    if configuration.needs_keys or is_loopback(host):
        return
    raise ConfigurationError(
        source,
        "server.host",
        f"{host} is reachable from other machines and no caller has a key",
        "add one under callers or a callers_file, or bind to 127.0.0.1",
    )


def is_loopback(host: str) -> bool:
    """Whether ``host`` is an address of this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
