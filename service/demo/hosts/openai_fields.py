"""What a simulated host reads of an OpenAI request beside its messages."""

from __future__ import annotations

from service.demo.hosts.answers import Wanted
from service.demo.hosts.catalog import card_for, is_reasoning_cloud_model
from service.demo.hosts.exchange import Exchange
from service.demo.hosts.openai_errors import Refused

MAX_CHOICES = 128


def wanted(exchange: Exchange, model: str) -> Wanted:
    """Read what shapes the answer."""
    body = exchange.body
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    stop, seed = body.get("stop"), body.get("seed")
    forced, parallel = _tool_choice(body.get("tool_choice")), body.get("parallel_tool_calls") is not False
    if exchange.spec.kind == "ollama":
        thinks = "thinking" in card_for(model).capabilities and body.get("reasoning_effort") != "none"
        forced = None
    else:
        thinks = is_reasoning_cloud_model(model)
    return Wanted(
        length=exchange.spec.answer_tokens,
        max_tokens=limit if isinstance(limit, int) else None,
        stop=(stop,) if isinstance(stop, str) else tuple(stop) if isinstance(stop, list) else (),
        seed=seed if isinstance(seed, int) else 0,
        schema=_schema(body.get("response_format")),
        thinking=exchange.spec.think_tokens if thinks else 0,
        tools=read_tools(body.get("tools")),
        forced=forced,
        parallel=parallel,
    )


def choices(exchange: Exchange) -> int:
    """Give how many answers are asked for; Ollama knows only one.

    Raises:
        Refused: ``n`` is not a number from 1 to 128.
    """
    number = exchange.body.get("n")
    if number is None or exchange.spec.kind == "ollama":
        return 1
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MAX_CHOICES:
        raise Refused(
            400, f"Invalid 'n': expected an integer from 1 to {MAX_CHOICES}.", param="n", code="invalid_value"
        )
    return number


def inputs(raw: object) -> list[str]:
    """Give the texts to embed: a string, a list of strings, or (lists of) token ids, written as words.

    Raises:
        Refused: None of these, or empty.
    """
    if isinstance(raw, str):
        return [raw]
    if isinstance(raw, list) and raw:
        if all(isinstance(one, str) for one in raw):
            return raw
        if all(isinstance(one, int) for one in raw):
            return [" ".join(map(str, raw))]
        if all(isinstance(one, list) for one in raw):
            return [" ".join(map(str, one)) for one in raw]
    raise Refused(400, "'input' must be a string or a non-empty array.", param="input", code="invalid_type")


def read_tools(raw: object) -> dict[str, dict[str, object]]:
    """Give the functions offered: name to JSON schema of the parameters. Both protocols write them alike.

    Raises:
        Refused: Not a list of functions with a name.
    """
    if raw is None:
        return {}
    tools: dict[str, dict[str, object]] = {}
    for tool in raw if isinstance(raw, list) else [raw]:
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise Refused(
                400, "Missing required parameter: 'tools[0].function.name'.", param="tools", code="invalid_type"
            )
        parameters = function.get("parameters")
        tools[function["name"]] = parameters if isinstance(parameters, dict) and parameters else {"type": "object"}
    return tools


def _tool_choice(raw: object) -> str | None:
    """Give the forced tool in the form of `Wanted.forced`."""
    if isinstance(raw, dict):
        function = raw.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        return name if isinstance(name, str) else None
    return raw if raw in ("none", "required") and isinstance(raw, str) else None


def _schema(raw: object) -> dict[str, object] | None:
    """Give the schema that the answer has to fit; None for text, empty for any JSON object.

    Raises:
        Refused: A json_schema without a schema.
    """
    kind = raw.get("type") if isinstance(raw, dict) else None
    if kind == "json_object":
        return {}
    if kind != "json_schema" or not isinstance(raw, dict):
        return None
    named = raw.get("json_schema")
    schema = named.get("schema") if isinstance(named, dict) else None
    if not isinstance(schema, dict):
        text = "Missing required parameter: 'response_format.json_schema.schema'."
        raise Refused(400, text, param="response_format", code="missing_required_parameter")
    return schema
