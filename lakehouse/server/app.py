"""The application: routes, errors in words, and the guard around them."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from lakehouse.errors import LakeError, UsageError
from lakehouse.lake import Lake
from lakehouse.server import api, knn
from lakehouse.server.guard import Guard
from lakehouse.server.limits import Limits
from lakehouse.server.pictures import outgoing
from lakehouse.server.provenance import NotThereError
from lakehouse.server.service import NotAllowedError, Service
from lakehouse.server.sessions import BusyError, TooLongError
from lakehouse.server.versions import Versions
from transforms.downloads.rules import Network

THREADS = 64  # requests that are worked on at a time; others wait their turn
_STATUS: dict[type[LakeError], int] = {
    NotAllowedError: 403,
    NotThereError: 404,
    BusyError: 503,
    TooLongError: 422,
    UsageError: 422,
}
_log = logging.getLogger("pairlake.server")


def application(
    lake: Lake, limits: Limits | None = None, token: str | None = None, network: Network | None = None
) -> Guard:
    """The ASGI application that serves `lake`.

    Without a `token` it takes no writes. `network`: how pictures are fetched for visitors; by default as the
    lake's own, but to public addresses alone.
    """
    limits = limits or Limits()
    service = Service(Versions(lake, limits), limits, network or outgoing(lake.settings.network), token)
    app = FastAPI(
        title="Pairlake",
        version="1",
        description="Search, count and provenance over one lake of image-text pairs.",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan(service),
        strict_content_type=False,  # clip-retrieval's ClipClient names none; there are no cookies to steal
        responses={422: {"description": "One line in `error` says what is wrong."}},
    )
    app.include_router(knn.routes(service))
    app.include_router(api.routes(service))
    _own(app)
    _errors(app, lake.storage.root)
    app.mount("/", StaticFiles(directory=str(files("lakehouse.server") / "page"), html=True), name="page")
    return Guard(app, limits)


def _lifespan(service: Service):  # type: ignore[no-untyped-def]  # FastAPI's type for it is private
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        threading.Thread(target=service.warm, daemon=True, name="warm").start()
        yield

    return lifespan


def _own(app: FastAPI) -> None:
    @app.get("/health")
    def health() -> dict[str, str]:
        """That the server answers."""
        return {"status": "ok"}

    @app.get("/metrics", response_class=Response)
    def numbers() -> Response:
        """For Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _errors(app: FastAPI, root: str) -> None:
    @app.exception_handler(LakeError)
    def lake_error(request: Request, error: LakeError) -> JSONResponse:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        if status == 500:  # its message may name places of this machine
            _log.error("%s %s: %s", request.method, request.url.path, error)
            return JSONResponse({"error": "the lake could not be read: the server's log says why"}, 500)
        headers = {"Retry-After": "5"} if status == 503 else None
        said = " ".join(str(error).replace(root, "LAKE").split())  # where it lies is nobody's business
        return JSONResponse({"error": said}, status, headers=headers)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]  # without what was sent: it may be large, or no JSON
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse({"error": f"{where}: {first['msg']}" if where else str(first["msg"])}, 422)

    @app.exception_handler(HTTPException)
    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    def defect(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "this should not happen: the server's log says what did"}, 500)
