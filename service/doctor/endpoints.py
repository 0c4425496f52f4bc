"""The places that a configuration sends requests to, each with its deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from service.config import Configuration, Deployment


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address with one key.

    Attributes:
        host: Name of the entry of ``hosts``.
        address: Base URL.
        ollama: Speaks Ollama's own protocol.
        key: In clear, or None; never shown.
    """

    host: str
    address: str
    ollama: bool
    local: bool
    key: str | None = field(repr=False)
    deployments: tuple[Deployment, ...]

    @property
    def subject(self) -> str:
        """How findings call it."""
        return self.host


class ToldEnvironment(Mapping[str, str]):
    """The environment, with stand-ins for what is not set, so that everything else can be looked at.

    Attributes:
        missing: Names that were asked for and are not set.
    """

    _STAND_IN = "http://{}.not-set.invalid"  # passes where an address is expected as well

    def __init__(self, real: Mapping[str, str]) -> None:
        self._real = real
        self.missing: list[str] = []

    def __getitem__(self, name: str) -> str:
        if self._real.get(name):
            return self._real[name]
        if name not in self.missing:
            self.missing.append(name)
        return self._STAND_IN.format(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._real)

    def __len__(self) -> int:
        return len(self._real)

    def stands_in(self, value: str | None) -> bool:
        """Whether ``value`` is a stand-in of ours."""
        return value in {self._STAND_IN.format(name) for name in self.missing}


def endpoints_of(configuration: Configuration) -> list[Endpoint]:
    """All endpoints in the order of the file; hosts without a deployment are not used and not looked at."""
    groups: dict[tuple[str, str, bool, str | None], list[Deployment]] = {}
    for _, deployment in configuration.deployments():
        key = (
            deployment.host,
            configuration.address_of(deployment),
            deployment.provider in ("ollama", "ollama_chat"),
            configuration.key_of(deployment),
        )
        groups.setdefault(key, []).append(deployment)
    return [
        Endpoint(host, address, ollama, configuration.is_local(deployments[0]), key, tuple(deployments))
        for (host, address, ollama, key), deployments in groups.items()
    ]
