"""`TaskInfo`: the payload, the options, and what is only read by `info()`."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Dependency, Fixed, MemoryStore, State, Task, TaskInfo, Unique, UniqueKey
from rediq_trio.spec.messages import Until
from rediq_trio.spec.records import Lock, Record
from rediq_trio.spec.stored_format import PAYLOAD_MISSING
from rediq_trio.store.reads.description import NAMED_RELATED, Description
from rediq_trio.tasks.described_info import make_described_info
from rediq_trio.tasks.task_info import UNREADABLE_TEXT, make_task_info
from rediq_trio.wire.envelope import pack_envelope, pack_value

START = 1_700_000_000_000


def record(**options: Any) -> Record:
    given = {
        "id": "t", "envelope": b"", "state": State.BLOCKED, "priority": 50, "max_retry": 3,
        "max_crashes": 3, "retention_ms": 3_600_000, "created_ms": START, "run_ms": START,
    }  # fmt: skip
    return Record(**given | options)


def described(found: Record, **options: Any) -> TaskInfo:
    given = {"lock": None, "dependent_count": 0, "dependents": (), "needs": ()}
    return make_described_info("q", Description(START, found, **given | options))


async def info_of(task: Task[Any]) -> TaskInfo:
    async with rediq.connect(MemoryStore()) as client:
        return await (await client.enqueue(task)).info()


async def test_a_task_is_shown_with_its_payload_and_its_options() -> None:
    found = await info_of(
        Task(
            "t", {"a": [1, b"x"]}, timeout=math.inf, backoff=Fixed(2), retention=3600,
            max_crashes=7, limit_key="k", expires=60, queue="q", on_dependency_failure="run",
        )
    )  # fmt: skip
    assert found.payload == {"a": [1, b"x"]}
    assert found.payload_missing is None
    assert (found.timeout, found.backoff, found.retention) == (math.inf, Fixed(2), 3600.0)
    assert (found.max_crashes, found.snoozes, found.limit_key) == (7, 0, "k")
    assert found.expires == found.created_at + dt.timedelta(seconds=60)
    assert found.on_dependency_failure == "run"
    assert found.size > len(pack_value({"a": [1, b"x"]}))
    assert "payload={" not in repr(found)


async def test_an_option_that_was_left_to_the_handler_is_none() -> None:
    found = await info_of(Task("t", None))
    assert (found.timeout, found.backoff, found.retention) == (None, None, None)
    assert (found.expires, found.limit_key, found.unique) == (None, None, None)
    assert (found.payload, found.payload_missing) == (None, None)
    assert (found.dependencies, found.dependents, found.dependent_count) == ((), (), 0)


async def test_a_list_leaves_out_what_takes_another_read() -> None:
    async with rediq.connect(MemoryStore()) as client:
        handle = await client.enqueue(Task("t", 1, unique=Unique("k")))
        (listed,) = await client.queue("default").tasks("pending")
        assert listed.payload == 1
        assert (listed.dependencies, listed.dependents, listed.dependent_count) == (None,) * 3
        assert listed.unique == UniqueKey("k", "done", held=True)
        whole = await handle.info()
        assert whole.unique == UniqueKey("k", "done", held=True, holder=handle.id)
        more = {"dependencies": (), "dependents": (), "dependent_count": 0, "unique": whole.unique}
        assert attrs.evolve(listed, **more) == whole


async def test_who_holds_the_unique_key_is_shown() -> None:
    async with rediq.connect(MemoryStore()) as client:
        first = await client.enqueue(Task("t", unique=Unique("k")))
        await first.cancel()
        second = await client.enqueue(Task("t", unique=Unique("k", ttl=60)))
        held = (await second.info()).unique
        assert held is not None
        assert held.held_until == (await second.info()).created_at + dt.timedelta(seconds=60)
        assert attrs.evolve(held, held_until=None) == UniqueKey("k", "done", True, second.id)
        was = (await first.info()).unique
        assert was == attrs.evolve(held, held=False)


@pytest.mark.parametrize(("ahead", "held"), [(1, True), (0, False)])
def test_a_key_whose_window_is_over_by_time_is_free(ahead: int, held: bool) -> None:
    kept = record(unique="k", owns_unique_key=True, until=Until.EXPIRED)
    found = described(kept, lock=Lock("t", START + ahead)).unique
    assert found is not None
    assert (found.until, found.held, found.holder) == ("expired", held, "q/t" if held else None)


async def test_dependencies_and_dependents_are_shown_with_what_is_known() -> None:
    async with rediq.connect(MemoryStore()) as client:
        first = await client.enqueue(Task("t", id="a", queue="q", delay=5))
        far = await client.enqueue(Task("t", id="b", queue="other", delay=5))
        both = await client.enqueue(Task("t", id="c", queue="q", depends_on=[first, far]))
        found = await both.info()
        assert found.depends_on == ("q/a", "other/b")
        assert found.dependencies == (
            Dependency("q/a", State.SCHEDULED, awaited=True),
            Dependency("other/b", None, awaited=True),
        )
        assert (await first.info()).dependents == ("q/c",)


def envelope(**options: Any) -> bytes:
    given = {"timeout": 5.0, "backoff": Fixed(1), "metadata": {}}
    return pack_envelope("t", pack_value(None), **given | options)


def test_what_has_ended_is_known_by_its_result_or_by_the_policy() -> None:
    packed = envelope(depends_on=("q/a", "q/b"))
    both = record(envelope=packed, inputs=(("a", b"\x01"),))
    states = [one.state for one in described(both).dependencies or ()]
    assert states == [State.COMPLETED, State.COMPLETED]
    other = attrs.evolve(both, run_on_dependency_failure=True)
    states = [one.state for one in described(other).dependencies or ()]
    assert states == [State.COMPLETED, None]


def test_of_very_many_dependencies_those_that_are_awaited_are_shown() -> None:
    packed = envelope(depends_on=("q/first",))
    needs = tuple((f"n{n}", None) for n in range(NAMED_RELATED))
    found = described(record(envelope=packed), needs=needs).dependencies
    assert found is not None
    assert len(found) == NAMED_RELATED
    assert all(one.awaited for one in found)


def test_steps_are_named_and_counted_in_the_size() -> None:
    bare = make_task_info("q", record(envelope=envelope()))
    found = make_task_info(
        "q",
        record(
            envelope=envelope(),
            steps=(("one", b"123"), ("two", b"4")),
            result=b"12",
            progress=b"1",
            inputs=(("a", b"12345"),),
        ),
    )
    assert found.steps == ("one", "two")
    assert found.size - bare.size == 6 + 4 + 2 + 1 + 6
    assert bare.size == len(envelope())


@pytest.mark.parametrize(
    ("packed", "why"), [(b"", PAYLOAD_MISSING), (b"\xc1", "envelope cannot be decoded")]
)
def test_why_there_is_no_payload_is_said(packed: bytes, why: str) -> None:
    found = make_task_info("q", record(envelope=packed))
    assert (found.type, found.payload) == (UNREADABLE_TEXT, None)
    assert why in str(found.payload_missing)


def test_a_payload_that_cannot_be_decoded_is_said_to_be_so() -> None:
    found = make_task_info("q", record(envelope=pack_envelope("t", b"\xc1", 5.0, Fixed(1), {})))
    assert found.type == "t"
    assert "payload cannot be decoded" in str(found.payload_missing)


async def test_the_payload_of_a_batch_is_that_of_its_members() -> None:
    app = rediq.App("batches")

    @app.aggregator("g", max_size=2, grace_period=60, max_delay=60)
    async def gather(tasks: list[Task[object]]) -> None:
        await trio.sleep_forever()

    store = MemoryStore()
    async with rediq.serve(app, store, shutdown_grace=0, cleanup_grace=1) as server:
        queue = server.client.queue("default")
        for n in range(2):
            await server.client.enqueue(Task("t", {"n": n}, group="g"))
        with trio.fail_after(30):
            while not (found := await queue.tasks("active")):
                await trio.sleep(0.01)
        assert found[0].payload == [{"n": 0}, {"n": 1}]
        assert found[0].timeout is None
