"""TensorZero's gateway embedded in Python, behind a bare FastAPI app. Runs in an environment of its own.

``python bare_tensorzero.py PORT CONFIG.toml``; imports nothing of ours, since that environment has none of it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import Response, StreamingResponse
from tensorzero import AsyncTensorZeroGateway  # type: ignore[import-not-found]


def application(config: str) -> FastAPI:
    """The app over one embedded gateway."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        made = AsyncTensorZeroGateway.build_embedded(config_file=config, async_setup=True)
        app.state.gateway = await made
        yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = orjson.loads(await request.body())
        answer = await app.state.gateway.inference(
            model_name=body["model"],
            input={"messages": body["messages"]},
            stream=bool(body.get("stream")),
            params={"chat_completion": {"max_tokens": body["max_tokens"]} if "max_tokens" in body else {}},
        )
        if body.get("stream"):
            return StreamingResponse(_events(answer, body["model"]), media_type="text/event-stream")
        text = "".join(block.text or "" for block in answer.content)
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return _json({"id": str(answer.inference_id), "object": "chat.completion", "choices": [choice]})

    return app


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


async def _events(answer: Any, model: str) -> AsyncIterator[bytes]:
    async for chunk in answer:
        delta = {"content": "".join(getattr(block, "text", "") or "" for block in chunk.content)}
        event = {
            "id": str(chunk.inference_id),
            "object": "chat.completion.chunk",
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": None}],
        }
        yield b"data: " + orjson.dumps(event) + b"\n\n"
    yield b"data: [DONE]\n\n"


if __name__ == "__main__":
    uvicorn.run(
        application(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False
    )
