"""Test the Flask program together with a worker, without a server: pytest test_flask_app.py"""

import threading
from collections.abc import Iterator

import flask_app
import pytest
import trio
from flask.testing import FlaskClient
from reports import app

import rediq_trio as rediq


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    """Run a worker in a thread for as long as a test lasts."""
    monkeypatch.setenv("REDIQ_URL", "memory://reports")
    serving, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        async with rediq.serve(app):
            serving.set()
            await trio.to_thread.run_sync(stop.wait)

    worker = threading.Thread(target=trio.run, args=(serve,))
    worker.start()
    assert serving.wait(30)
    yield flask_app.web.test_client()
    flask_app.client().close()
    flask_app.client.cache_clear()  # the next test opens another
    stop.set()
    worker.join()


def test_a_report_is_made(browser: FlaskClient) -> None:
    report = browser.post("/reports?customer=Ada&pages=2").json["id"]
    flask_app.client().task(report).wait(timeout=30)
    seen = browser.get(f"/reports/{report}").json
    assert seen == {"state": "completed", "result": "2 pages for Ada"}


def test_an_unknown_report_is_not_found(browser: FlaskClient) -> None:
    assert browser.get("/reports/default/none").status_code == 404
