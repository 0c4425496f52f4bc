"""What all tests share: nothing here starts a process or opens a file by itself."""

from __future__ import annotations

import pytest

from classifier import Classifier, Tier, load
from service.config import Configuration
from service.config.seed import seed_configuration
from tests.fakes import FixedClassifier, MemoryHolds


@pytest.fixture(scope="session")
def champion() -> Classifier:
    """The shipped classifier, its first stage."""
    return load(stages=1)


@pytest.fixture
def configuration() -> Configuration:
    """The shipped configuration with stand-ins for keys."""
    return seed_configuration()


@pytest.fixture
def holds() -> MemoryHolds:
    """An empty store of conversations."""
    return MemoryHolds()


@pytest.fixture
def spoken() -> FixedClassifier:
    """A classifier that says lightweight until it is told otherwise."""
    return FixedClassifier(Tier.LIGHTWEIGHT)
