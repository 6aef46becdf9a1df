"""A deadline ends a task's attempts at its instant by the store's clock, whoever's clock is wrong."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from tests.actors.parts import until

pytestmark = pytest.mark.mock_clock

EPOCHS = {
    "hours behind": -5 * 3600.0,
    "right": 0.0,
    "hours ahead": 5 * 3600.0,
    "in another century": 1e9,
}
"""How far the store's clock is from this machine's."""


class Ticking:
    """A store's clock: Trio's, set wrong by so many seconds."""

    def __init__(self, wrong: float = 0.0) -> None:
        self.offset = dt.datetime.now(dt.UTC).timestamp() + wrong - trio.current_time()

    def __call__(self) -> int:
        return round((trio.current_time() + self.offset) * 1000)

    def moment(self, later: float) -> dt.datetime:
        return dt.datetime.fromtimestamp(self() / 1000 + later, dt.UTC)


class Noted:
    """Handlers that note when they began, and how they were told to end."""

    def __init__(self) -> None:
        self.app = rediq.App()
        self.begun: list[float] = []
        self.reasons: list[str | None] = []
        self.zero = trio.current_time()

        @self.app.task("sleep", timeout=math.inf, backoff=rediq.Fixed(2), max_retry=100)
        async def sleep(seconds: float = math.inf) -> str:
            self.begin()
            try:
                await trio.sleep(seconds)
            except trio.Cancelled:
                self.reasons.append(rediq.current_task().cancel_reason)
                raise
            return "slept"

        @self.app.task("raise", backoff=rediq.Fixed(2), max_retry=100)
        async def throw(after: float | None = None) -> None:
            self.begin()
            raise ValueError("bad") if after is None else rediq.Retry(after)

        @self.app.task("snooze")
        async def snooze(seconds: float) -> None:
            self.begin()
            raise rediq.Snooze(seconds)

        @self.app.task("stubborn", timeout=math.inf)
        async def stubborn(*, fail: bool) -> str:
            self.begin()
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                if fail:
                    raise ValueError("while it was cleaning up") from None
                return "returned all the same"

    def begin(self) -> None:
        self.begun.append(round(trio.current_time() - self.zero, 2))


async def ended(last_entry: Noted, store: MemoryStore, task: rediq.Task[Any]) -> rediq.TaskInfo:
    async with rediq.serve(last_entry.app, store, shutdown_grace=0.0) as server:
        handle = await server.client.enqueue(task)
        return await handle.wait(timeout=3600)


def slow(**options: Any) -> rediq.Task[Any]:
    return rediq.Task("sleep", {}, timeout=math.inf, backoff=rediq.Fixed(2), **options)


@pytest.mark.parametrize("wrong", EPOCHS)
async def test_an_attempt_ends_at_the_deadline_and_its_task_for_good(wrong: str) -> None:
    last_entry, store = Noted(), MemoryStore(Ticking(EPOCHS[wrong]))
    info = await ended(last_entry, store, slow(deadline=5.0))
    assert (info.state, info.deliveries, last_entry.reasons) == (State.DEAD, 1, ["deadline"])
    assert info.deadline is not None
    assert info.deadline - info.created_at == dt.timedelta(seconds=5)
    shown = info.deadline.isoformat(timespec="milliseconds")
    assert info.error == f"deadline: {shown} passed before the attempt ended"
    assert trio.current_time() - last_entry.zero == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("wrong", EPOCHS)
async def test_a_deadline_given_as_an_instant_is_one_of_the_stores_clock(wrong: str) -> None:
    clock = Ticking(EPOCHS[wrong])
    moment = clock.moment(5.0)
    info = await ended(Noted(), MemoryStore(clock), slow(deadline=moment))
    assert info.deadline is not None
    assert info.finished_at is not None
    assert (info.state, abs(info.deadline - moment)) == (State.DEAD, dt.timedelta(0))
    assert abs(info.finished_at - moment) < dt.timedelta(milliseconds=10)


async def test_a_timeout_before_the_deadline_is_retried_until_the_deadline_is_too_near() -> None:
    last_entry = Noted()
    task = rediq.Task("sleep", {}, timeout=1.0, backoff=rediq.Fixed(2), max_retry=9, deadline=6.5)
    info = await ended(last_entry, MemoryStore(), task)
    assert last_entry.begun == [0.0, 3.0, 6.0]
    assert last_entry.reasons == ["timeout", "timeout", "deadline"]
    assert info.error is not None
    assert info.error.startswith("deadline: ")


@pytest.mark.parametrize("wrong", EPOCHS)
async def test_no_attempt_is_left_when_the_next_would_begin_behind_the_deadline(wrong: str) -> None:
    last_entry, store = Noted(), MemoryStore(Ticking(EPOCHS[wrong]))
    task = rediq.Task("raise", {}, backoff=rediq.Fixed(2), max_retry=100, deadline=5.0)
    info = await ended(last_entry, store, task)
    assert last_entry.begun == [0.0, 2.0, 4.0]
    assert (info.state, info.attempt) == (State.DEAD, 3)
    assert info.error is not None
    assert info.error.startswith("ValueError: bad (no further attempt: the deadline, ")
    assert info.error.endswith(", is earlier)")


@pytest.mark.parametrize(
    ("after", "attempts"), [(4.9, 2), (5.0, 1), (1000.0, 1)], ids=["before", "at", "behind"]
)
@pytest.mark.parametrize("max_retry", [1, 100])
async def test_a_next_attempt_at_the_deadline_is_one_too_many(
    after: float, attempts: int, max_retry: int
) -> None:
    last_entry = Noted()
    task = rediq.Task("raise", {"after": after}, max_retry=max_retry, deadline=5.0)
    info = await ended(last_entry, MemoryStore(), task)
    assert (info.state, len(last_entry.begun)) == (State.DEAD, attempts)
    # Unless it was the last attempt anyway.
    assert info.error is not None
    assert info.error.endswith(", is earlier)") == (attempts <= max_retry)


async def test_where_no_attempt_was_left_anyway_the_deadline_is_not_blamed() -> None:
    task = rediq.Task("raise", {}, max_retry=0, deadline=1.0)
    assert (await ended(Noted(), MemoryStore(), task)).error == "ValueError: bad"


async def test_a_task_that_is_claimed_behind_its_deadline_is_buried_without_a_call() -> None:
    last_entry = Noted()
    async with rediq.serve(last_entry.app, MemoryStore(), concurrency=1, prefetch=1) as server:
        first = rediq.Task("sleep", {"seconds": 0.9})
        handles = await server.client.enqueue_many([first, slow(deadline=0.5)])
        info = await handles[1].wait()
    assert last_entry.begun == [0.0]
    assert (info.state, info.deliveries) == (State.DEAD, 1)
    assert info.error is not None
    assert info.error.endswith("passed before the attempt started")


@pytest.mark.parametrize(
    "task",
    [
        rediq.Task("sleep", {}, delay=10, deadline=5.0),
        rediq.Task("sleep", {}, delay=10, deadline=5.0, expires=50.0),
        rediq.Task("snooze", {"seconds": 10.0}, deadline=5.0),
    ],
    ids=["delayed", "expiring later", "snoozed"],
)
async def test_a_wait_ends_at_the_deadline_too(task: rediq.Task[Any]) -> None:
    last_entry = Noted()
    info = await ended(last_entry, MemoryStore(), task)
    assert (info.state, info.error) == (State.DEAD, "expired")
    assert last_entry.begun in ([], [0.0])


async def test_what_ends_before_its_deadline_knows_nothing_of_it() -> None:
    task = rediq.Task("sleep", {"seconds": 4.9}, deadline=5.0)
    info = await ended(Noted(), MemoryStore(), task)
    assert (info.state, info.result) == (State.COMPLETED, "slept")


async def test_a_handler_that_swallows_its_deadline_has_still_returned() -> None:
    task = rediq.Task("stubborn", {"fail": False}, timeout=math.inf, deadline=5.0)
    info = await ended(Noted(), MemoryStore(), task)
    assert (info.state, info.result) == (State.COMPLETED, "returned all the same")


async def test_a_handler_that_fails_at_its_deadline_has_no_attempt_left() -> None:
    task = rediq.Task("stubborn", {"fail": True}, timeout=math.inf, deadline=5.0)
    info = await ended(Noted(), MemoryStore(), task)
    assert info.state is State.DEAD
    assert info.error is not None
    assert info.error.startswith("ValueError: while it was cleaning up (no further attempt: ")


@pytest.mark.parametrize("given", [5.0, "as an instant"])
async def test_a_revived_task_runs_without_its_deadline(given: Any) -> None:
    clock = Ticking(EPOCHS["hours ahead"])
    last_entry, store = Noted(), MemoryStore(clock)
    deadline = given if isinstance(given, float) else clock.moment(5.0)
    async with rediq.serve(last_entry.app, store) as server:
        handle = await server.client.enqueue(
            rediq.Task("sleep", {"seconds": 20}, deadline=deadline)
        )
        assert (await handle.wait()).state is State.DEAD
        assert await handle.retry() is State.PENDING
        info = await handle.wait()
    assert (info.state, info.deadline) == (State.COMPLETED, None)


async def test_a_deadline_outlives_a_release_and_a_lapse() -> None:
    last_entry, store = Noted(), MemoryStore(Ticking(EPOCHS["hours behind"]))
    async with rediq.serve(last_entry.app, store, shutdown_grace=0) as server:
        handle = await server.client.enqueue(slow(deadline=100.0))
        await until(lambda: last_entry.begun != [])
    await store.claim("default", limit=1, lease_ms=1000, worker="dies", nonce=b"12345678")
    async with rediq.serve(last_entry.app, store) as server:
        info = await server.client.task(handle.id).wait()
    assert (info.state, info.deliveries, info.crashes) == (State.DEAD, 3, 1)
    assert last_entry.reasons == ["shutdown", "deadline"]
    assert trio.current_time() - last_entry.zero == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize(
    ("timeout", "deadline", "most"),
    [(math.inf, 50.0, 50), (20.0, 50.0, 20), (50.0, 20.0, 20), (20.0, None, 20)],
)
async def test_a_handler_sees_the_earlier_of_its_timeout_and_its_deadline(
    timeout: float, deadline: float | None, most: float
) -> None:
    app, seen = rediq.App(), list[float]()

    @app.task("look")
    async def look() -> None:
        ends = rediq.current_task().deadline
        assert ends is not None
        seen.append((ends - dt.datetime.now(dt.UTC)).total_seconds())

    async with rediq.serve(app, MemoryStore(Ticking(EPOCHS["hours ahead"]))) as server:
        task = rediq.Task("look", {}, timeout=timeout, deadline=deadline)
        await (await server.client.enqueue(task)).result()
    # The wall clock goes on under a clock that jumps, so only the order of magnitude is certain.
    assert most - 15 < seen[0] <= most


async def test_a_retry_rule_cannot_go_beyond_the_deadline() -> None:
    app = rediq.App()

    @app.task("ruled", retry=lambda error, attempt: 10.0 * attempt)
    async def ruled() -> None:
        raise OSError("bad")

    async with rediq.serve(app, MemoryStore()) as server:
        handle = await server.client.enqueue(ruled.options(max_retry=9, deadline=25.0).task())
        info = await handle.wait()
    assert (info.state, info.attempt) == (State.DEAD, 2)
    assert info.error is not None
    assert "OSError: bad (no further attempt: the deadline, " in info.error


class FarAway(MemoryStore):
    """A store whose answers to claims are long on their way."""

    async def claim(self, *args: Any, **kwargs: Any) -> Any:
        claimed = await super().claim(*args, **kwargs)
        await trio.sleep(2)
        return claimed


async def test_an_answer_that_is_long_on_its_way_does_not_put_the_deadline_off() -> None:
    info = await ended(Noted(), FarAway(), slow(deadline=5.0))
    assert info.finished_at is not None
    assert info.deadline is not None
    assert info.finished_at - info.deadline < dt.timedelta(milliseconds=10)
