"""Simulated hosts that speak Ollama's and OpenAI's protocols, as processes on loopback. See README.md."""

from __future__ import annotations

from service.demo.hosts.faults import BadFault, FaultName
from service.demo.hosts.simulated import HostLog, HostNotStarted, ReceivedRequest, SimulatedHost
from service.demo.hosts.spec import HostKind, HostSpec

__all__ = [
    "BadFault",
    "FaultName",
    "HostKind",
    "HostLog",
    "HostNotStarted",
    "HostSpec",
    "ReceivedRequest",
    "SimulatedHost",
]
