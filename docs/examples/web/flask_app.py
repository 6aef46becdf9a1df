"""Flask in threads: gunicorn --threads 8 flask_app:web, beside a worker: rediq run reports:app"""

from functools import cache
from typing import Any

from flask import Flask, request
from reports import make_report

import rediq_trio as rediq

web = Flask(__name__)


@cache
def client() -> rediq.SyncClient:
    # At the first request, because a server may fork after it has imported this module.
    return rediq.connect_sync()


@web.post("/reports")
def order() -> tuple[dict[str, str], int]:
    task = make_report.task(request.args["customer"], int(request.args["pages"]))
    return {"id": client().enqueue(task).id}, 202


@web.get("/reports/<path:id>")
def look(id: str) -> tuple[dict[str, Any], int]:
    try:
        info = client().task(id).info()
    except (rediq.ConfigError, rediq.TaskNotFound):
        return {"error": "there is no such report"}, 404
    return {"state": info.state, "result": info.result}, 200
