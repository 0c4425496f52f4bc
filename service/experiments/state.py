"""What runs: one row of the store's settings, so that all replicas and the command line see the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self

KEY = "experiment"


class SettingsStore(Protocol):
    """Where the state is kept; the store of decisions implements it."""

    def setting(self, key: str) -> str | None:
        """The value, or None."""
        ...

    def put_setting(self, key: str, value: str) -> None:
        """Keeps a value; on disk when this returns."""
        ...


@dataclass(frozen=True, slots=True)
class Running:
    """The experiment that was started last.

    Attributes:
        name: Its name.
        since_s: Unix seconds of its start.
        until_s: Unix seconds of its end; None while it runs.
        stopped: Arms that a guardrail stopped, with the reason.
    """

    name: str
    since_s: float
    until_s: float | None = None
    stopped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, store: SettingsStore) -> Self | None:
        """What the store says; None if no experiment was ever started.

        Raises:
            StoreError: It cannot be read.
            ValueError: A newer version wrote what this one does not know.
        """
        text = store.setting(KEY)
        if text is None:
            return None
        known: dict[str, Any] = json.loads(text)
        try:
            return cls(**known)
        except TypeError as error:
            raise ValueError(f"the state of the experiment is from another version: {error}") from error

    def write(self, store: SettingsStore) -> None:
        """Keeps it.

        Raises:
            StoreError: It is not kept.
        """
        store.put_setting(KEY, json.dumps(asdict(self)))
