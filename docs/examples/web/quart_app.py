"""Quart-Trio: hypercorn --worker-class trio quart_app:web"""

from collections.abc import AsyncGenerator
from typing import Any

from quart import request
from quart_trio import QuartTrio
from reports import app, make_report

import rediq_trio as rediq

web = QuartTrio(__name__)


@web.while_serving
async def worker() -> AsyncGenerator[None]:
    async with rediq.serve(app) as server:
        web.config["CLIENT"] = server.client
        yield


@web.post("/reports")
async def order() -> tuple[dict[str, str], int]:
    task = make_report.task(request.args["customer"], int(request.args["pages"]))
    handle = await web.config["CLIENT"].enqueue(task)
    return {"id": handle.id}, 202


@web.get("/reports/<path:id>")
async def look(id: str) -> tuple[dict[str, Any], int]:
    try:
        info = await web.config["CLIENT"].task(id).info()
    except (rediq.ConfigError, rediq.TaskNotFound):
        return {"error": "there is no such report"}, 404
    return {"state": info.state, "result": info.result}, 200
