"""A rolling deploy: workers of two versions of one program on one queue, until the old ones are gone."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from rediq_trio.spec.messages import WorkerRecord
from rediq_trio.tasks.task_info import pack_worker_info, read_worker_info, read_worker_infos
from rediq_trio.values.task import WorkerInfo
from rediq_trio.wire.packing import pack, unpack
from rediq_trio.worker.outcomes import unknown_types
from rediq_trio.worker.outcomes.unknown_types import known_types
from tests.servers import Server

AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.UTC)
WITHIN = 60.0
TASKS = 40
Q = "rolling"


def app(*types: str) -> rediq.App:
    made = rediq.App("rolling")
    for name in types:

        @made.task(name, queue=Q)
        async def work() -> str:
            return "done"

    return made


def task(kind: str = "new", **options: Any) -> rediq.Task[Any]:
    return rediq.Task(kind, queue=Q, **options)


async def _complete_all_beside_an_old_worker(where: Any, **options: Any) -> None:
    options |= {"queues": [Q]}
    async with (
        rediq.serve(app("old"), where, **options) as old,
        rediq.serve(app("old", "new"), where, **options) as new,
        rediq.connect(where, key_prefix=options.get("key_prefix", "rediq")) as client,
    ):
        with trio.fail_after(WITHIN):
            while len(await client.workers()) < 2:
                await trio.sleep(0.02)
        handles = await client.enqueue_many([task(max_retry=0) for _ in range(TASKS)])
        with trio.fail_after(WITHIN):
            for handle in handles:
                assert await handle.result() == "done"
        infos = [await handle.info() for handle in handles]
        assert {info.attempt for info in infos} == {1}, "nothing was charged"
        assert (await client.queue(Q).stats()).dead == 0
        snoozed = old.stats().snoozed
        assert 0 < snoozed == sum(info.deliveries for info in infos) - TASKS
        assert max(info.deliveries for info in infos) <= 20, "nobody spins"
        assert new.stats().completed == TASKS
        assert await client.queue(Q).check() == []


async def test_all_tasks_of_a_new_type_complete_beside_an_old_worker_on_redis(
    redis_server: Server,
) -> None:
    prefix = f"rolling-{uuid.uuid4().hex[:8]}"
    await _complete_all_beside_an_old_worker(redis_server.url, key_prefix=prefix)


@pytest.mark.mock_clock
async def test_all_tasks_of_a_new_type_complete_beside_an_old_worker_in_memory() -> None:
    await _complete_all_beside_an_old_worker(mock_store())


def mock_store() -> MemoryStore:
    return MemoryStore(clock=lambda: 1_000_000 + round(trio.current_time() * 1000))


async def until_state(handle: rediq.TaskHandle[Any], state: State) -> rediq.TaskInfo:
    while (info := await handle.info()).state is not state:
        await trio.sleep(0.05)
    return info


@pytest.mark.mock_clock
async def test_a_type_that_nobody_knows_is_dead_after_the_patience_and_not_earlier(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rediq.serve(app("old"), mock_store(), queues=[Q]) as server:
        handle = await server.client.enqueue(task())
        start = trio.current_time()
        info = await until_state(handle, State.DEAD)
        assert 600 <= trio.current_time() - start <= 640
        assert info.error is not None
        assert info.error.startswith("UnknownTaskType: no handler is named 'new'")
        assert "no worker that got it in 6" in info.error
        assert info.attempt == 1
        assert 15 <= info.deliveries <= 40, "the pauses grow, up to a bound"
    warnings = [r.getMessage() for r in caplog.records if "has no handler here" in r.getMessage()]
    assert len(warnings) == 1, "once for each type"
    assert "no live worker of the queue says that it knows it" in warnings[0]


@pytest.mark.mock_clock
async def test_the_patience_goes_on_when_the_worker_starts_again() -> None:
    store = mock_store()
    async with rediq.connect(store) as client:
        handle = await client.enqueue(task())
        start = trio.current_time()
        while (await handle.info()).state is not State.DEAD:
            async with rediq.serve(app("old"), store, queues=[Q]):
                await trio.sleep(100)
        assert trio.current_time() - start <= 800


@pytest.mark.mock_clock
async def test_a_revived_task_is_given_the_whole_patience_again() -> None:
    async with rediq.serve(app("old"), mock_store(), queues=[Q]) as server:
        handle = await server.client.enqueue(task())
        await until_state(handle, State.DEAD)
        await handle.retry()
        revived = trio.current_time()
        await until_state(handle, State.DEAD)
        assert trio.current_time() - revived >= 600


@pytest.mark.mock_clock
async def test_an_attempt_elsewhere_begins_the_patience_anew() -> None:
    store = mock_store()
    new = app("old")

    @new.task("new", queue=Q, backoff=rediq.Fixed(900.0))
    async def fails() -> None:
        raise RuntimeError("no")

    async with rediq.serve(app("old"), store, queues=[Q], unknown_type_patience=600) as old:
        handle = await old.client.enqueue(task(backoff=rediq.Fixed(900.0), max_retry=9))
        while not old.stats().snoozed:
            await trio.sleep(0.05)
        async with rediq.serve(new, store, queues=[Q]):
            await until_state(handle, State.RETRY)
        await trio.sleep(1000)
        assert (await handle.info()).state is not State.DEAD
        assert (await handle.info()).deliveries > 3


@pytest.mark.mock_clock
async def test_a_task_waits_for_ever_while_a_live_worker_says_that_it_knows_the_type() -> None:
    """The one that knows it has no room."""
    store = mock_store()
    new = app("old", "new")

    @new.task("long", queue=Q, timeout=10_000.0)
    async def long() -> None:
        await trio.sleep(3000)

    async with rediq.serve(new, store, queues=[Q], concurrency=1, prefetch=0) as busy:
        first = await busy.client.enqueue(task("long", timeout=10_000.0))
        await until_state(first, State.ACTIVE)
        async with rediq.serve(app("old"), store, queues=[Q]):
            handle = await busy.client.enqueue(task())
            await trio.sleep(2000)
            assert (await handle.info()).state in (State.SCHEDULED, State.PENDING, State.ACTIVE)
            deliveries = (await handle.info()).deliveries
            assert deliveries <= 2000 / unknown_types.SNOOZE_MAX_KNOWN * 2
            assert await handle.result() == "done"


@pytest.mark.mock_clock
async def test_without_patience_the_task_is_dead_at_once() -> None:
    options: dict[str, Any] = {"queues": [Q], "unknown_type_patience": 0}
    async with rediq.serve(app("old"), mock_store(), **options) as server:
        handle = await server.client.enqueue(task())
        info = await until_state(handle, State.DEAD)
        assert info.deliveries == 1
        assert trio.current_time() < 10


@pytest.mark.mock_clock
async def test_a_deadline_ends_the_patience() -> None:
    async with rediq.serve(app("old"), mock_store(), queues=[Q]) as server:
        handle = await server.client.enqueue(task(deadline=20.0))
        info = await until_state(handle, State.DEAD)
        assert trio.current_time() <= 21
        assert info.error


@pytest.mark.mock_clock
async def test_a_batch_of_an_unknown_type_is_left_to_others_too() -> None:
    store = mock_store()
    new = app("old", "new")
    batches: list[int] = []

    @new.aggregator("g", max_size=2)
    async def several(tasks: list[rediq.Task[Any]]) -> None:
        batches.append(len(tasks))

    async with rediq.serve(app("old"), store, queues=[Q]) as old:
        await old.client.enqueue_many([task(group="g"), task("newer", group="g")] * 5)
        while not old.stats().snoozed:
            await trio.sleep(0.05)
        async with rediq.serve(new, store, queues=[Q]):
            while sum(batches) < 10:
                await trio.sleep(0.05)
        assert (await old.client.queue(Q).stats()).dead == 0


@pytest.mark.mock_clock
async def test_a_worker_that_stops_releases_the_task() -> None:
    store = mock_store()
    async with rediq.serve(app("old"), store, queues=[Q]) as server:
        handle = await server.client.enqueue(task())
        while not server.stats().snoozed:
            await trio.sleep(0.05)
    async with rediq.serve(app("new"), store, queues=[Q]):
        assert await handle.result() == "done"


def a_record(**changes: Any) -> WorkerInfo:
    given: dict[str, Any] = {
        "id": "w", "host": "h", "pid": 7, "queues": (Q, "other"), "concurrency": 3, "running": 1,
        "started_at": AT, "last_heartbeat": AT, "version": "1", "types": ("a", "b"),
        "schedules": ("q/s",),
    }  # fmt: skip
    return WorkerInfo(**given | changes)


async def test_a_worker_s_record_says_what_it_knows() -> None:
    async with rediq.serve(app("b", "a"), MemoryStore(), queues=[Q, "other"]) as server:
        info = server.info()
    assert (info.types, info.schedules) == (("a", "b"), ())
    assert read_worker_info(pack_worker_info(info)) == info
    assert known_types([info], Q) == {"a", "b"}
    assert known_types([info], "elsewhere") == frozenset()


def test_records_of_two_versions_can_be_read_by_each_other() -> None:
    info = a_record()
    # What the versions before these names do with the fields.
    fields = unpack(pack_worker_info(info))
    ident, _, _, queues, _, _, _, _, version = fields
    assert (ident, tuple(queues), version) == (info.id, info.queues, info.version)
    older = pack([*fields[:3], list(queues), *fields[4:]])
    assert read_worker_info(older) == attrs.evolve(info, types=None, schedules=None)
    later = pack([*fields, "a field that does not exist yet"])
    assert read_worker_infos([b"\xc1", pack({"x": 1}), later]) == [info]


def test_too_many_names_are_left_out_of_the_record() -> None:
    info = a_record(types=tuple(f"t{n}" for n in range(1001)), schedules=("x" * 40_000,))
    found = read_worker_info(pack_worker_info(info))
    assert (found.types, found.schedules) == (None, None)
    assert len(pack_worker_info(info)) < 1000


# --- names


async def test_two_workers_of_one_name_are_two(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rediq_trio")
    store = MemoryStore()
    options: dict[str, Any] = {"name": "same", "lease": 1.0}
    async with (
        rediq.serve(app("a"), store, **options) as one,
        rediq.serve(app("a"), store, **options) as two,
    ):
        with trio.fail_after(WITHIN):
            while len(await one.client.workers()) < 2 or "has this name" not in caplog.text:
                await trio.sleep(0.02)
        assert [worker.id for worker in await one.client.workers()] == ["same", "same"]
        await two.stop()
        assert [worker.id for worker in await one.client.workers()] == ["same"]
    clashes = [r for r in caplog.records if "has this name" in r.getMessage()]
    assert {(r.levelname, f"pid {one.info().pid};" in r.getMessage()) for r in clashes} == {
        ("WARNING", True)
    }


@pytest.mark.mock_clock
async def test_a_killed_worker_that_starts_again_under_its_name_is_no_clash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = mock_store()
    killed = a_record(id="same")
    await store.register(WorkerRecord("same", pack_worker_info(killed), 40_000))
    async with rediq.serve(app("a"), store, name="same") as server:
        assert len(await server.client.workers()) >= 1
        await trio.sleep(100)
        assert [w.started_at for w in await server.client.workers()] == [server.info().started_at]
    assert "has this name" not in caplog.text


async def test_names_are_unique_by_themselves(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    async with rediq.serve(app("a"), store) as one, rediq.serve(app("a"), store) as two:
        assert one.info().id != two.info().id
        assert one.info().id.startswith(f"{one.info().host}:{one.info().pid}:")
