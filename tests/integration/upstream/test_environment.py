"""Proxies and certificates of the environment: one answer over both ways, pre-flight and ``/api/ps`` included."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from classifier import Tier
from service.config import Configuration
from service.demo.hosts import SimulatedHost
from service.errors import DeploymentsFailed
from service.upstream.assemble import assemble
from tests.integration.upstream.house import house, plan, told

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment that the tests run in."""
    for name in (*PROXIES, *map(str.upper, PROXIES), *CERTIFICATES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``key.pem``, ``certificate.pem`` for 127.0.0.1, and the latter under its hash (SSL_CERT_DIR)."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    file = folder / "certificate.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "key.pem"), *name]
    subprocess.run([*made, "-out", str(file)], check=True, capture_output=True)
    hashed = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(file)], check=True, capture_output=True, text=True
    )
    shutil.copy(file, folder / f"{hashed.stdout.strip()}.0")
    return folder


@asynccontextmanager
async def behind_tls(address: str, certificate: Path) -> AsyncIterator[str]:
    """The https address of a server that passes everything on to the plain ``address``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except OSError:
            pass  # either side may leave
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, to_behind = await asyncio.open_connection("127.0.0.1", urlsplit(address).port)
        await asyncio.gather(passed_on(reader, to_behind), passed_on(behind, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def elsewhere(configuration: Configuration, **addresses: str) -> Configuration:
    """With other addresses of some hosts."""
    document = configuration.model_dump()
    for name, host in document["hosts"].items():
        host["address"] = addresses.get(name, host["address"])
        host["key"] = host["key"].get_secret_value() if host["key"] else None
    return Configuration.model_validate(document)


@pytest.mark.parametrize("variable", CERTIFICATES)
@pytest.mark.parametrize("way", ["auto", "router"])
async def test_certificates_of_the_environment_count_for_every_connection(
    mini: SimulatedHost,
    macbook: SimulatedHost,
    cloud: SimulatedHost,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Any,
    variable: str,
) -> None:
    """An Ollama and a cloud behind certificates of one's own answer at the first attempt."""
    named = certificate if variable == "SSL_CERT_DIR" else certificate / "certificate.pem"
    monkeypatch.setenv(variable, str(named))

    async with behind_tls(mini.address, certificate) as near, behind_tls(cloud.address, certificate) as far:
        configuration = elsewhere(house(mini, macbook, cloud, way=way), mini=near, cloud=f"{far}/v1")
        chain = assemble(configuration)
        at_home, paid = plan(configuration), plan(configuration, Tier.REASONING)
        await chain.complete(at_home)
        await chain.complete(paid)
        await chain.close()

    assert told(at_home) == [("light-mini", "answered")], at_home.attempts[0].detail
    assert told(paid) == [("reasoning-cloud", "answered")], paid.attempts[0].detail


@pytest.mark.parametrize("way", ["auto", "router"])
async def test_certificates_that_cannot_be_read_are_named(
    mini: SimulatedHost,
    macbook: SimulatedHost,
    cloud: SimulatedHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Any,
) -> None:
    """Nobody connects without them; the record says why, not an internal error."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    chain = assemble(house(mini, macbook, cloud, way=way))
    paid, at_home = plan(chain.configuration, Tier.REASONING), plan(chain.configuration)

    for one in (paid, at_home):
        with pytest.raises(DeploymentsFailed):
            await chain.complete(one)
    await chain.close()

    assert told(paid) == [("reasoning-cloud", "connect")]
    assert told(at_home)[0] == ("light-mini", "preflight_failed")
    assert "certificates" in paid.attempts[0].detail
    assert "certificates" in at_home.attempts[0].detail


@pytest.mark.parametrize("variable", ["ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize("way", ["auto", "router"])
async def test_a_proxy_of_the_environment_carries_preflight_and_request(
    mini: SimulatedHost,
    macbook: SimulatedHost,
    cloud: SimulatedHost,
    monkeypatch: pytest.MonkeyPatch,
    way: Any,
    variable: str,
) -> None:
    """Hosts whose names only the proxy knows answer, whichever variable names it."""
    far = elsewhere(
        house(mini, macbook, cloud, way=way), mini="http://mini.invalid:11434", cloud="http://cloud.invalid/v1"
    )
    chain = assemble(far)
    for tier, proxy in ((Tier.LIGHTWEIGHT, mini), (Tier.REASONING, cloud)):  # a host takes a whole URL as its own
        monkeypatch.setenv(variable, proxy.address)
        made = plan(far, tier)
        await chain.complete(made)

        assert [outcome for _, outcome in told(made)] == ["answered"], made.attempts[0].detail
    await chain.close()

    assert (await mini.alog()).on("/api/ps")
