"""``litellm.Router`` alone, behind the same bare FastAPI app as the forwarder.

``python -m tests.bench.bare_router PORT FILE``: FILE is JSON ``{"model_list", "router", "module", "preflight_ms"}``:
the Router's list and arguments, attributes of the module ``litellm`` itself, and, where not 0, the limit of a TCP
pre-flight whose failed verdict is remembered for 15 s (EVIDENCE: the best settings known).

``POST /configure`` with the same JSON makes a fresh Router: importing litellm again for each fault would take longer
than the faults.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

REMEMBER_S = 15.0


def _preflight(limit_ms: float) -> Any:
    """A litellm callback that takes deployments out whose host does not accept a connection."""
    from litellm.integrations.custom_logger import CustomLogger

    class Preflight(CustomLogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._down: dict[tuple[str, int], float] = {}

        async def _reachable(self, address: tuple[str, int]) -> bool:
            if self._down.get(address, 0.0) > time.monotonic():
                return False
            try:
                async with asyncio.timeout(limit_ms / 1000):
                    _, writer = await asyncio.open_connection(*address)
                writer.close()
            except (OSError, TimeoutError):
                self._down[address] = time.monotonic() + REMEMBER_S
                return False
            return True

        async def async_filter_deployments(
            self,
            model: str,
            healthy_deployments: list[Any],
            messages: Any,
            request_kwargs: Any = None,
            *_: Any,
            **__: Any,
        ) -> list[Any]:
            kept = []
            for deployment in healthy_deployments:
                parts = urlsplit(deployment["litellm_params"]["api_base"])
                if await self._reachable((parts.hostname or "", parts.port or 80)):
                    kept.append(deployment)
            return kept

    return Preflight()


def make_router(settings: dict[str, Any]) -> Any:
    """A Router from the JSON of FILE."""
    import litellm

    litellm.suppress_debug_info = True
    litellm.callbacks = []
    for name, value in settings.get("module", {}).items():
        setattr(litellm, name, value)
    if settings.get("preflight_ms"):
        litellm.callbacks = [_preflight(settings["preflight_ms"])]
    return litellm.Router(model_list=settings["model_list"], **settings.get("router", {}))


def application(settings: dict[str, Any]) -> FastAPI:
    """The app over one Router."""
    app = FastAPI(openapi_url=None)
    app.state.router = make_router(settings)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/configure")
    async def configure(request: Request) -> dict[str, str]:
        app.state.router = make_router(await request.json())
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        body = await request.json()
        try:
            answer = await app.state.router.acompletion(**body)
        except Exception as error:  # noqa: BLE001 - the ASGI boundary: the bench shows what the Router raised
            status = getattr(error, "status_code", None) or 500
            return JSONResponse({"error": {"message": str(error)[:500], "type": type(error).__name__}}, status)
        if not body.get("stream"):
            return Response(answer.model_dump_json(), media_type="application/json")
        return StreamingResponse(_events(answer), media_type="text/event-stream")

    return app


async def _events(answer: Any) -> AsyncIterator[str]:
    async for chunk in answer:
        yield f"data: {chunk.model_dump_json(exclude_none=True)}\n\n"
    yield "data: [DONE]\n\n"


def main() -> None:
    """Serves until a signal."""
    settings = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    uvicorn.run(application(settings), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
