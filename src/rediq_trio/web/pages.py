"""The pages of the door: two probes and the metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rediq_trio.web.metrics import Reading, exposition
from rediq_trio.worker.health import Health

_FRESH = {"Cache-Control": "no-store"}


def as_data(health: Health) -> dict[str, Any]:
    """Give a health as it is told in JSON."""
    return {"healthy": health.healthy, **attrs.asdict(health)}


def make_pages(health: Callable[[], Health], read: Callable[[], Awaitable[Reading]]) -> Starlette:
    """Make the application: what it shows is asked for at each request."""

    async def healthz(_: Request) -> Response:
        found = health()
        return JSONResponse(as_data(found), 200 if found.alive else 503, _FRESH)

    async def readyz(_: Request) -> Response:
        found = health()
        return JSONResponse(as_data(found), 200 if found.ready else 503, _FRESH)

    async def metrics(_: Request) -> Response:
        return Response(exposition(await read()), 200, _FRESH, CONTENT_TYPE_LATEST)

    pages = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    return Starlette(routes=[Route(path, page) for path, page in pages.items()])
