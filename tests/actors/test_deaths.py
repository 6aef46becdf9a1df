"""What the log says of tasks that went to dead although no attempt of them failed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from rediq_trio.spec.messages import Death, Relations
from rediq_trio.spec.records import GroupRule
from rediq_trio.worker.availability.log_limiter import LOG_WINDOW, RECORDS_PER_WINDOW, LogLimiter
from rediq_trio.worker.outcomes import deaths
from rediq_trio.worker.outcomes.deaths import DeathLog
from tests.actors.parts import Q, Watched, new_task

pytestmark = pytest.mark.mock_clock


@asynccontextmanager
async def running(store: Watched) -> AsyncIterator[DeathLog]:
    log = DeathLog(store, "w1", LogLimiter(logging.getLogger("rediq_trio")))  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        yield log
        nursery.cancel_scope.cancel()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def expired(*ids: str) -> Sequence[Death]:
    return [Death(task_id, 0, "expired") for task_id in ids]


async def test_a_death_is_one_error_with_the_fields_of_an_attempt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Watched()
    await store.enqueue(f"{Q}~1", [new_task("send", id="t")])
    async with running(store) as log:
        log.add(f"{Q}~1", [Death("t", 2, "its worker died under it 4 times")])
        await trio.sleep(1)
    [record] = caplog.records
    assert record.getMessage() == (
        f"task {Q}~1/t (send), attempt 2: dead: its worker died under it 4 times"
    )
    assert record.levelname == "ERROR"
    fields = {"task_id": f"{Q}~1/t", "type": "send", "queue": Q, "attempt": 2, "worker": "w1"}
    assert fields.items() <= vars(record).items()


async def test_all_deaths_are_logged_in_their_order(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    await store.enqueue(Q, [new_task("send", id=task_id) for task_id in "abc"])
    async with running(store) as log:
        log.add(Q, expired("b", "c"))
        log.add(Q, expired("a"))
        await trio.sleep(1)
        log.add(Q, expired("gone"))
        await trio.sleep(1)
    assert messages(caplog) == [
        f"task {Q}/{task_id} ({kind}), attempt 0: dead: expired"
        for task_id, kind in [("b", "send"), ("c", "send"), ("a", "send"), ("gone", "(unreadable)")]
    ]


async def test_a_batch_has_the_type_of_its_first_member(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    grouped = Relations(group="notes")
    await store.enqueue(Q, [new_task("note", id="m", relations=grouped)])
    await store.set_group_rules(Q, rules={"notes": GroupRule(max_size=1)})
    await store.batch(Q, ids=["b"])
    async with running(store) as log:
        log.add(Q, expired("b"))
        await trio.sleep(1)
    assert messages(caplog) == [f"task {Q}/b (note), attempt 0: dead: expired"]


async def test_a_store_that_is_away_or_slow_costs_the_type_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Watched()
    await store.enqueue(Q, [new_task("send", id=task_id) for task_id in "abc"])
    async with running(store) as log:
        store.away = True
        log.add(Q, expired("a"))
        await trio.sleep(1)
        store.away, store.delay = False, lambda _: 2 * deaths.DEATHS_READ_WITHIN
        log.add(Q, expired("b"))
        await trio.sleep(2 * deaths.DEATHS_READ_WITHIN)
        store.delay = lambda _: 0.0
        log.add(Q, expired("c"))
        await trio.sleep(1)
    assert messages(caplog) == [
        f"task {Q}/{task_id} ({kind}), attempt 0: dead: expired"
        for task_id, kind in [("a", "(unreadable)"), ("b", "(unreadable)"), ("c", "send")]
    ]


async def test_what_is_left_at_the_end_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    await store.enqueue(Q, [new_task("send", id=task_id) for task_id in "ab"])
    store.delay = lambda _: 1.0
    async with running(store) as log:
        log.add(Q, expired("a", "b"))
        await trio.sleep(1.5)
    assert messages(caplog) == [
        f"task {Q}/a (send), attempt 0: dead: expired",
        f"task {Q}/b ((unreadable)), attempt 0: dead: expired",
    ]


async def test_many_deaths_are_counted_and_not_read(caplog: pytest.LogCaptureFixture) -> None:
    store = Watched()
    ids = [f"t{n}" for n in range(RECORDS_PER_WINDOW + 5)]
    await store.enqueue(Q, [new_task("send", id=task_id) for task_id in ids])
    async with running(store) as log:
        log.add(Q, expired(*ids))
        await trio.sleep(1)
        assert store.count("get") == len(caplog.records) == RECORDS_PER_WINDOW
        await trio.sleep(LOG_WINDOW)
        log.limiter.log_counts()
    assert messages(caplog)[-1].startswith("5 more records like this one were left out")


async def test_a_record_factory_with_such_a_field_does_not_end_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Watched()
    await store.enqueue(Q, [new_task("send", id="t")])
    plain = logging.getLogRecordFactory()

    def factory(*args: object, **kwargs: object) -> logging.LogRecord:
        record = plain(*args, **kwargs)  # type: ignore[arg-type]
        record.worker = "mine"
        return record

    logging.setLogRecordFactory(factory)
    try:
        async with running(store) as log:
            log.add(Q, expired("t"))
            await trio.sleep(1)
    finally:
        logging.setLogRecordFactory(plain)
    assert messages(caplog) == [f"task {Q}/t (send), attempt 0: dead: expired"]
