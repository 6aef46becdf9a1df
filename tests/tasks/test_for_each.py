"""Several queues, or partitions, in one call of a client: what one that is away costs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConnectionLost, ScheduleNotFound, Task
from rediq_trio.tasks.for_each import AT_ONCE, FAILED_NAMED_MAX, call_each, naming_lost
from tests.actors.parts import Watched, new_task

pytestmark = pytest.mark.mock_clock

AWAY = "mail~2"


async def partitioned(count: int = 4) -> tuple[Watched, rediq.Client]:
    store = Watched()
    client = rediq.Client(store, patience=0.0)  # type: ignore[arg-type]
    await client.queue("mail").partition(count)
    return store, client


def lost(queue: str = AWAY) -> Any:
    return pytest.raises(ConnectionLost, match=rf"^queue {queue}: away")


async def test_all_partitions_are_read_at_the_same_time() -> None:
    store, client = await partitioned(16)
    store.delay = lambda name: float(name == "stats")
    begun = trio.current_time()
    assert (await client.queue("mail").stats()).pending == 0
    assert trio.current_time() - begun == pytest.approx(1.0)
    assert store.count("stats") > 16


async def test_no_more_calls_are_under_way_than_the_bound() -> None:
    under_way = most = 0

    async def call(queue: str) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await trio.sleep(1)
        under_way -= 1
        return queue.upper()

    queues = [f"q{n}" for n in range(3 * AT_ONCE)]
    assert await call_each(queues, call) == [queue.upper() for queue in queues]
    assert most == AT_ONCE
    assert await call_each([], call) == []


async def test_an_error_names_the_partition() -> None:
    store, client = await partitioned()
    queue = client.queue("mail")
    store.away_queues.add(AWAY)
    for call in (queue.stats, queue.check, queue.pause, queue.resume, queue.flush):
        with lost():
            await call()
    for call in (queue.dead.retry_all, queue.dead.purge):
        with lost():
            await call()
    with lost():
        await queue.tasks("pending")
    with lost():
        await queue.keep_history(10)
    with lost():
        _ = [line async for line in queue.history_lines()]


async def test_what_can_be_changed_is_changed_in_the_other_partitions() -> None:
    store, client = await partitioned()
    queue = client.queue("mail")
    for n in range(4):
        await store.enqueue(f"mail~{n}", [new_task(id=f"t{n}")])
    store.away_queues.add(AWAY)
    with lost():
        await queue.pause()
    with lost():
        await queue.flush()
    store.away_queues.clear()
    paused = {n: (await store.stats(f"mail~{n}")).queue.paused for n in range(4)}
    assert paused == {0: True, 1: True, 2: False, 3: True}
    assert (await queue.stats()).pending == 1


async def test_the_first_of_several_failures_is_raised_and_counts_the_others() -> None:
    async def call(queue: str) -> None:
        if queue != "q3":
            raise ConnectionLost("no answer", sent=False)

    with pytest.raises(ConnectionLost) as caught:
        await call_each([f"q{n}" for n in range(FAILED_NAMED_MAX + 4)], call)
    assert str(caught.value) == "queue q0: no answer (as did q1, q2, q4, q5, q6 and 2 more)"
    assert not caught.value.sent


async def test_every_queue_is_asked_however_many_fail_first() -> None:
    asked: list[str] = []

    async def call(queue: str) -> None:
        asked.append(queue)
        raise ConnectionLost("no answer")

    queues = [f"q{n}" for n in range(2 * AT_ONCE)]
    with pytest.raises(ConnectionLost):
        await call_each(queues, call)
    assert sorted(asked) == sorted(queues)


async def test_a_bug_is_raised_as_it_is() -> None:
    async def call(queue: str) -> None:
        if queue == "b":
            raise ZeroDivisionError
        await trio.sleep_forever()

    with pytest.raises(ZeroDivisionError):
        await call_each(["a", "b", "c"], call)


def test_only_a_lost_call_is_named() -> None:
    with pytest.raises(ConnectionLost, match=r"^queue a: gone$"), naming_lost("a"):
        raise ConnectionLost("gone")
    with pytest.raises(rediq.TaskNotFound, match=r"^no task"), naming_lost("a"):
        raise rediq.TaskNotFound("a/t")


async def scheduled() -> tuple[Watched, rediq.Schedules]:
    store = Watched()
    client = rediq.Client(store, patience=0.0)  # type: ignore[arg-type]
    for queue in ("a", "b", "c"):
        await client.schedules().add(f"of-{queue}", rediq.Every(60), Task("t", {}, queue=queue))
        await client.enqueue(Task("t", {}, queue=queue))
    return store, client.schedules()


async def test_the_schedules_of_all_queues_are_read_at_the_same_time() -> None:
    store, schedules = await scheduled()
    store.delay = lambda name: float(name == "agenda")
    begun = trio.current_time()
    assert [info.name for info in await schedules.list()] == ["of-a", "of-b", "of-c"]
    assert trio.current_time() - begun == pytest.approx(1.0)


async def test_a_list_of_schedules_says_which_queue_cannot_be_read() -> None:
    store, schedules = await scheduled()
    store.away_queues.add("b")
    with lost("b"):
        await schedules.list()


async def test_a_schedule_of_another_queue_than_the_one_that_is_away_can_be_used() -> None:
    store, schedules = await scheduled()
    store.away_queues.add("a")
    assert (await schedules.get("of-c")).queue == "c"
    assert (await schedules.trigger("of-c")).queue == "c"
    with lost("a"):
        await schedules.get("of-a")
    with lost("a"):  # it may have one of that name too
        await schedules.pause("of-c")
    with lost("a"):
        await schedules.remove("of-b")
    store.away_queues.clear()
    assert (await schedules.get("of-c")).paused
    with pytest.raises(ScheduleNotFound):
        await schedules.get("of-b")
    with pytest.raises(ScheduleNotFound):
        await schedules.pause("of-b")


async def test_a_schedule_can_be_added_while_another_queue_is_away() -> None:
    store, schedules = await scheduled()
    store.away_queues.add("a")
    with lost("a"):
        await schedules.add("new", rediq.Every(60), Task("t", {}, queue="c"))
    added = await schedules.get("new")
    assert added.next_run is not None
    assert added.next_run > dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
