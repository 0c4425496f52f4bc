"""litellm's Router as a way upstream: one deployment a call, no retries, fallbacks, order or cooldowns of its own.

litellm takes 6 to 10 seconds and 200 MB to import, so it is imported in a thread when the service starts, and only
where a deployment needs it. Its callbacks, caches and HTTP sessions are process globals: one `RouterWay` per process
at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from service.config import Configuration
from service.upstream.interface import Call, Chunk, UpstreamFailure, Usage, WayName
from service.upstream.router_failures import ended_early, from_exception, from_watch
from service.upstream.router_request import LONGEST_S, call_arguments, is_ollama, model_list
from service.upstream.wire_watch import WATCH, WireWatch, on_response

log = logging.getLogger("autotier.upstream")


@dataclass(frozen=True, slots=True)
class _Litellm:
    """What is there once litellm is imported."""

    router: Any
    client: Any


class RouterWay:
    """Implements `service.upstream.interface.Way` over ``litellm.Router``.

    Args:
        configuration: All deployments; the Router is built from them, called by their ids.
    """

    name: WayName = "router"

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._loading: asyncio.Task[_Litellm] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a call would be sent at once: litellm is imported and the Router built."""
        return self._loading is not None and self._loading.done() and self._loading.exception() is None

    def start(self) -> None:
        """Begins to import litellm in a thread. Needs a running loop; a second call does nothing."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="autotier-litellm")

    async def prepare(self) -> None:
        """Waits until calls can be sent."""
        await self._loaded()

    async def stream(self, call: Call) -> AsyncIterator[list[Chunk]]:
        """See `Way.stream`. One batch per chunk of litellm's."""
        litellm = await self._loaded()
        watch = WireWatch("ndjson" if is_ollama(call.deployment) else "sse")
        watched = call.deployment.provider == "openai" or is_ollama(call.deployment)
        token = WATCH.set(watch)  # the sending task copies the context
        try:
            answer = await litellm.router.acompletion(**call_arguments(call, litellm.client))
        except UpstreamFailure:
            raise  # the request cannot be expressed; nothing was sent
        except Exception as error:  # noqa: BLE001  # litellm raises whatever its providers raise
            raise from_exception(error, watch, key=call.key) from None
        finally:
            WATCH.reset(token)
        reader = _Reader(watch if watched else None)
        async with aclosing(_closing(answer)) as chunks:
            try:
                async for raw in chunks:
                    self._raise_if_broken(watch, call)
                    yield [reader.chunk(raw)]
            except Exception as error:  # noqa: BLE001  # as above
                raise from_exception(error, watch, key=call.key) from None
        failure = ended_early(watch, key=call.key) if watched else None
        if failure is not None:
            raise failure
        last = reader.last()
        if last is not None:
            yield [last]

    async def close(self) -> None:
        """Closes connections and lets the Router go."""
        loading, self._loading = self._loading, None
        if loading is None:
            return
        if not loading.done():
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            return
        if loading.exception() is None:
            await loading.result().client.close()

    async def _loaded(self) -> _Litellm:
        self.start()
        assert self._loading is not None
        return await asyncio.shield(self._loading)  # a request that leaves does not end it for the others

    async def _load(self) -> _Litellm:
        loaded = await asyncio.to_thread(_import_and_build, self._configuration)
        _send_through(loaded.client)
        return loaded

    def _raise_if_broken(self, watch: WireWatch, call: Call) -> None:
        failure = from_watch(watch, key=call.key)
        if failure is not None:
            raise failure


class _Reader:
    """litellm's chunks into ours; usage, model and fingerprint as the wire had them, since litellm invents them."""

    def __init__(self, watch: WireWatch | None) -> None:
        self._watch = watch
        self._named = False
        self._ids = 0

    def chunk(self, raw: Any) -> Chunk:
        choices = [self._choice(choice) for choice in raw.choices]
        chunk = Chunk(choices=choices, system_fingerprint=getattr(raw, "system_fingerprint", None))
        if not self._named:
            chunk.served_model = self._watch.served_model if self._watch is not None else raw.model
            self._named = chunk.served_model is not None
        if self._watch is None and getattr(raw, "usage", None) is not None:
            chunk.usage = _usage(raw.usage)
        return chunk

    def last(self) -> Chunk | None:
        """What the wire told at its end."""
        return Chunk(usage=self._watch.usage) if self._watch is not None and self._watch.usage is not None else None

    def _choice(self, choice: Any) -> dict[str, Any]:
        delta = choice.delta.model_dump(exclude_none=True) if choice.delta is not None else {}
        for call in delta.get("tool_calls") or ():
            # litellm gives an Ollama call without arguments no id; a continued OpenAI call has none either, nor a name.
            if call.get("id") is None and call.get("function", {}).get("name"):
                call["id"] = f"call_{os.urandom(12).hex()}"
        delta.pop("provider_specific_fields", None)
        shown = {"index": choice.index or 0, "delta": delta, "finish_reason": choice.finish_reason}
        logprobs = getattr(choice, "logprobs", None)
        if logprobs is not None:
            shown["logprobs"] = logprobs if isinstance(logprobs, dict) else logprobs.model_dump(exclude_none=True)
        return shown


def _usage(raw: Any) -> Usage:
    completion, prompt = getattr(raw, "completion_tokens_details", None), getattr(raw, "prompt_tokens_details", None)
    return Usage(
        prompt_tokens=raw.prompt_tokens or 0,
        completion_tokens=raw.completion_tokens or 0,
        reasoning_tokens=getattr(completion, "reasoning_tokens", None) or 0,
        cached_tokens=getattr(prompt, "cached_tokens", None) or 0,
    )


async def _closing(answer: Any) -> AsyncGenerator[Any, None]:
    """litellm's stream as a generator whose end closes the connection to the host."""
    try:
        async for chunk in answer:
            yield chunk
    finally:
        close = getattr(answer, "aclose", None)
        if close is not None:
            await close()


async def _warm(router: Any, configuration: Configuration) -> None:
    """One made-up answer per provider: the first call imports more, which would hold the event loop for 0.8 s."""
    one_each = {d.provider: d.id for _, d in configuration.deployments()}
    for ident in one_each.values():
        question = [{"role": "user", "content": "warm up"}]
        answer = await router.acompletion(model=ident, messages=question, stream=True, mock_response="warm")
        async for _ in answer:
            pass


def _send_through(client: Any) -> None:
    """Makes ``client`` the one that litellm's OpenAI clients send through: a global of the process.

    At a reload the Router before is still at work, and its HTTP client is closed after its last request. So the kept
    OpenAI clients go in the same step of the event loop: one that a request made in between would outlive its HTTP
    client.
    """
    import litellm

    litellm.aclient_session = client.client
    cached = getattr(litellm, "in_memory_llm_clients_cache", None)
    if cached is not None:
        cached.flush_cache()


def _import_and_build(configuration: Configuration) -> _Litellm:
    """Runs in a thread. Sets what keeps litellm off the network and quiet, then builds the Router."""
    # Before the first import: it fetches a cost map from the network otherwise, three tries, 7 s where blocked.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    # They log prompts, keys and the hosts' words at one level or another; what counts is in our attempts.
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "openai._base_client"):
        logging.getLogger(name).disabled = True
    litellm.telemetry = False
    litellm.suppress_debug_info = True  # it prints to the terminal
    litellm.drop_params = False
    client = AsyncHTTPHandler(timeout=LONGEST_S, event_hooks={"response": [on_response]}, follow_redirects=False)
    router = litellm.Router(
        model_list=model_list(configuration),
        num_retries=0,
        disable_cooldowns=True,
        timeout=LONGEST_S,
        stream_timeout=LONGEST_S,
    )
    asyncio.run(_warm(router, configuration))
    log.info("litellm is ready for %d deployments", len(configuration.deployments()))
    return _Litellm(router, client)
