"""A simulated host as a process: start, control, log, end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from service.demo.hosts import HostNotStarted, HostSpec, SimulatedHost

ROOT = str(Path(__file__).resolve().parents[3])
HELLO = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "hi"}], "stream": False}


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Wait until a process is gone, or a zombie that nobody has collected."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_the_process_prints_one_line_and_ends_on_sigterm() -> None:
    """As a shell sees it: a JSON line when it listens, exit status 0."""
    with subprocess.Popen(
        [sys.executable, "-m", "service.demo.hosts", "--kind=openai", "--name=cloud1", "--port=0"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())

        answer = httpx.get(line["address"] + "/v1/models", trust_env=False)
        process.terminate()

        assert (line["name"], line["pid"], answer.status_code) == ("cloud1", process.pid, 200)
        assert process.wait(5) == 0


def test_the_process_ends_with_its_stdin() -> None:
    """--exit-with-parent: the pipe from the parent is its life line."""
    host = SimulatedHost(HostSpec()).start()
    process = host._process
    assert process is not None
    assert process.stdin is not None

    process.stdin.close()

    assert process.wait(5) == 0
    host.stop()


def test_the_process_ends_when_its_parent_is_killed() -> None:
    """Also without a chance for the parent to clean up."""
    code = (
        "import time\nfrom service.demo.hosts import SimulatedHost\n"
        "print(SimulatedHost().start().pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())

        parent.kill()

        assert gone(pid)


def test_a_wrong_fault_at_the_start_is_an_error_with_its_text() -> None:
    """The object raises what the process said."""
    with pytest.raises(HostNotStarted, match="unknown fault 'hungry'"):
        SimulatedHost(HostSpec(fault="hungry")).start()


def test_a_taken_port_is_an_error_with_its_number() -> None:
    """One line rather than a traceback."""
    with SimulatedHost(HostSpec()) as first, pytest.raises(HostNotStarted, match=f"port {first.port}"):
        SimulatedHost(HostSpec(port=first.port)).start()


def test_a_fault_at_the_start_is_in_force_before_the_line() -> None:
    """A host that is down from the beginning still has an address and a control port."""
    with SimulatedHost(HostSpec(fault="down")) as host:
        with pytest.raises(httpx.ConnectError):
            httpx.get(host.address, trust_env=False)
        host.set_fault("none")

        assert httpx.get(host.address, trust_env=False).text == "Ollama is running"


async def test_the_object_works_in_async_code() -> None:
    """An async context manager with control that does not hold the loop."""
    async with SimulatedHost(HostSpec(token_ms=0, first_token_ms=0, loaded=("qwen3:8b",))) as host:
        await host.aset_fault("500:count=1")
        async with httpx.AsyncClient(trust_env=False) as http:
            statuses = [(await http.post(host.address + "/api/chat", json=HELLO)).status_code for _ in range(2)]
        log = await host.alog()
        await host.areset()

        assert statuses == [500, 200]
        assert [request.status for request in log.on("/api/chat")] == [500, 200]
        assert (await host.alog()).received == 0


def test_a_paused_process_accepts_and_does_not_answer() -> None:
    """SIGSTOP: the kernel takes the connection, nothing comes back; afterwards it does."""
    with SimulatedHost(HostSpec()) as host:
        host.pause()
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(host.address, timeout=0.3, trust_env=False)
        host.resume()

        assert httpx.get(host.address, timeout=5, trust_env=False).status_code == 200


def test_the_log_tells_what_arrived(ollama: SimulatedHost) -> None:
    """Method, path, headers without secrets, body, times, outcome."""
    headers = {"Authorization": "Bearer secret-1", "X-Trace": "abc", "Cookie": "secret-2"}

    httpx.post(ollama.address + "/api/chat?x=1", json=HELLO, headers=headers, trust_env=False)

    (entry,) = ollama.log().requests
    assert (entry.method, entry.path, entry.status, entry.body) == ("POST", "/api/chat", 200, HELLO)
    assert (entry.headers["x-trace"], entry.authorization_present) == ("abc", True)
    assert "secret" not in repr(entry)
    assert entry.first_byte_at is not None
    assert entry.finished_at is not None
    assert entry.received_at <= entry.first_byte_at <= entry.finished_at
    assert entry.tokens > 0


def test_the_log_sees_a_client_that_leaves(ollama: SimulatedHost) -> None:
    """A stream that the client closes is marked, and its slot is free again."""
    ollama.set_fault("hang-mid-stream")
    with (
        httpx.Client(trust_env=False) as http,
        http.stream("POST", ollama.address + "/api/chat", json={**HELLO, "stream": True}) as answer,
    ):
        next(answer.iter_lines())
    ollama.set_fault("none")

    after = httpx.post(ollama.address + "/api/chat", json=HELLO, trust_env=False)

    assert after.status_code == 200
    assert ollama.log().requests[0].disconnected is True


def test_reset_brings_back_the_start(ollama: SimulatedHost) -> None:
    """Fault, memory and log."""
    ollama.set_fault("cold:s=0.01")
    httpx.post(ollama.address + "/api/chat", json={**HELLO, "model": "qwen3-coder:30b"}, trust_env=False)

    ollama.reset()

    log = ollama.log()
    assert (log.fault, log.loaded, log.loads, log.requests) == ("none", ("qwen3:8b",), 0, ())


@pytest.mark.parametrize("body", [b"{}", b"nope", b'{"fault": 3}', b'{"fault": "hungry"}'])
def test_the_control_port_refuses_what_it_does_not_know(ollama: SimulatedHost, body: bytes) -> None:
    """400 with a text; the fault in force stays."""
    ollama.set_fault("500")

    got = httpx.post(ollama.control + "/_control/fault", content=body, trust_env=False)

    assert (got.status_code, bool(got.json()["error"])) == (400, True)
    assert ollama.log().fault == "500"


def test_the_control_port_is_for_loopback_names(ollama: SimulatedHost) -> None:
    """A page in a browser that reaches the port by another name is refused; control is not on the service port."""
    rebound = httpx.get(ollama.control + "/_control/log", headers={"Host": "evil.example"}, trust_env=False)
    service = httpx.get(ollama.address + "/_control/log", trust_env=False)

    assert (rebound.status_code, service.status_code) == (403, 404)


def test_a_long_body_is_taken(ollama: SimulatedHost) -> None:
    """Five megabytes, above aiohttp's own limit."""
    body = {**HELLO, "messages": [{"role": "user", "content": "x" * 5_000_000}]}

    got = httpx.post(ollama.address + "/api/chat", json=body, timeout=5, trust_env=False)

    assert (got.status_code, got.json()["prompt_eval_count"]) == (200, 4096)


def test_no_environment_of_a_proxy_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control requests go straight to loopback."""
    monkeypatch.setitem(os.environ, "http_proxy", "http://127.0.0.1:9")

    with SimulatedHost(HostSpec()) as host:
        assert host.log().received == 0
