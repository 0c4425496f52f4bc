"""Reads a request's body within limits and checks its shape, before anything else looks at it."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from service.api.header import header_of
from service.config.model import Server
from service.errors import BodyTooLarge, BodyTooSlow, InvalidRequest
from service.in_time import in_time

INLINE_BYTES = 65_536
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
# OpenAI's. Others are carried out by whoever gets them: litellm connects to the address in a tool of type "mcp".
TOOL_TYPES = frozenset({"function", "custom"})
CONTAINERS = (dict, list)
IMAGE_SCHEMES = ("data:", "https://", "http://")


async def read_json(request: Request, limits: Server) -> dict[str, Any]:
    """The JSON object of a request.

    Memory stays below ``max_body_bytes`` and one network read, whatever the client sends: a longer body is refused
    while it arrives.

    Raises:
        BodyTooLarge: Longer than ``limits.max_body_bytes``.
        BodyTooSlow: Not there within ``limits.body_s``.
        ClientDisconnect: The client left before its end.
        InvalidRequest: Compressed, not JSON, not UTF-8, not an object, or nested too deeply.
    """
    encoding = header_of(request, b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise InvalidRequest("content-encoding: send the body uncompressed")
    declared = header_of(request, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limits.max_body_bytes:
        raise BodyTooLarge(f"the body has {int(declared)} bytes; at most {limits.max_body_bytes} are read")
    data = bytearray()
    try:
        await in_time(limits.body_s, _collect(request, data, limits.max_body_bytes))
    except TimeoutError:
        raise BodyTooSlow(f"{len(data)} bytes of the body came in {limits.body_s:g} s, and not its end") from None
    if len(data) > INLINE_BYTES:
        return await asyncio.to_thread(_parse, data, limits.max_depth)
    return _parse(data, limits.max_depth)


async def _collect(request: Request, data: bytearray, most: int) -> None:
    """Adds the body to ``data``, as request.stream() without a generator for what is one piece as a rule."""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        data += message.get("body", b"")
        more = message.get("more_body", False)
        if len(data) > most:
            raise BodyTooLarge(f"the body has more than {most} bytes")


def _parse(data: bytearray, max_depth: int) -> dict[str, Any]:
    try:
        parsed = orjson.loads(data)  # refuses NaN, bad UTF-8 and more than 1,024 levels by itself
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error.msg} (byte {error.pos})") from None
    if not isinstance(parsed, dict):
        raise InvalidRequest("the body is not a JSON object")
    if nests_deeper(parsed, max_depth):
        raise InvalidRequest(f"the body nests deeper than {max_depth}")
    return parsed


def nests_deeper(value: Any, limit: int) -> bool:
    """Whether lists and objects nest deeper than ``limit``; level by level, without recursion."""
    level: list[Any] = [value]
    for _ in range(limit):
        inner: list[Any] = []
        for container in level:
            items = container.values() if isinstance(container, dict) else container
            inner += [item for item in items if isinstance(item, CONTAINERS)]
        if not inner:
            return False
        level = inner
    return True


def check_messages(body: dict[str, Any], limits: Server) -> None:
    """Checks what routing reads of ``messages`` and the numbers; everything else is the deployment's to judge.

    Raises:
        InvalidRequest: With the field as ``param``.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("messages: send a list with at least one message", param="messages")
    if len(messages) > limits.max_messages:
        raise InvalidRequest(f"messages: {len(messages)} of them; at most {limits.max_messages}", param="messages")
    for number, message in enumerate(messages):
        _check_message(message, f"messages[{number}]")
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise InvalidRequest(f"{name}: write a whole number of 1 or more", param=name)
    for name, kind in (("tools", list), ("functions", list), ("response_format", dict)):
        if body.get(name) is not None and not isinstance(body[name], kind):
            raise InvalidRequest(f"{name}: write {'a list' if kind is list else 'an object'}", param=name)
    for number, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str) or tool["type"] not in TOOL_TYPES:
            raise InvalidRequest(f"tools[{number}].type: write one of {', '.join(sorted(TOOL_TYPES))}", param="tools")


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, dict):
        raise InvalidRequest(f"{where}: write an object with role and content", param="messages")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise InvalidRequest(f"{where}.role: write one of {', '.join(sorted(ROLES))}", param="messages")
    content = message.get("content")
    if isinstance(content, str):
        return
    if content is None:
        if role != "assistant":
            raise InvalidRequest(f"{where}.content: null is for assistant messages only", param="messages")
        return
    if not isinstance(content, list):
        raise InvalidRequest(f"{where}.content: write a string, a list of parts or null", param="messages")
    for part in content:
        _check_part(part, where)
    calls = message.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise InvalidRequest(f"{where}.tool_calls: write a list", param="messages")


def _check_part(part: Any, where: str) -> None:
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise InvalidRequest(f"{where}.content: each part is an object with a type", param="messages")
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise InvalidRequest(f"{where}.content: a text part has a string as text", param="messages")
    if part["type"] == "image_url":
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        # Some hosts read file: URLs and bare paths from their own disk.
        if not isinstance(url, str) or not url[:8].lower().startswith(IMAGE_SCHEMES):
            raise InvalidRequest(f"{where}.content: an image is a data: or https: URL", param="messages")
