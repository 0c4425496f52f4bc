"""What one simulated host is: a value object, and its two-way form as a command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, cast

from service.demo.hosts.catalog import DEFAULT_MODELS, card_for, full_name

HostKind = Literal["ollama", "openai"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """One simulated host.

    Attributes:
        kind: The protocol: ``ollama`` (native API and its OpenAI-compatible one) or ``openai``.
        name: Name that the answers carry, e.g. ``mini``.
        port: Service port on 127.0.0.1; 0 takes a free one.
        control_port: Control port on 127.0.0.1; 0 takes a free one.
        models: Models that are pulled (ollama) or offered (openai); empty means the default of the kind.
        loaded: Models in memory at the start, ``MODEL`` or ``MODEL@CONTEXT``. Without a context it counts as
            loaded with the context of the first request, so that this request does not reload it.
        fault: Fault at the start, see `service.demo.hosts.faults.parse_fault`.
        memory_gb: Memory for models, in GB (ollama).
        sizes: ``MODEL=GB`` pairs that override or add to the known model sizes.
        token_ms: Time between two tokens, in ms; 0 sends the whole answer at once.
        first_token_ms: Time from the request (loaded, slot free) to the first token, in ms.
        load_s: Time to load a model, in seconds (ollama).
        parallel: Generations at a time per model; 0 means 1 for ollama (OLLAMA_NUM_PARALLEL) and 1,000 for openai.
        queue: Requests that may wait for a slot before the host says that it is busy (OLLAMA_MAX_QUEUE).
        context: Context served without ``num_ctx`` (ollama), or of every model (openai); 0 means the default.
        answer_tokens: Length of a plain answer in tokens, before ``max_tokens`` and ``stop``.
        think_tokens: Length of the thinking before an answer, in tokens, where a model thinks.
        keys: Keys that are accepted (openai); empty means that any request is.
    """

    kind: HostKind = "ollama"
    name: str = "mini"
    port: int = 0
    control_port: int = 0
    models: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    fault: str = "none"
    memory_gb: float = 16.0
    sizes: tuple[str, ...] = ()
    token_ms: float = 2.0
    first_token_ms: float = 5.0
    load_s: float = 1.0
    parallel: int = 0
    queue: int = 512
    context: int = 0
    answer_tokens: int = 24
    think_tokens: int = 6
    keys: tuple[str, ...] = ()

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models of this host, in order."""
        return self.models or DEFAULT_MODELS[self.kind]

    @property
    def slots(self) -> int:
        """Generations at a time per model."""
        return self.parallel or (1 if self.kind == "ollama" else 1000)

    def size_gb(self, model: str) -> float:
        """Give the memory that a model takes, in GB."""
        for pair in self.sizes:
            name, _, size = pair.rpartition("=")
            if full_name(name) == full_name(model):
                return float(size)
        return card_for(model).size_gb

    def to_args(self) -> list[str]:
        """Give the command line that `parse_args` reads back into an equal object."""
        args: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            flag = "--" + _FLAGS.get(field.name, field.name.replace("_", "-"))
            for one in value if isinstance(value, tuple) else (value,):
                args.append(f"{flag}={one}")
        return args


_FLAGS = {"models": "model", "sizes": "size", "keys": "key"}
_HELP = {
    "kind": "protocol that the host speaks",
    "name": "name that its answers carry",
    "port": "service port on 127.0.0.1, 0 takes a free one",
    "control_port": "control port on 127.0.0.1, 0 takes a free one",
    "models": "a model that it has (repeatable)",
    "loaded": "a model in memory at the start, MODEL or MODEL@CONTEXT (repeatable)",
    "fault": "fault at the start, NAME or NAME:key=value,key=value",
    "memory_gb": "memory for models, in GB",
    "sizes": "memory of a model, MODEL=GB (repeatable)",
    "token_ms": "milliseconds between two tokens",
    "first_token_ms": "milliseconds to the first token of a loaded model",
    "load_s": "seconds to load a model",
    "parallel": "generations at a time per model",
    "queue": "requests that may wait for a slot",
    "context": "context in tokens where the request does not set it",
    "answer_tokens": "length of an answer in tokens",
    "think_tokens": "length of the thinking in tokens",
    "keys": "an accepted key (repeatable, openai)",
}


def parse_args(argv: Sequence[str]) -> tuple[HostSpec, bool]:
    """Read a command line.

    Returns:
        The host, and whether the process ends with its parent (``--exit-with-parent``).

    Raises:
        SystemExit: The command line is wrong (argparse prints what).
    """
    parser = argparse.ArgumentParser(
        prog="python -m service.demo.hosts", description="One simulated host on 127.0.0.1."
    )
    for field in fields(HostSpec):
        flag = "--" + _FLAGS.get(field.name, field.name.replace("_", "-"))
        default = field.default
        if isinstance(default, tuple):
            parser.add_argument(flag, dest=field.name, action="append", default=[], help=_HELP[field.name])
        else:
            choices = ("ollama", "openai") if field.name == "kind" else None
            parser.add_argument(
                flag,
                dest=field.name,
                type=type(default),
                default=default,
                choices=choices,
                help=f"{_HELP[field.name]} (default: {default})",
            )
    parser.add_argument("--exit-with-parent", action="store_true", help="end when stdin closes or the parent dies")
    values = vars(parser.parse_args(argv))
    with_parent = cast(bool, values.pop("exit_with_parent"))
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    spec = HostSpec(**values)
    problem = _problem(spec)
    if problem:
        parser.error(problem)
    return spec, with_parent


def _problem(spec: HostSpec) -> str | None:
    """Name the first value of a host that cannot be, or None."""
    for pair in spec.sizes:
        name, _, size = pair.rpartition("=")
        if not name or not size.replace(".", "", 1).isdigit():
            return f"--size {pair}: expected MODEL=GB, e.g. qwen3:8b=6"
    have = {full_name(model) for model in spec.model_names}
    for entry in spec.loaded:
        model, _, context = entry.partition("@")
        if full_name(model) not in have:
            return f"--loaded {entry}: the host has no such model, add --model {model}"
        if context and not context.isdigit():
            return f"--loaded {entry}: expected MODEL@CONTEXT with a number of tokens"
    for name in ("memory_gb", "token_ms", "first_token_ms", "load_s", "parallel", "queue", "context"):
        if getattr(spec, name) < 0:
            return f"--{name.replace('_', '-')} must not be negative"
    if spec.answer_tokens < 1:
        return "--answer-tokens must be at least 1"
    return None
