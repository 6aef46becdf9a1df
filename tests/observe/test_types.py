from __future__ import annotations

import pytest

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.observe.types import TYPE_FAILURES_LEAST
from rediq_trio.observe.views import look
from tests.actors.parts import Watched

app = rediq.App()


@app.task("mail", max_retry=0)
async def mail(fail: bool) -> None:
    if fail:
        raise ValueError("no")


async def run(store: Watched, *fails: bool) -> None:
    """Run an attempt for each, which fails or not."""
    tasks = [mail.options(queue="q").task(fail=fail) for fail in fails]
    async with rediq.connect(store) as client:  # type: ignore[arg-type]
        await client.enqueue_many(tasks)
    async with rediq.serve(app, store, queues=["q"], burst=True) as server:  # type: ignore[arg-type]
        await server.wait_stopped()


async def test_types_are_read_of_queues_in_which_attempts_failed_of_late() -> None:
    store = Watched(MemoryStore())
    async with rediq.connect(store) as client:  # type: ignore[arg-type]
        await run(store, *([True] * (TYPE_FAILURES_LEAST - 1)), False)
        first = await look(client)
        assert [each.failing for each in first.queues] == [None]
        assert store.count("types") == 0


async def test_types_that_fail_often_are_compared_with_their_day() -> None:
    store = Watched(MemoryStore())
    async with rediq.connect(store) as client:  # type: ignore[arg-type]
        await run(store, *([True] * TYPE_FAILURES_LEAST), False)
        view = await look(client)
        (seen,) = view.queues
        assert seen.failing is not None
        (one,) = seen.failing.types
        assert (one.recent.type, one.recent.failures, one.recent.completed) == ("mail", 5, 1)
        assert (one.day.type, one.day.attempts) == ("mail", 6)
        assert one.day.since < one.recent.since
        read = store.count("types")
        assert (await look(client, before=view)).queues[0].failing == seen.failing
        assert store.count("types") == read


async def test_they_are_read_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rediq_trio.observe.types.READ_AGAIN", 0.0)
    store = Watched(MemoryStore())
    async with rediq.connect(store) as client:  # type: ignore[arg-type]
        await run(store, *([True] * TYPE_FAILURES_LEAST))
        view, read = await look(client), store.count("types")
        await look(client, before=view)
        assert store.count("types") == 2 * read
