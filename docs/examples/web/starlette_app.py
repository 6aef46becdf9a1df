"""Starlette on Trio: hypercorn --worker-class trio starlette_app:web"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from reports import app, make_report
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import rediq_trio as rediq


@asynccontextmanager
async def lifespan(web: Starlette) -> AsyncGenerator[dict[str, rediq.Client]]:
    async with rediq.serve(app) as server:
        yield {"client": server.client}


async def order(request: Request) -> JSONResponse:
    client: rediq.Client = request.state.client
    query = request.query_params
    handle = await client.enqueue(make_report.task(query["customer"], int(query["pages"])))
    return JSONResponse({"id": handle.id}, status_code=202)


async def look(request: Request) -> JSONResponse:
    client: rediq.Client = request.state.client
    try:
        info = await client.task(request.path_params["id"]).info()
    except (rediq.ConfigError, rediq.TaskNotFound):
        return JSONResponse({"error": "there is no such report"}, status_code=404)
    return JSONResponse({"state": info.state, "result": info.result})


web = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/reports", order, methods=["POST"]),
        Route("/reports/{id:path}", look),
    ],
)
