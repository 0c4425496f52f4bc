"""The control port of a simulated host: change its fault, read what it received, reset it.

Loopback only, on a port of its own so that it is there while the service port is down. A request whose Host
header names anything but loopback is refused, so that a web page in a browser cannot reach it by a rebound name.
"""

from __future__ import annotations

import orjson
from aiohttp import web

from service.demo.hosts.exchange import json_response
from service.demo.hosts.faults import BadFault, parse_fault
from service.demo.hosts.process import RunningHost

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost"})


def control_server(running: RunningHost) -> web.Server:
    """Make the server of the control port."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Host", "").partition(":")[0] not in _LOOPBACK_NAMES:
            return _error(403, "the control port is for loopback")
        match request.method, request.path:
            case "POST", "/_control/fault":
                return await _set_fault(running, await request.read())
            case "POST", "/_control/reset":
                await running.reset()
                return json_response(orjson.dumps(_state(running)))
            case "GET", "/_control/log":
                return json_response(orjson.dumps({**_state(running), "requests": running.host.log.to_json()}))
            case "GET", "/_control/state":
                return json_response(orjson.dumps(_state(running)))
        return _error(404, "one of: POST /_control/fault, POST /_control/reset, GET /_control/log, GET /_control/state")

    return web.Server(handle, access_log=None)


async def _set_fault(running: RunningHost, raw: bytes) -> web.Response:
    """Read ``{"fault": "name:key=value"}`` and put it in force."""
    try:
        body = orjson.loads(raw)
        text = body["fault"]
        if not isinstance(text, str):
            raise TypeError
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _error(400, 'expected {"fault": "NAME"} or {"fault": "NAME:key=value,key=value"}')
    try:
        await running.apply(parse_fault(text))
    except BadFault as error:
        return _error(400, str(error))
    return json_response(orjson.dumps(_state(running)))


def _state(running: RunningHost) -> dict[str, object]:
    """Give the host's counters and what it holds now."""
    host = running.host
    return {
        "name": host.spec.name,
        "kind": host.spec.kind,
        "fault": host.faults.current.name,
        "received": host.log.total,
        "loads": host.memory.loads,
        "reloads": host.memory.reloads,
        "swaps": host.memory.swaps,
        "loaded": [one.model for one in host.memory.resident() if one.ready.is_set()],
    }


def _error(status: int, text: str) -> web.Response:
    """Make an error of the control port."""
    return json_response(orjson.dumps({"error": text}), status)
