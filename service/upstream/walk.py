"""One request's way through its chain: what is left, what it may take, and what a dead stream has left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.config import Deployment
from service.upstream.interface import Call
from service.upstream.plan import Plan


@dataclass(frozen=True, slots=True)
class Prefix:
    """What a stream had sent when it died.

    Attributes:
        text: The answer so far, not empty.
        tokens: Its length.
    """

    text: str
    tokens: int


@dataclass(slots=True)
class Walk:
    """One request's way through the chain. Seconds of the clock.

    Attributes:
        deadline_s: The tier's limit to the first token.
        cap_s: The longest answer.
        prefix: What the next deployment continues from, None for a new answer.
    """

    plan: Plan
    started_s: float
    deadline_s: float
    cap_s: float
    remaining: list[Deployment]
    stand_ins: list[Deployment]
    cold_hosts: set[str] = field(default_factory=set)
    prefix: Prefix | None = None

    @property
    def ends_s(self) -> float:
        """When the next first token comes too late."""
        return min(self.deadline_s, self.cap_s)

    def take(self, deployment: Deployment) -> None:
        """Marks ``deployment`` as visited."""
        self.remaining = [d for d in self.remaining if d.id != deployment.id]
        self.stand_ins = [d for d in self.stand_ins if d.id != deployment.id]

    def call(self, deployment: Deployment) -> Call:
        """What is sent to ``deployment``."""
        call = self.plan.call(deployment)
        return call if self.prefix is None else replace(call, body=continued(call.body, self.prefix))


def continued(body: Mapping[str, Any], prefix: Prefix) -> dict[str, Any]:
    """The body of a request that goes on after ``prefix``.

    The prefix is a last message of the assistant's: Ollama, Anthropic, Mistral and OpenRouter go on from there by
    themselves, vLLM where the deployment adds ``continue_final_message``; OpenAI's models as a rule do. No instruction
    is written into the conversation.

    Args:
        body: OpenAI chat body; not changed. A limit of tokens is shortened by what was sent.
        prefix: What was sent.
    """
    messages = list(body.get("messages") or ())
    last = messages[-1] if messages else {}
    if last.get("role") == "assistant" and isinstance(last.get("content"), str):  # the client's own prefix
        messages[-1] = {**last, "content": last["content"] + prefix.text}
    else:
        messages.append({"role": "assistant", "content": prefix.text})
    made = {**body, "messages": messages}
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(body.get(name), int):
            made[name] = max(body[name] - prefix.tokens, 1)
    return made
