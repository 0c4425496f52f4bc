"""The ASGI application: routes, and errors in OpenAI's format whatever raises them."""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api import admin, cache, chat, decisions, feedback, health, models, savings
from service.api.gateway import error_response
from service.api.parts import Leases, Running
from service.errors import AutotierError, InvalidRequest, RequestError

log = logging.getLogger("autotier.api")

SURFACES = (chat, models, feedback, decisions, health, admin, cache, savings)
Opener = Callable[[], AbstractAsyncContextManager[Running]]


class _Plain(RequestError):
    """An error of the HTTP layer itself (no such path, wrong method)."""

    type = "invalid_request_error"

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status  # type: ignore[misc]  # the layer's own status


class Application(FastAPI):
    """FastAPI, and a short way past it for chat requests.

    Its seven layers (routing, dependencies, middleware) cost a chat request 0.2 ms and give it nothing: the gateway
    reads the body within limits and answers every error itself.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or passes the lifespan on."""
        if scope["type"] != "http" or scope["path"] != chat.PATH or scope["method"] != "POST":
            await super().__call__(scope, receive, send)
            return
        parts = cast(Running, self.state.running).parts
        with parts.users:
            response = await parts.gateway.answer(Request(scope, receive, send))
            await response(scope, receive, send)


def create_app(opener: Opener) -> Application:
    """The application over the service that ``opener`` gives for its lifetime, as ``app.state.running``.

    What keeps it from starting is ``app.state.failed``, None otherwise.

    Args:
        opener: Opens the service and closes it (``service.bootstrap.opener``).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with opener() as running:
                app.state.running = running
                yield
        except AutotierError as error:
            app.state.failed = error
            raise

    app = Application(
        title="autotier",
        version=version("autotier"),
        description="An OpenAI-compatible router that picks a tier for each request.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.failed = None
    app.add_middleware(Leases)
    for module in SURFACES:
        app.include_router(module.router)
    app.add_exception_handler(RequestError, _request_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _unexpected)
    return app


async def _request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    headers = {} if error.retry_after_s is None else {"retry-after": str(max(1, math.ceil(error.retry_after_s)))}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return error_response(error, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}{_instead(request, error)}"
    return error_response(_Plain(error.status_code, message), error.headers or {})


def _instead(request: Request, error: HTTPException) -> str:
    """What to write, for a path or a method that is none here."""
    if error.status_code == 405:
        return f"; use {allowed}" if (allowed := (error.headers or {}).get("Allow")) else ""
    if error.status_code != 404:
        return ""
    routes = (route.path for module in SURFACES for route in module.router.routes if isinstance(route, APIRoute))
    paths = sorted({path for path in routes if "admin" not in path})
    last = request.url.path.rstrip("/").rpartition("/")[2]
    near = [path for path in paths if last and path.endswith(f"/{last}")]
    near = near or difflib.get_close_matches(request.url.path[:80], paths, 1, 0.7)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(paths)}"


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":  # its place is a byte, not a field
        return error_response(InvalidRequest(f"the body is not JSON: {first['ctx']['error']}"), {})
    kind = request.headers.get("content-type", "")
    if first["loc"] == ("body",) and "json" not in kind.lower():
        came = f"it came as {kind[:80]}" if kind else "it came without one"
        return error_response(InvalidRequest(f"the body is read with content-type: application/json; {came}"), {})
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return error_response(InvalidRequest(f"{where or 'body'}: {first['msg']}", param=where or None), {})


async def _unexpected(request: Request, error: Exception) -> Response:
    """A defect of ours: logged with its trace, answered without it."""
    log.error("unexpected error at %s %r", request.method, request.url.path, exc_info=error)
    return error_response(RequestError("autotier failed on this request; its log has the trace"), {})
