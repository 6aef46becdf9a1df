"""The routes of the health server: two probes and the metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rediq_trio.web.metrics import Scrape, exposition
from rediq_trio.worker.health import Health

_NO_STORE = {"Cache-Control": "no-store"}


def health_as_dict(health: Health) -> dict[str, Any]:
    """Return a health as JSON data."""
    return {"healthy": health.healthy, **attrs.asdict(health)}


def make_app(health: Callable[[], Health], scrape: Callable[[], Awaitable[Scrape]]) -> Starlette:
    """Make the ASGI application, which reads health and metrics at each request."""

    async def healthz(_: Request) -> Response:
        found = health()
        return JSONResponse(health_as_dict(found), 200 if found.alive else 503, _NO_STORE)

    async def readyz(_: Request) -> Response:
        found = health()
        return JSONResponse(health_as_dict(found), 200 if found.ready else 503, _NO_STORE)

    async def metrics(_: Request) -> Response:
        return Response(exposition(await scrape()), 200, _NO_STORE, CONTENT_TYPE_LATEST)

    routes = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    return Starlette(routes=[Route(path, page) for path, page in routes.items()])
