"""`TaskHandle.why`: sentences, estimates, and what is read of other queues and workers."""

from __future__ import annotations

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Encryption, MemoryStore, State, Task, TaskNotFound, Unique, Why, WhyKind
from rediq_trio.spec.history.samples import (
    SAMPLE_GAP,
    SERIES_NUMBERS,
    LastSample,
    Sample,
    SeriesRead,
)
from rediq_trio.tasks.why.recent_rate import recent_rate

pytestmark = pytest.mark.mock_clock

app = rediq.App()


@app.task("nap", queue="q")
async def nap(seconds: float = 0) -> None:
    await trio.sleep(seconds)


@app.task("fail", queue="q", max_retry=2, backoff=rediq.Fixed(40))
async def fail() -> None:
    raise TimeoutError("no\x1banswer")


def clause(why: Why, kind: WhyKind) -> str:
    (found,) = [part.sentence for part in why.parts if part.kind is kind]
    return found


def kinds(why: Why) -> list[WhyKind]:
    return [part.kind for part in why.parts]


async def test_a_task_that_is_not_there_raises() -> None:
    async with rediq.connect(MemoryStore()) as client:
        with pytest.raises(TaskNotFound, match="no task 'q/none'"):
            await client.task("q/none").why()
        handle = await client.enqueue(Task[None]("t", queue="q"))
        await client.queue("q").flush()
        with pytest.raises(TaskNotFound):
            await handle.why()


async def test_a_task_on_its_way_says_where_it_is() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["q"], name="w1") as server:
        handle = await server.client.enqueue(nap.options(delay=60).task(5))
        await trio.sleep(20)
        why = await handle.why()
        assert (why.task_id, why.state) == (handle.id, State.SCHEDULED)
        assert str(why) == (
            f"{handle.id} is scheduled: it is due in 40 s; 1 live worker claims from the queue."
        )
        await trio.sleep(43)
        assert clause(await handle.why(), WhyKind.RUNNING).startswith("it runs on worker w1 for ")
        await handle.cancel()
        assert WhyKind.CANCELLING in kinds(await handle.why())
        await handle.wait()
        await trio.sleep(10)
        assert str(await handle.why()) == f"{handle.id} is cancelled: it was cancelled 10 s ago."
        done = await server.client.enqueue(nap.task())
        await done.wait()
        assert clause(await done.why(), WhyKind.COMPLETED).endswith(" ago on worker w1")


async def test_a_retry_says_which_one_it_is_and_after_what() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["q"]) as server:
        handle = await server.client.enqueue(fail.task())
        await trio.sleep(5)
        text = clause(await handle.why(), WhyKind.RETRY)
        assert text == "its retry 1 of 2 is due in 35 s, after TimeoutError: no\\x1banswer"
        with pytest.raises(rediq.TaskFailed):
            await handle.result()
        text = clause(await handle.why(), WhyKind.DEAD)
        assert text.endswith(" ago after 3 of 3 attempts: TimeoutError: no\\x1banswer")


async def test_the_estimate_is_that_of_the_last_minute() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["q"], concurrency=1) as server:
        handles = await server.client.enqueue_many([nap.task(2) for _ in range(100)])
        await trio.sleep(100)
        why = await handles[-1].why()
        text = clause(why, WhyKind.POSITION)
        assert text.endswith(" in its priority")
        (part,) = [part for part in why.parts if part.kind is WhyKind.ESTIMATE]
        assert part.data["rate"] == pytest.approx(0.5, rel=0.1)
        assert 80 < part.data["seconds"] < 120
        assert part.sentence.endswith(" at the rate of the last minute")
        # While the queue is paused, the rate says nothing.
        await server.client.queue("q").pause()
        assert WhyKind.ESTIMATE not in kinds(await handles[-1].why())


async def test_a_queue_that_has_stood_still_gives_no_seconds() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["q"], concurrency=1) as server:
        blocker = await server.client.enqueue(nap.options(timeout=1000).task(900))
        handle = await server.client.enqueue(nap.task())
        await trio.sleep(100)
        text = clause(await handle.why(), WhyKind.ESTIMATE)
        assert text == "no attempt of the queue ended in the last minute"
        await blocker.cancel()


async def test_a_task_says_that_the_slots_of_its_only_worker_are_taken() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["q"], concurrency=2) as server:
        blockers = await server.client.enqueue_many(
            [nap.options(timeout=1000).task(900) for _ in range(2)]
        )
        handle = await server.client.enqueue(nap.task())
        await trio.sleep(40)
        why = await handle.why()
        assert clause(why, WhyKind.SLOTS_TAKEN) == (
            "the only worker that claims from the queue runs 2 of the 2 tasks that it may run at once, "
            "the oldest for 40 s"
        )
        assert WhyKind.SERVED not in kinds(why)
        # A task that is not ready yet is not held by that.
        later = await server.client.enqueue(nap.options(delay=60).task())
        assert WhyKind.SERVED in kinds(await later.why())
        await blockers[0].cancel()
        await handle.wait()
        await trio.sleep(40)
        await server.client.queue("q").pause()
        last = await server.client.enqueue(nap.task())
        assert WhyKind.SERVED in kinds(await last.why())
        await blockers[1].cancel()


async def test_an_unknown_type_names_the_versions_that_run() -> None:
    async with rediq.serve(app, MemoryStore(), queues=["q"]) as server:
        handle = await server.client.enqueue(Task[None]("mail:send", queue="q", delay=60))
        await trio.sleep(30)
        text = clause(await handle.why(), WhyKind.UNKNOWN_TYPE)
        assert text == (
            "1 live worker claims from the queue, and none knows the type mail:send "
            f"(version {rediq.__version__})"
        )


async def test_tasks_that_are_waited_for_have_their_states_in_other_queues_too() -> None:
    async with rediq.connect(MemoryStore()) as client:
        near = await client.enqueue(Task[None]("t", id="near", queue="q", delay=9))
        far = await client.enqueue(Task[None]("t", id="far", queue="p", delay=9))
        many = await client.enqueue_many([Task[None]("t", id=f"n{n}", queue="p") for n in range(7)])
        needs = [near, far, *many]
        waits = await client.enqueue(Task[None]("t", id="waits", queue="q", depends_on=needs))
        why = await waits.why()
        text = clause(why, WhyKind.DEPENDENCIES)
        assert text.startswith("it waits for 9 tasks: ")
        assert text.endswith(" and 4 more")
        (own,) = [part for part in why.parts if part.kind is WhyKind.DEPENDENCIES]
        assert dict(own.data["tasks"])["q/near"] is State.SCHEDULED
        (part,) = [part for part in why.parts if part.kind is WhyKind.ELSEWHERE]
        expected = {handle.id: State.PENDING for handle in many} | {"p/far": State.SCHEDULED}
        assert dict(part.data["tasks"]) == expected
        await far.delete()
        assert "p/far" in clause(await waits.why(), WhyKind.DEAD)
        assert part.sentence.endswith(" and 3 more")


async def test_notes_of_an_encrypted_queue_are_read() -> None:
    keys = Encryption([Encryption.generate_key()])
    async with rediq.connect(MemoryStore(), encryption=keys) as client:
        handle = await client.enqueue(Task[None]("t", queue="q", unique=Unique("k")))
        await client.queue("q").pause("because", by="ops")
        text = clause(await handle.why(), WhyKind.PAUSED)
        assert text.startswith("the queue is paused by ops for ")
        assert text.endswith(": because")


async def test_a_task_of_a_partition_is_counted_there() -> None:
    async with rediq.connect(MemoryStore()) as client:
        await client.queue("q").partition(2)
        handles = await client.enqueue_many([Task[None]("t", queue="q") for _ in range(10)])
        for handle in handles:
            why = await handle.why()
            assert clause(why, WhyKind.UNSERVED) == "no live worker serves the queue q"
            assert why.task_id == handle.id


def numbers(**some: int) -> tuple[int, ...]:
    return tuple(some.get(name, 0) for name in SERIES_NUMBERS)


NOW = 1_700_000_000_000
STEP = NOW // 10_000


@pytest.mark.parametrize(
    ("samples", "last", "totals", "rate"),
    [
        # What ended since the last sample counts, and what ended before the last minute does not.
        ([(STEP - 6, 50, 0, 0), (STEP - 5, 6, 3, 0), (STEP, 9, 0, 0)], STEP, (70, 10), 0.5),
        ([(STEP - 9, 50, 0, 0)], STEP - 9, (50, 0), 0.0),
        ([], -1, (0, 0), None),
        ([(STEP - 9, 50, 0, 0)], STEP - 9, (51, 0), None),
        ([(STEP - 2, 5, 0, SAMPLE_GAP)], STEP - 2, (5, 0), None),
        ([(STEP - 2, 5, 0, 0)], STEP - 2, (4, 0), None),
    ],
    ids=["busy", "idle", "never sampled", "unseen", "a gap", "lost by a failover"],
)
def test_the_rate_of_the_last_minute(
    samples: list[tuple[int, int, int, int]],
    last: int,
    totals: tuple[int, int],
    rate: float | None,
) -> None:
    kept = tuple(
        Sample(step, numbers(completed=completed, failed=failed), mark)
        for step, completed, failed, mark in samples
    )
    known = numbers(completed=sum(one[1] for one in samples), failed=sum(one[2] for one in samples))
    read = SeriesRead(NOW, 0, kept, LastSample(last, known), (0, *totals, 0))
    found = recent_rate(read)
    assert found == (rate if rate is None else pytest.approx(rate))
