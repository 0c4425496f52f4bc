"""What the chain knows of the machines at home: loaded, busy, kept warm, wrongly certified, asleep."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from classifier import Tier
from service.config import Configuration
from service.demo.hosts import HostSpec, SimulatedHost
from service.upstream.assemble import assemble
from service.upstream.chain import Chain
from tests.integration.upstream.house import CODER, SMALL, house, plan, told

QUICK = {"probe_every_s": 0.05, "host_status_remember_s": 0.2}


async def until(condition: Any, *, within_s: float = 10.0) -> None:
    """Waits for ``condition``; the limit only ends a test that fails."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.02)


def changed(configuration: Configuration, **by_id: dict[str, Any]) -> Configuration:
    """With other keys in some deployments; ``-`` in an id is written ``_``."""
    document = configuration.model_dump()
    for tier in document["tiers"].values():
        for deployment in tier["deployments"]:
            deployment |= by_id.get(deployment["id"].replace("-", "_"), {})
    for host in document["hosts"].values():
        host["key"] = host["key"].get_secret_value() if host["key"] else None
    return Configuration.model_validate(document)


@pytest.fixture
async def slow_macbook() -> AsyncIterator[SimulatedHost]:
    """A MacBook that holds one model at a time and writes slowly."""
    spec = HostSpec(kind="ollama", name="macbook", models=(SMALL, CODER), loaded=(CODER,), memory_gb=24, load_s=0.1)
    async with SimulatedHost(replace(spec, token_ms=50, answer_tokens=60)) as host:
        yield host


async def test_prober_knows_the_hosts_without_any_request(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """Reachable, loaded, busy and measured speeds, from the hosts themselves."""
    chain = assemble(house(mini, macbook, cloud, **QUICK))
    chain.start()
    await until(lambda: chain.snapshot()["hosts"]["macbook"]["loaded"])
    await mini.aset_fault("down")
    await until(lambda: chain.snapshot()["hosts"]["mini"]["reachable"] is False)

    hosts = chain.snapshot()["hosts"]
    await chain.close()

    assert hosts["macbook"]["reachable"] is True
    assert list(hosts["macbook"]["loaded"]) == [CODER]
    assert hosts["macbook"]["busy"] == 0
    assert hosts["cloud"]["reachable"] is True
    assert (await cloud.alog()).requests == ()  # a cloud costs: it gets a connection and is asked for nothing


async def test_busy_host_is_not_made_to_swap_while_another_is_free(
    mini: SimulatedHost, slow_macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """With the Mini gone and the coder writing, a small request does not queue behind it for its load."""
    chain = assemble(house(mini, slow_macbook, cloud, parallel=1, **QUICK))
    await mini.aset_fault("down")
    chain.start()
    await until(lambda: chain.snapshot()["hosts"]["macbook"]["loaded"])
    coder = chain.configuration.tiers.coding.deployments[0]
    long = await chain.open(plan(chain.configuration, Tier.CODING, deployments=(coder,)))

    made = plan(chain.configuration)
    answer = await chain.complete(made)
    await long.aclose()
    await chain.close()

    assert answer.deployment.id == "light-cloud"
    assert ("light-macbook", "no_free_slot") in told(made)
    assert (await slow_macbook.alog()).swaps == 0


async def test_model_is_kept_warm_with_the_context_of_requests(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """A model that left the memory is loaded again before anybody asks."""
    configuration = changed(house(mini, macbook, cloud, **QUICK), light_mini={"keep_warm": True, "keep_alive": "30m"})
    chain = assemble(configuration)
    await mini.aset_fault("cold:s=0.1")
    chain.start()

    await until(lambda: SMALL in mini.log().loaded)
    await chain.close()

    (asked,) = (await mini.alog()).on("/api/generate")
    assert asked.body == {
        "model": SMALL,
        "stream": False,
        "options": {"num_ctx": 8192},
        "keep_alive": "30m",
    }


async def test_nothing_is_put_out_to_keep_another_warm(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost
) -> None:
    """The MacBook holds one model at a time: the loaded coder stays."""
    configuration = changed(house(mini, macbook, cloud, **QUICK), light_macbook={"keep_warm": True})
    chain = assemble(configuration)
    chain.start()
    await until(lambda: len(macbook.log().on("/api/ps")) > 3)
    await chain.close()

    log = await macbook.alog()
    assert log.on("/api/generate") == []
    assert log.loaded == (CODER,)


@pytest.fixture
async def self_signed(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a TLS server whose certificate nobody has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost", "-days", "1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize("way", ["auto", "router"])
async def test_wrong_certificate_is_a_connection_that_failed(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost, self_signed: str, way: Any
) -> None:
    """Nothing is sent to a host that cannot show who it is; the next one answers."""
    first = {"id": "wrong-tls", "host": "cloud", "provider": "openai", "model": "gpt-4.1", "context": 100_000}
    document = house(mini, macbook, cloud, way=way).model_dump()
    document["hosts"]["cloud"]["key"] = "sk-simulated-key"
    document["tiers"]["reasoning"]["deployments"] = [
        {**first, "address": self_signed},
        *document["tiers"]["reasoning"]["deployments"],
    ]
    chain: Chain = assemble(Configuration.model_validate(document))
    made = plan(chain.configuration, Tier.REASONING)

    await chain.complete(made)
    await chain.close()

    assert told(made) == [("wrong-tls", "connect"), ("reasoning-cloud", "answered")]
    assert "ertificate" in made.attempts[0].detail or "SSL" in made.attempts[0].detail


@pytest.mark.parametrize("way", ["auto", "router"])
async def test_host_that_sleeps_before_its_first_token_is_left(
    mini: SimulatedHost, macbook: SimulatedHost, cloud: SimulatedHost, way: Any
) -> None:
    """The Mini falls asleep (SIGSTOP) with the request in hand: the next host answers within the attempt's limit."""
    chain = assemble(house(mini, macbook, cloud, way=way, loaded_attempt_s=0.5, host_status_ms=200))
    await chain.prepare(chain.configuration.tiers.lightweight.deployments[0])
    await mini.aset_fault("slow-first-token:s=5")
    made = plan(chain.configuration)
    asking = asyncio.create_task(chain.complete(made))
    await until(lambda: bool(mini.log().on("/api/chat")))
    mini.pause()

    try:
        answer = await asking
    finally:
        mini.resume()
        await chain.close()

    assert told(made)[0] in {("light-mini", "first_token_timeout"), ("light-mini", "connect")}
    assert answer.deployment.id != "light-mini"
