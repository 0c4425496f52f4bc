"""What the service itself stands on: store, classifier, Redis, clock."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

from service.config import Configuration
from service.config.model import State
from service.doctor.findings import Finding, Status
from service.errors import ConfigurationError, StoreError, StoreProblem

FREE_BYTES = 200_000_000
"""Below this a disk is nearly full."""
CLOCK_FAILED_S, CLOCK_WARNING_S = 60.0, 5.0
"""Certificates and days of spend need no better; a Date header has whole seconds and is a little old."""
LOCK_LIMIT_S = 2.0


def store(url: str) -> Finding:
    """Whether decisions can be written. Changes nothing and makes nothing."""
    from service.decisions.store import DecisionStore

    try:
        opened = DecisionStore.open(url, read_only=True)
    except StoreError as error:
        path = _path(url)
        if error.problem is StoreProblem.MISSING and path is not None:
            return _to_come(path)
        return Finding("store", "writable", Status.FAILED, f"{error.where}: {error.detail}", error.fix)
    opened.close()
    path = opened.location.path
    return Finding("store", "writable", Status.OK, opened.location.shown) if path is None else _writable(path)


def _path(url: str) -> Path | None:
    from service.decisions.database import locate

    return locate(url).path


def _to_come(path: Path) -> Finding:
    """A SQLite file that is not there yet, or is of an older version: the service makes or changes it at its start."""
    if path.exists():
        return _writable(path)
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "store", "writable", Status.FAILED, f"{path} cannot be made", f"make {folder} writable for this user"
        )
    return _enough_room(folder, f"{path} is made at the first start")


def _writable(path: Path) -> Finding:
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=LOCK_LIMIT_S)
        try:
            connection.isolation_level = None
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        finally:
            connection.close()
    except sqlite3.Error as error:
        fix = "make file and folder writable for the user of the service; end what holds it"
        return Finding("store", "writable", Status.FAILED, f"{path}: {error}", fix)
    return _enough_room(path.absolute().parent, str(path))


def _enough_room(folder: Path, text: str) -> Finding:
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        text = f"{text}; its disk has {free / 1e6:.0f} MB left"
        return Finding("store", "writable", Status.FAILED, text, "free space on it: records wait in memory, then drop")
    return Finding("store", "writable", Status.OK, text)


def classifier(configuration: Configuration, source: str) -> Finding:
    """Whether the artifact loads and classifies."""
    from service.routing.look import load_classifier

    started = time.perf_counter()
    try:
        loaded = load_classifier(configuration, source)
    except ConfigurationError as error:
        return Finding("classifier", "artifact", Status.FAILED, error.problem, error.fix)
    spoken = loaded.classify("What is a mutex?")
    took = time.perf_counter() - started
    return Finding(
        "classifier", "artifact", Status.OK, f"{spoken.artifact}, stage {loaded.stages}, {took:.1f} s to load"
    )


def shared_state(state: State) -> list[Finding]:
    """The Redis that replicas share."""
    if state.redis_url is None:
        return [
            Finding("redis", "state", Status.NOTE, "not configured: each process keeps its own, which is fine for one")
        ]
    import redis

    client = redis.Redis.from_url(
        state.redis_url.get_secret_value(), socket_timeout=2, socket_connect_timeout=2, decode_responses=True
    )
    try:
        client.ping()
        started = time.perf_counter()
        client.ping()
        took_ms = (time.perf_counter() - started) * 1000
        version = str(client.info("server")["redis_version"])
        told: object = client.execute_command("COMMAND", "INFO", "VADD")  # type: ignore[no-untyped-call]
    except redis.AuthenticationError:
        return [Finding("redis", "state", Status.FAILED, "the password is refused", "correct it in state.redis_url")]
    except redis.RedisError as error:
        text = f"does not answer ({type(error).__name__})"
        return [
            Finding("redis", "state", Status.FAILED, text, "start it, check address and firewall (state.redis_url)")
        ]
    finally:
        client.close()
    has_vectors = _knows(told)
    found = [Finding("redis", "state", Status.OK, f"Redis {version}, answers in {took_ms:.1f} ms")]
    if took_ms > state.timeout_ms:
        text = f"answers in {took_ms:.0f} ms, and a request waits {state.timeout_ms} ms at most"
        found = [Finding("redis", "state", Status.FAILED, text, "take one nearby, or raise state.timeout_ms")]
    if has_vectors:
        return [*found, Finding("redis", "vector sets", Status.OK, "known")]
    fix = "only a cache by meaning needs them: Redis 8 or newer has them"
    return [*found, Finding("redis", "vector sets", Status.NOTE, "not known to this Redis", fix)]


def _knows(told: object) -> bool:
    """Whether ``COMMAND INFO`` describes the command; the client gives a list or a mapping."""
    return any(told.values()) if isinstance(told, dict) else isinstance(told, list) and any(told)


def clock(ahead_s: Iterable[float | None]) -> Finding:
    """This machine's clock against those of the clouds.

    Args:
        ahead_s: How far each cloud is ahead of this machine; None where it did not say.
    """
    said = sorted(one for one in ahead_s if one is not None)
    if not said:
        return Finding("clock", "time", Status.NOTE, "no cloud told the time, so it was compared with nothing")
    middle = said[len(said) // 2]
    word = f"{abs(middle):.0f} s {'behind' if middle > 0 else 'ahead of'} the clouds' time"
    if abs(middle) > CLOCK_WARNING_S:
        status = Status.FAILED if abs(middle) > CLOCK_FAILED_S else Status.WARNING
        fix = "switch network time on (macOS: Date & Time, set automatically; Linux: timedatectl set-ntp true)"
        return Finding("clock", "time", status, word, fix)
    return Finding("clock", "time", Status.OK, "agrees with the clouds'")
