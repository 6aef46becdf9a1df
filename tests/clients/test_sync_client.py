"""Blocking clients: in threads, beside an asyncio loop, after close, interrupted."""

from __future__ import annotations

import gc
import signal
import threading
import time
import uuid
from collections.abc import Callable, Generator
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost, Task
from rediq_trio.clients.trio_thread import ThreadCall, _Run
from tests.clients.kinds import active, client_threads, in_threads, run_asyncio, silent_server
from tests.servers import Server


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Generator[None]:
    yield
    gc.collect()
    for thread in client_threads():
        thread.join(30)
    assert [*client_threads()] == []


def wait_until(met: Callable[[], bool]) -> None:
    for _ in range(3000):
        if met():
            return
        time.sleep(0.01)
    raise AssertionError("not met within 30 s")


def test_many_threads_use_one_client(redis_server: Server) -> None:
    prefix = f"clients-{uuid.uuid4().hex[:12]}"

    def enqueue(number: int) -> list[str]:
        return [client.enqueue(Task("t", {"n": [number, n]})).id for n in range(50)]

    with rediq.connect_sync(redis_server.url, key_prefix=prefix) as client:
        ids = in_threads(16, enqueue)
        assert client.queue("default").stats().pending == 16 * 50
        assert len({one for each in ids for one in each}) == 16 * 50


def test_a_client_in_a_running_asyncio_loop_blocks_as_anywhere() -> None:
    async def main() -> str:  # as in a notebook
        with rediq.connect_sync("memory://") as client:
            return client.enqueue(Task("t")).info().state

    assert run_asyncio(main) == "pending"


def test_a_closed_client_says_so_and_may_be_closed_again() -> None:
    client = rediq.connect_sync("memory://")
    handle = client.enqueue(Task("t"))
    progress, lines = handle.progress(), client.queue("q").history_lines()
    client.close()
    client.close()
    closed = r"this client is closed: open another with rediq\.connect_sync\(\)"
    for call in (client.queues, handle.info, lambda: next(progress), lambda: next(lines)):
        with pytest.raises(ConfigError, match=closed):
            call()


def test_a_call_that_runs_when_the_client_is_closed_raises_connection_lost() -> None:
    client = rediq.connect_sync("memory://")
    handle = client.enqueue(Task("t"))
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            handle.result()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: active(client) == 3)
    client.close()
    for thread in threads:
        thread.join(30)
    assert [type(error) for error in errors] == [ConnectionLost] * 3
    assert "closed during the call" in str(errors[0])


async def test_a_client_inside_trio_names_the_one_to_use() -> None:
    with pytest.raises(ConfigError, match=r"inside Trio, use `async with rediq.connect"):
        rediq.connect_sync("memory://")
    client = await trio.to_thread.run_sync(rediq.connect_sync, "memory://")
    try:
        with pytest.raises(ConfigError, match=r"inside Trio, use `async with rediq.connect"):
            client.queues()
        assert await trio.to_thread.run_sync(client.queues) == []
    finally:
        client.close()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("nothing", ConfigError),
        ("memory://a b", ConfigError),
        (5, ConfigError),
        ("redis://127.0.0.1:1", ConnectionLost),
    ],
)
def test_a_client_that_cannot_be_opened_raises_what_connect_raises(
    url: Any, error: type[Exception]
) -> None:
    async def main() -> None:
        async with rediq.connect(url):
            pass

    with pytest.raises(error) as expected:
        trio.run(main)
    with pytest.raises(error) as found:
        rediq.connect_sync(url)
    assert (type(found.value), str(found.value)) == (type(expected.value), str(expected.value))


def test_a_bad_option_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_payload"):
        rediq.connect_sync("memory://", max_payload=0)


def test_an_exception_of_the_block_is_raised_unchanged() -> None:
    mine = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError) as found, rediq.connect_sync("memory://"):
        raise mine
    assert found.value is mine


class _Alarm(BaseException):
    pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, _Alarm])
def test_an_interrupt_cancels_the_call_and_leaves_the_client_usable(
    error: type[BaseException],
) -> None:
    def interrupt(*_: object) -> None:
        raise error

    with rediq.connect_sync("memory://") as client:
        handle = client.enqueue(Task("t"))
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(error):
                handle.result()
        finally:
            signal.signal(signal.SIGALRM, before)
        assert active(client) == 0
        assert handle.info().state == "pending"


def test_an_interrupt_while_a_client_is_opened_stops_its_thread() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with silent_server() as url, pytest.raises(KeyboardInterrupt):
            rediq.connect_sync(url)
    finally:
        signal.signal(signal.SIGALRM, before)
    for thread in client_threads():
        thread.join(30)
    assert [*client_threads()] == []


def test_a_client_that_nobody_refers_to_stops_its_thread() -> None:
    client = rediq.connect_sync("memory://")
    handle = client.enqueue(Task("t"))
    del client
    gc.collect()
    assert handle.info().state == "pending"  # a handle keeps it open
    (thread,) = client_threads()
    del handle
    gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_partly_enqueued_has_blocking_handles() -> None:
    with rediq.connect_sync("memory://") as client:
        client.queue("full").limit(max_pending=1)
        tasks = [Task("t", queue=queue) for queue in ("free", "full", "full")]
        with pytest.raises(rediq.PartlyEnqueued) as found:
            client.enqueue_many(tasks)
        first, *others = found.value.handles
        assert isinstance(first, rediq.SyncTaskHandle)
        assert first.info().state == "pending"
        assert None in others


def test_clients_that_are_closed_or_could_not_be_opened_leave_nothing_for_the_exit() -> None:
    gc.collect()
    before = runs()
    for _ in range(5):
        rediq.connect_sync("memory://").close()
        with pytest.raises(ConfigError):
            rediq.connect_sync("memory://a b")
    gc.collect()
    assert runs() <= before


def runs() -> int:
    return sum(type(each) is _Run for each in gc.get_objects())


def test_the_error_of_a_call_holds_no_frame_of_the_client_alive() -> None:
    with rediq.connect_sync("memory://") as client:
        gc.collect()
        gc.disable()
        before = thread_calls()
        try:
            for _ in range(100):
                try:
                    client.task("q/none").info()
                except rediq.TaskNotFound:
                    pass  # pytest.raises would be part of a cycle
            assert thread_calls() <= before + 10
        finally:
            gc.enable()


def thread_calls() -> int:
    return sum(type(each) is ThreadCall for each in gc.get_objects())
