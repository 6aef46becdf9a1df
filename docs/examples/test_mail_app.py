"""Tests of handlers without Redis and without waiting: `pytest test_mail_app.py`."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from mail_app import app, send_mail, sent, shout

import rediq_trio as rediq
from rediq_trio.testing import running


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run an async test under a clock that jumps ahead whenever everything waits."""
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_handler_is_a_function_and_can_be_called() -> None:
    async def test() -> None:
        assert await shout("quiet") == "QUIET"

    run(test)


def test_the_second_attempt_sends_the_mail() -> None:
    async def test() -> None:
        with running(send_mail.task("ada@example.com"), attempt=2):
            assert await send_mail("ada@example.com") == "sent to ada@example.com"
        with running(attempt=1), pytest.raises(ConnectionError):
            await send_mail("ada@example.com")
        sent.clear()

    run(test)


def test_arguments_are_checked_where_the_task_is_made() -> None:
    with pytest.raises(rediq.PayloadError, match="missing a required argument: 'to'"):
        send_mail.task()  # type: ignore[call-arg]


def test_the_mail_is_sent_by_the_second_attempt_a_minute_later() -> None:
    async def test() -> None:
        async with rediq.serve(app, "memory://") as server:
            begin = trio.current_time()
            handle = await server.client.enqueue(send_mail.task("ada@example.com"))
            assert await handle.result() == "sent to ada@example.com"
            info = await handle.info()
        assert info.attempt == 2
        assert 60 <= trio.current_time() - begin < 62
        assert sent == ["ada@example.com"]

    run(test)


def test_a_store_of_your_own_can_be_looked_into() -> None:
    async def test() -> None:
        store = rediq.MemoryStore()
        async with rediq.connect(store) as client:
            await client.enqueue(shout.options(delay=3600).task("later"))
        async with rediq.serve(app, store) as server:
            queue = server.client.queue("default")
            assert (await queue.stats()).scheduled == 1
            await trio.sleep(3602)
            assert (await queue.stats()).completed == 1
            assert await queue.check() == []

    run(test)
