"""Serves the demo's web over real HTTP, on loopback, all hosts behind one port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from aiohttp import web

from lakehouse.demo.sites import Answer, Web

LOOPBACK = "127.0.0.1"

NOT_FOUND = Answer(404, body=b"<h1>404 Not Found</h1>")
"""What a host answers to a path that it does not have."""


@contextmanager
def serve(site: Web) -> Iterator[tuple[str, int]]:
    """Serves `site` from a thread of its own as long as the context lasts; gives (address, port).

    Which host is asked is told by the Host header, whatever its port: a crawler that resolves `*.test` to
    this address and port finds every URL under its own name. Raises OSError where no socket can be had.
    """
    started: Future[tuple[str, int]] = Future()
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()

    async def run() -> None:
        # A client that gives up frees its handler at once, and nobody waits for slow answers at the end
        runner = web.AppRunner(
            application(site), access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, 0).start()
            started.set_result(runner.addresses[0][:2])
            await ending.wait()
        finally:
            await runner.cleanup()

    def live() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            try:
                runner.run(run())
            except OSError as error:  # no socket to be had
                started.set_exception(error)

    thread = threading.Thread(target=live, name="demo-web", daemon=True)
    thread.start()
    try:
        yield started.result()
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(ending.set)
        thread.join()


def application(site: Web) -> web.Application:
    """The one handler of all hosts."""

    async def handle(request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0].lower()
        return await _send(request, site.answers.get((host, request.path_qs), NOT_FOUND))

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    return app


async def _send(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Waits, then sends the answer, whole or cut off."""
    await asyncio.sleep(answer.wait)
    headers = {"Content-Type": answer.media_type, **dict(answer.headers)}
    if answer.cut is None:
        return web.Response(status=answer.status, headers=headers, body=answer.body)
    headers["Content-Length"] = str(len(answer.body))
    response = web.StreamResponse(status=answer.status, headers=headers)
    await response.prepare(request)
    await response.write(answer.body[: answer.cut])
    if request.transport is not None:
        request.transport.close()
    return response
