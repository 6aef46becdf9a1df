"""The stream of ticks: one for each browser, which its tabs share.

A tick says that there is a new view, and the script then asks for what changes of the page that it shows.
A stream ends with its visitor's right to look, and with the site.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import trio
from starlette.responses import PlainTextResponse, Response

from rediq_trio.web.site.fleet import Fleet
from rediq_trio.web.site.headers import ANSWER_HEADERS

STREAMS_MAX = 1_000
"""Streams that are open at the same time."""
TOO_MANY = "As many browsers as may have a stream of this page open. Close some, or reload for new numbers.\n"
SEND_WITHIN = 30.0
"""Seconds in which a browser must take a tick."""
RETRY_MS = 1_000
"""Milliseconds after which a browser connects again."""


class LiveStreams:
    """Opens streams, and ends them all at once."""

    def __init__(self, fleet: Fleet, version: str) -> None:
        self._fleet = fleet
        self._version = version
        self._open = 0
        self._ended = trio.Event()

    def end(self) -> None:
        """End every stream, and open no further one."""
        self._ended.set()

    def answer(self, may_look: Callable[[], Awaitable[bool]]) -> Response:
        """Return a stream, or why there is none: there are too many. `may_look` is asked for each tick."""
        if self._open >= STREAMS_MAX or self._ended.is_set():
            # A text, not a page: thousands may ask, and scripts read neither.
            return PlainTextResponse(TOO_MANY, 503)
        return _Stream(self._run, may_look)

    async def _run(
        self, may_look: Callable[[], Awaitable[bool]], start: Any, receive: Any, send: Any
    ) -> None:
        self._open += 1  # before anything is awaited, or others would be let in meanwhile
        try:
            await send(start)
            async with trio.open_nursery() as nursery:

                async def end_with_connection() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    nursery.cancel_scope.cancel()

                async def end_with_site() -> None:
                    await self._ended.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(end_with_connection)
                nursery.start_soon(end_with_site)
                with self._fleet.looking():
                    await self._send_ticks(may_look, send)
                nursery.cancel_scope.cancel()
        finally:
            self._open -= 1
        with trio.move_on_after(1):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_ticks(self, may_look: Callable[[], Awaitable[bool]], send: Any) -> None:
        number = self._fleet.number - 1
        body = f"retry: {RETRY_MS}\n\n".encode()
        with trio.move_on_after(SEND_WITHIN) as sending:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        while not sending.cancelled_caught and await may_look():
            await self._fleet.after(number)
            number = self._fleet.number
            with trio.move_on_after(SEND_WITHIN) as sending:
                tick = self._tick(number)
                await send({"type": "http.response.body", "body": tick, "more_body": True})

    def _tick(self, number: int) -> bytes:
        data = {"number": number, "away_for": self._fleet.away_for, "version": self._version}
        return f"event: tick\nid: {number}\ndata: {json.dumps(data)}\n\n".encode()


class _Stream(Response):
    """A response that goes on."""

    def __init__(self, run: Callable[..., Awaitable[None]], may_look: Any) -> None:
        super().__init__(
            b"", 200, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, "text/event-stream"
        )
        del self.headers["content-length"]
        self.headers.update(ANSWER_HEADERS)
        self._run = run
        self._may_look = may_look

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        await self._run(self._may_look, start, receive, send)
