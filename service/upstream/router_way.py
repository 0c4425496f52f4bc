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
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from service.config import Configuration
from service.upstream import lean_ollama, lean_openai
from service.upstream.interface import Call, Chunk, Outcome, UpstreamFailure, Usage, WayName
from service.upstream.lean_ollama_stream import OllamaReader
from service.upstream.lean_openai import OpenAIReader, reshape
from service.upstream.lean_session import ssl_context
from service.upstream.refused_fields import RefusedFields
from service.upstream.router_failures import from_exception
from service.upstream.router_request import LONGEST_S, call_arguments, is_ollama, model_list
from service.upstream.think_tags import tags_of
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
        self._at_home = frozenset(d.id for _, d in configuration.deployments() if configuration.is_local(d))
        self._refused = RefusedFields()
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
        """Waits until calls can be sent, or each will fail with the same words."""
        with suppress(UpstreamFailure):
            await self._loaded()

    async def stream(self, call: Call) -> AsyncIterator[list[Chunk]]:
        """See `Way.stream`. One batch per read from the network, or per chunk of litellm's."""
        watch, answer = await self._answer(call)
        if watch.answer is None:
            batches = _litellms(answer, watch, call)
        else:
            await _close(answer)
            tags = tags_of(call, self._at_home)
            batches = watch.read(OllamaReader(tags) if is_ollama(call.deployment) else OpenAIReader(tags))
        async with aclosing(batches):
            async for batch in batches:
                yield batch

    async def _answer(self, call: Call) -> tuple[WireWatch, Any]:
        """What the host gave, and litellm's stream where we cannot read that ourselves.

        Raises:
            UpstreamFailure: No answer.
        """
        litellm = await self._loaded()
        left_out = self._refused.of(call)
        watch = WireWatch(lean_ollama.PATH if is_ollama(call.deployment) else lean_openai.PATH, call.key)
        arguments = call_arguments(call, litellm.client, left_out)
        token = WATCH.set(watch)  # the sending task copies the context
        try:
            answer = await litellm.router.acompletion(**arguments)
        except Exception as error:  # noqa: BLE001  # litellm raises whatever its providers raise
            failure = from_exception(error, watch, key=call.key)
        except BaseException:
            await watch.close()
            raise
        else:
            return watch, answer
        finally:
            WATCH.reset(token)
        if watch.answer is not None:
            return watch, None  # what litellm makes of a stand-in says nothing
        if self._refused.learn(call, left_out, failure):
            return await self._answer(call)
        raise failure

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


async def _litellms(answer: Any, watch: WireWatch, call: Call) -> AsyncGenerator[list[Chunk], None]:
    """The chunks of a protocol that only litellm speaks, as it tells them."""
    named = False
    async with aclosing(_closing(answer)) as chunks:
        try:
            async for raw in chunks:
                chunk = _chunk(raw)
                chunk.served_model, named = (None if named else raw.model), named or bool(raw.model)
                yield [chunk]
        except UpstreamFailure:
            raise
        except Exception as error:  # noqa: BLE001  # litellm raises whatever its providers raise
            raise from_exception(error, watch, key=call.key) from None


def _chunk(raw: Any) -> Chunk:
    usage = getattr(raw, "usage", None)
    return Chunk(
        choices=[_choice(choice) for choice in raw.choices],
        usage=_usage(usage) if usage is not None else None,
        system_fingerprint=getattr(raw, "system_fingerprint", None),
    )


def _choice(choice: Any) -> dict[str, Any]:
    delta = choice.delta.model_dump(exclude_none=True) if choice.delta is not None else {}
    delta.pop("provider_specific_fields", None)
    reshape(delta)
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
        await _close(answer)


async def _close(answer: Any) -> None:
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
    """Runs in a thread. Sets what keeps litellm off the network and quiet, then builds the Router.

    Raises:
        UpstreamFailure: Certificates that the environment names cannot be read.
    """
    try:
        certificates = ssl_context()  # litellm knows of SSL_CERT_FILE alone
    except OSError as error:
        log.error("certificates named in the environment: %s", error)
        raise UpstreamFailure(Outcome.CONNECT, f"certificates named in the environment: {error}") from None
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
    client = AsyncHTTPHandler(
        timeout=LONGEST_S, event_hooks={"response": [on_response]}, follow_redirects=False, ssl_verify=certificates
    )
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
