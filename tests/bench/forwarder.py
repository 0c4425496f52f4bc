"""The yardstick: a bare FastAPI + aiohttp forwarder. It swaps the model's name and passes bytes on, nothing else.

``python -m tests.bench.forwarder PORT '{"MODEL": ["BASE", "NAME AT THE HOST"]}'``: a request for MODEL goes to
``BASE/chat/completions``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse

Targets = dict[str, tuple[str, str]]


def application(targets: Targets) -> FastAPI:
    """The app over its targets: base URL and model name by the model asked for."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            app.state.session = session
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = orjson.loads(await request.body())
        base, body["model"] = targets[body["model"]]
        upstream = await app.state.session.post(
            f"{base}/chat/completions", data=orjson.dumps(body), headers={"content-type": "application/json"}
        )
        if not body.get("stream"):
            return Response(await upstream.read(), upstream.status, media_type="application/json")
        return StreamingResponse(_passed(upstream), upstream.status, media_type="text/event-stream")

    return app


async def _passed(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with upstream:
        async for data in upstream.content.iter_any():
            yield data


def main() -> None:
    """Serves until a signal."""
    targets: Targets = {model: (base, name) for model, (base, name) in json.loads(sys.argv[2]).items()}
    uvicorn.run(application(targets), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
