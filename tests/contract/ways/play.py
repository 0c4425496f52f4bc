"""Plays every case over one way upstream, in a process of its own, and prints what the client sees as JSON.

    python -m tests.contract.ways.play lean|router

In a process of its own because litellm's globals, its warnings and its 200 MB do not belong into the tests' process.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service.config import Configuration, Deployment
from service.demo.hosts import HostSpec, SimulatedHost
from service.upstream.collect import Collector, has_token
from service.upstream.interface import Call, Chunk, UpstreamFailure, Way
from service.upstream.lean_way import LeanWay
from service.upstream.router_way import RouterWay
from service.upstream.text_chunk import TextChunk
from tests.contract.ways.cases import ASK, Case, all_cases

SILENCE_S = 0.4
"""Longest wait for the next batch of a host that hangs."""

LONGEST_S = 30.0
"""Of any other host: a busy machine is no silent host."""

WIRE_FOLDER = Path(__file__).parents[1] / "wire"
MODELS = {"ollama": "qwen3-coder:30b", "openai": "gpt-4.1", "wire-ollama": "any", "wire-openai": "any"}
LOCAL = HostSpec(
    kind="ollama",
    name="host",
    models=("qwen3:8b", "qwen3-coder:30b", "gemma3:4b"),
    loaded=("qwen3:8b", "qwen3-coder:30b", "gemma3:4b"),
    memory_gb=64,
    load_s=0,
    token_ms=1,
    first_token_ms=0,
    answer_tokens=8,
)
CLOUD = HostSpec(kind="openai", name="host", token_ms=1, first_token_ms=0, answer_tokens=8)


@dataclass(slots=True)
class Seen:
    """What a client sees of one request, and what the host received.

    Attributes:
        began: A first token came.
        pieces: Number of chunks with text or thinking, each of those that came at once counted.
        calls: Names of the tools called, in order.
        in_parts: Arguments came in more than one piece.
        keys: Of the content, where it is a JSON object.
        logprobs: Number of tokens with log probabilities.
        message: The first choice's whole message; ids of tool calls are replaced, they are random,
            and arguments parsed, their white space differs.
        detail: The host's words about a failure, where it has any that a client may see.
        received: Body that the host got, None where it got none.
    """

    outcome: str = "answered"
    status: int | None = None
    retry_after_s: float | None = None
    detail: str | None = None
    content: str = ""
    thinks: bool = False
    refusal: str | None = None
    began: bool = False
    pieces: int = 0
    calls: list[str] = field(default_factory=list)
    in_parts: bool = False
    keys: list[str] = field(default_factory=list)
    choices: int = 0
    logprobs: int = 0
    finish_reason: str | None = None
    model: str | None = None
    fingerprint: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    message: dict[str, Any] = field(default_factory=dict)
    received: Any = None

    def take(self, chunk: Chunk) -> None:
        """Counts one chunk."""
        self.model = self.model or chunk.served_model
        self.fingerprint = chunk.system_fingerprint or self.fingerprint
        if chunk.usage is not None:
            self.prompt_tokens, self.completion_tokens = chunk.usage.prompt_tokens, chunk.usage.completion_tokens
            self.reasoning_tokens, self.cached_tokens = chunk.usage.reasoning_tokens, chunk.usage.cached_tokens
        at_once = len(chunk.parts) if type(chunk) is TextChunk and chunk.parts is not None else 1
        for choice in chunk.choices:
            delta = choice["delta"]
            self.began = self.began or has_token(chunk)
            self.pieces += at_once * bool(delta.get("content") or delta.get("reasoning_content"))
            for call in delta.get("tool_calls") or ():
                assert call.get("index") is not None
                if not call.get("id") and call["function"].get("arguments"):
                    self.in_parts = True

    def whole(self, collector: Collector) -> None:
        """Reads the merged answer."""
        choices = collector.choices()
        if not (self.began and choices):
            return  # before a first token the chain shows nothing
        self.choices = len(choices)
        first = choices[0]
        message = {name: value for name, value in first["message"].items() if value is not None}
        for call in message.get("tool_calls", ()):
            assert call["id"]
            call["id"] = "an id"
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        self.message = message
        self.content = message.get("content", "")
        self.refusal = message.get("refusal")
        self.thinks = bool(message.get("reasoning_content"))
        self.calls = [call["function"]["name"] for call in message.get("tool_calls", ())]
        self.finish_reason = first["finish_reason"] if self.outcome == "answered" else None
        self.logprobs = len((first.get("logprobs") or {}).get("content") or ())
        if self.content.startswith("{"):
            self.keys = sorted(json.loads(self.content))


async def see(way: Way, call: Call, limit_s: float = LONGEST_S) -> Seen:
    """Sends one request and looks at all that comes back."""
    seen, collector = Seen(), Collector()
    try:
        async with aclosing(way.stream(call)) as batches:  # type: ignore[type-var]
            while True:
                async with asyncio.timeout(limit_s):
                    batch = await anext(batches)
                for chunk in batch:
                    seen.take(chunk)
                    collector.add(chunk)
    except StopAsyncIteration:
        pass
    except TimeoutError:
        seen.outcome = "silent"
    except UpstreamFailure as failure:
        seen.outcome, seen.status, seen.retry_after_s = failure.outcome, failure.status, failure.retry_after_s
        seen.detail = failure.detail if failure.outcome not in ("connect", "cut", "garbage") else None
    seen.whole(collector)
    return seen


@asynccontextmanager
async def wire_server() -> AsyncIterator[str]:
    """Answers ``/NAME/...`` with the bytes of ``tests/contract/wire/NAME.txt``, in two writes; gives its address.

    ``/NAME:FIELD/...`` refuses a body that has the field. It is a proxy too: what host is asked for does not matter,
    and litellm asks localhost:11434 for what it does not know of a model: it gets no answer.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = json.loads(await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0))
        name, _, refuses = urlsplit(head.split(b" ")[1].decode()).path.split("/")[1].partition(":")
        raw = recorded(f"refused_{refuses}" if refuses in body else name) if name != "api" else b""
        writer.write(raw[: len(raw) // 2])
        await writer.drain()
        await asyncio.sleep(0.005)
        writer.write(raw[len(raw) // 2 :])
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def recorded(name: str) -> bytes:
    """One answer as it goes over the wire: the file without its comment, the head with the line ends of HTTP.

    In a file whose name starts with ``crlf`` the body gets them too. A file without a head is sent as it is.
    """
    text = (WIRE_FOLDER / f"{name}.txt").read_text()
    if "HTTP/1.1" not in text:
        return text.partition("\n\n")[2].encode()
    text = text[text.index("HTTP/1.1") :]
    head, _, body = text.partition("\n\n")
    if name.startswith("crlf"):
        body = body.replace("\n", "\r\n")
    return (head.replace("\n", "\r\n") + "\r\nConnection: close\r\n\r\n").encode() + body.encode()


def deployment_of(name: str, case: Case, address: str) -> Deployment:
    """The deployment of one case."""
    native = case.place.endswith("ollama")
    path = f"/{case.wire}:{case.refuses}" if case.refuses else f"/{case.wire}" if case.wire else ""
    return Deployment.model_validate(
        {
            "id": re.sub(r"[^a-z0-9]+", "-", name.lower()),
            "host": "host",
            "address": address + path,
            "provider": "ollama" if native else "openai",
            "model": case.model or MODELS[case.place],
            "key": case.key,
            "context": 8192,
            **case.deployment,
        }
    )


async def play(way_name: str) -> dict[str, Any]:
    """All cases, one after another."""
    cases = all_cases()
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(SimulatedHost(LOCAL))
        cloud = await stack.enter_async_context(SimulatedHost(CLOUD))
        wire = await stack.enter_async_context(wire_server())
        hosts = {"ollama": local, "openai": cloud}
        addresses = {"ollama": local.address, "openai": cloud.openai_base, "wire-ollama": wire, "wire-openai": wire}
        os.environ.update(http_proxy=wire, no_proxy="127.0.0.1")
        deployments = {name: deployment_of(name, case, addresses[case.place]) for name, case in cases.items()}
        way: Way = LeanWay({d.id for d in deployments.values() if d.local})
        if way_name == "router":
            way = RouterWay(configuration_of(list(deployments.values())))
            await way.prepare()
            first = deployments["openai: text"]  # litellm imports more at its first call
            await see(way, Call(first, first.address or "", None, {"messages": ASK}))
        seen: dict[str, Any] = {}
        for name, case in cases.items():
            deployment = deployments[name]
            host = hosts.get(case.place)
            if host is not None:
                await host.areset()
                await host.aset_fault(case.fault)
            body = {"messages": ASK, **case.body, **case.deployment.get("add", {})}
            limit_s = SILENCE_S if case.outcome == "silent" else LONGEST_S
            found = await see(way, Call(deployment, deployment.address or "", case.key, body), limit_s)
            if host is not None:
                requests = (await host.alog()).requests
                found.received = requests[-1].body if requests else None
            seen[name] = asdict(found)
        await way.close()
    return seen


def configuration_of(deployments: list[Deployment]) -> Configuration:
    """A configuration with all deployments in one tier."""
    tiers = {tier: {"deployments": [], "first_token_s": 30} for tier in ("lightweight", "reasoning")}
    coding = {"deployments": [d.model_dump() for d in deployments], "first_token_s": 30}
    return Configuration.model_validate(
        {"hosts": {"host": {"address": "http://127.0.0.1"}}, "tiers": {**tiers, "coding": coding}}
    )


if __name__ == "__main__":
    json.dump(asyncio.run(play(sys.argv[1])), sys.stdout)
