"""A test of blocking code together with a worker: `pytest test_signup.py`."""

import threading
from collections.abc import Iterator

import pytest
import trio
from mail_app import app, shout

import rediq_trio as rediq


def greet(client: rediq.SyncClient, name: str) -> str:
    """Is the code under test: what a view of a web program does, for example."""
    return client.enqueue(shout.task(f"hello {name}")).result(timeout=30)


@pytest.fixture
def url() -> Iterator[str]:
    """Run a worker in a thread, on a store that lasts as long as the test."""
    url, serving, stop = "memory://greetings", threading.Event(), threading.Event()

    async def serve() -> None:
        async with rediq.serve(app, url):
            serving.set()
            await trio.to_thread.run_sync(stop.wait)

    worker = threading.Thread(target=trio.run, args=(serve,))
    worker.start()
    assert serving.wait(30)
    yield url
    stop.set()
    worker.join()


def test_a_user_is_greeted(url: str) -> None:
    with rediq.connect_sync(url) as client:
        assert greet(client, "ada") == "HELLO ADA"
        assert client.queue("default").stats().completed == 1
