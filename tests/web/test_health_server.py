"""Real requests to a real endpoint, from a thread as any client would send them."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio.settings import Settings
from tests.actors.parts import Watched
from tests.servers import Server

app = rediq.App()
LEASE = 0.6


@app.task("stalls")
async def stalls(seconds: float) -> None:
    time.sleep(seconds)  # noqa: ASYNC251  (what is tested)


@app.task("waits")
async def waits() -> None:
    await trio.sleep_forever()


def fetch(server: rediq.Server, path: str, **more: Any) -> httpx.Response:
    """Send one request; callable from a thread."""
    return httpx.request(
        more.pop("method", "GET"), f"http://127.0.0.1:{server.metrics_port}{path}", **more
    )


async def get(server: rediq.Server, path: str, **more: Any) -> httpx.Response:
    return await trio.to_thread.run_sync(lambda: fetch(server, path, **more))


async def when(server: rediq.Server, path: str, status: int) -> Mapping[str, Any]:
    """Ask until the status is that; give what the answer holds."""
    while (answer := await get(server, path)).status_code != status:
        await trio.sleep(0.05)
    found: Mapping[str, Any] = answer.json()
    return found


async def test_both_probes_tell_a_worker_s_health_in_json() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0) as server:
        for path in ("/healthz", "/readyz"):
            answer = await get(server, path)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
            assert answer.headers["cache-control"] == "no-store"
            said = answer.json()
            assert said["healthy"] is said["alive"] is said["ready"] is said["connected"] is True
            assert (said["reasons"], said["blocked"], said["blocks"]) == ([], None, 0)
            assert 0 <= said["last_poll"] < 15


async def test_other_paths_and_methods_are_refused() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0) as server:
        assert (await get(server, "/")).status_code == 404
        assert (await get(server, "/healthz", method="POST")).status_code == 405
        head = await get(server, "/healthz", method="HEAD")
        assert (head.status_code, head.content) == (200, b"")
        assert "server" not in head.headers


async def test_while_a_handler_blocks_the_loop_the_probes_answer_and_name_it() -> None:
    answers: list[httpx.Response] = []

    async with rediq.serve(app, "memory://", metrics_port=0, lease=LEASE) as server:

        def probe() -> None:
            give_up = time.monotonic() + 30
            while time.monotonic() < give_up and len(answers) < 2:
                alive, ready = fetch(server, "/healthz"), fetch(server, "/readyz")
                if ready.status_code == 503 and alive.status_code == 503:
                    answers.extend((ready, alive))

        watcher = threading.Thread(target=probe)
        watcher.start()
        handle = await server.client.enqueue(stalls.task(seconds=10 * LEASE))
        while watcher.is_alive():
            await trio.sleep(0.01)
        for answer in answers:
            said = answer.json()
            assert (said["blocked"]["handler"], said["blocked"]["task"]) == ("stalls", handle.id)
            assert "blocked for longer than the lease" in said["reasons"][0]
        await when(server, "/readyz", 200)
    assert len(answers) == 2


async def test_while_a_handler_blocks_the_loop_the_metrics_come_without_the_queues() -> None:
    answers: list[str] = []
    async with rediq.serve(app, "memory://", metrics_port=0, lease=LEASE) as server:

        def scrape() -> None:
            give_up = time.monotonic() + 30
            while time.monotonic() < give_up and server.health().blocked is None:
                time.sleep(0.01)
            answers.append(fetch(server, "/metrics").text)

        watcher = threading.Thread(target=scrape)
        watcher.start()
        await server.client.enqueue(stalls.task(seconds=4.5))
        while watcher.is_alive():
            await trio.sleep(0.01)
    (text,) = answers
    assert "rediq_queues_read 0.0" in text
    assert "rediq_queue_tasks{" not in text
    assert "rediq_worker_loop_blocks_total 1.0" in text


async def test_a_worker_in_its_shutdown_is_alive_and_not_ready() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0, shutdown_grace=600) as server:
        await server.client.enqueue(waits.task())
        while not server.stats().running:
            await trio.sleep(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.stop)
            said = await when(server, "/readyz", 503)
            assert said["reasons"] == ["the worker is stopping"]
            assert (await get(server, "/healthz")).status_code == 200
            nursery.cancel_scope.cancel()
        server._worker.stop_now()


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_it_ends_with_the_block() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0) as server:
        port = server.metrics_port
        assert (await get(server, "/healthz")).status_code == 200
    assert port is not None
    assert refused(port)


async def test_an_error_of_the_block_leaves_as_it_was_raised_and_ends_it() -> None:
    port = None
    with pytest.raises(RuntimeError, match="mine"):
        async with rediq.serve(app, "memory://", metrics_port=0) as server:
            port = server.metrics_port
            raise RuntimeError("mine")
    assert port is not None
    assert refused(port)


async def test_it_ends_when_a_scope_around_the_block_is_cancelled() -> None:
    port = None
    with trio.CancelScope() as scope:
        async with rediq.serve(app, "memory://", metrics_port=0) as server:
            port = server.metrics_port
            scope.cancel()
            await trio.sleep_forever()
    assert port is not None
    assert refused(port)
    assert scope.cancelled_caught


async def test_a_client_that_says_nothing_does_not_hold_up_the_end() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0) as server:
        assert server.metrics_port is not None
        silent = await trio.open_tcp_stream("127.0.0.1", server.metrics_port)
        await silent.send_all(b"GET /healthz HT")
        begun = trio.current_time()
    assert trio.current_time() - begun < 5
    await silent.aclose()


async def test_without_a_port_there_is_none() -> None:
    async with rediq.serve(app, "memory://") as server:
        assert server.metrics_port is None


async def test_a_port_that_is_taken_is_told_before_anything_is_opened() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            rediq.ConfigError, match=rf"metrics_port={port}: cannot listen on 127.0.0.1: "
        ):
            # The server is not there: an attempt to connect would be another error.
            async with rediq.serve(app, "redis://127.0.0.1:1", metrics_port=port):
                raise AssertionError
    assert refused(port)


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(rediq.ConfigError, match=r"cannot listen on 192\.0\.2\.1"):
        async with rediq.serve(app, "memory://", metrics_port=0, metrics_address="192.0.2.1"):
            raise AssertionError


async def test_the_port_is_free_again_when_redis_cannot_be_reached() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(rediq.ConnectionLost):
        async with rediq.serve(app, "redis://127.0.0.1:1", metrics_port=port):
            raise AssertionError
    assert refused(port)


async def test_it_listens_where_it_is_told_to() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0, metrics_address="0.0.0.0") as server:
        assert (await get(server, "/healthz")).status_code == 200


@pytest.mark.parametrize("value", [-1, 65_536, 1.5, "x", True])
def test_a_bad_port_is_refused(value: Any) -> None:
    with pytest.raises(rediq.ConfigError, match="metrics_port="):
        Settings(metrics_port=value)


@pytest.mark.parametrize("value", ["", "localhost", "127.0.0.1:80", 7, None])
def test_a_bad_address_is_refused(value: Any) -> None:
    with pytest.raises(rediq.ConfigError, match="metrics_address="):
        Settings(metrics_address=value)


@pytest.mark.parametrize("missing", ["hypercorn", "starlette", "prometheus_client"])
async def test_without_the_extra_the_error_names_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("rediq_trio.web")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # as Python marks what cannot be imported
    with pytest.raises(rediq.ConfigError, match=r"pip install 'rediq-trio\[web\]'"):
        async with rediq.serve(app, "memory://", metrics_port=0):
            raise AssertionError


async def test_on_a_real_redis_it_shows_the_same(redis_server: Server) -> None:
    async with rediq.serve(
        app, redis_server.url, metrics_port=0, key_prefix="health", queues=["web"]
    ) as server:
        await server.client.queue("web").flush()
        await server.client.enqueue(waits.options(queue="web").task())
        while not server.stats().running:
            await trio.sleep(0.01)
        said = json.loads((await get(server, "/readyz")).text)
        assert said["ready"] is True
        text = (await get(server, "/metrics")).text
        assert 'rediq_queue_tasks{queue="web",state="active"} 1.0' in text
        assert "rediq_worker_running 1.0" in text
        await server.client.queue("web").flush()


async def test_the_number_of_workers_that_a_queue_needs_is_one_number() -> None:
    queues = ["default", "mail"]
    async with rediq.serve(app, "memory://", metrics_port=0, queues=queues, concurrency=2) as server:
        await server.client.enqueue_many([waits.options(queue="mail").task() for _ in range(100)])
        await server.client.queue("mail").targets(latency=10)
        answer = await get(server, "/scale/mail")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.json() == {"queue": "mail", "desired_workers": 10}
        assert (await get(server, "/scale/default")).json()["desired_workers"] == 1
        text = (await get(server, "/metrics")).text
        assert 'rediq_queue_desired_workers{queue="mail"} 10.0' in text
        server._worker.stop_now()


async def test_a_queue_that_is_not_served_here_has_no_number() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0, queues=["mail", "b"]) as server:
        for path in ("/scale/other", "/scale/%1b[31mred"):
            answer = await get(server, path)
            assert answer.status_code == 404
            assert answer.json()["error"].endswith("; it serves mail, b")
            assert "\x1b" not in answer.json()["error"]
        assert (await get(server, "/scale/mail/more")).status_code == 404
        assert (await get(server, "/scale/")).status_code == 404


async def test_while_redis_is_away_no_number_is_returned() -> None:
    store = Watched()
    async with rediq.serve(app, store, metrics_port=0) as server:
        store.away = True
        answer = await get(server, "/scale/default")
        store.away = False
    assert answer.status_code == 503
    assert answer.json() == {"error": "the queue default cannot be read now; ask again later"}


async def test_two_workers_of_a_queue_return_the_same_number() -> None:
    store = Watched()
    async with (
        rediq.serve(app, store, metrics_port=0, name="a", concurrency=2) as one,
        rediq.serve(app, store, metrics_port=0, name="b", concurrency=6) as other,
    ):
        await one.client.enqueue_many([waits.task() for _ in range(100)])
        answers = [(await get(server, "/scale/default")).json() for server in (one, other)]
        # 100 tasks of a second, within half of 60 s, in workers of 4 on average.
        assert answers == [{"queue": "default", "desired_workers": 1}] * 2
        one._worker.stop_now()
        other._worker.stop_now()
