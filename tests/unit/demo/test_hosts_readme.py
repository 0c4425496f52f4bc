"""The README of the simulated hosts against the code."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from service.demo.hosts import FaultName, HostSpec, faults, spec

README = (Path(faults.__file__).parent / "README.md").read_text(encoding="utf-8")


def test_every_fault_is_in_the_table() -> None:
    """No fault without what a client sees of it."""
    assert [name for name in FaultName if f"`{name}`" not in README] == []


def test_every_flag_is_in_the_table() -> None:
    """No flag without its meaning, and no field without a flag."""
    names = [spec._FLAGS.get(field.name, field.name.replace("_", "-")) for field in dataclasses.fields(HostSpec)]

    assert [name for name in names if f"`--{name}`" not in README] == []
