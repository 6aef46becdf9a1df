"""How a deadline travels, and what its record makes of it."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Record
from rediq_trio.wire.deadlines import deadline_ms, earlier_end, pack_deadline
from rediq_trio.wire.envelope import LAST_MS, open_envelope

NOW = dt.datetime.now(dt.UTC)
HOUR = 3600.0
"""Far more than the tests take from their collection to their run."""
SOON, LATE = NOW + dt.timedelta(hours=10), NOW + dt.timedelta(hours=100)
RECORD = Record(
    id="t", envelope=b"", state=State.PENDING, priority=50, max_retry=3, max_crashes=3,
    retention_ms=0, created_ms=1_000_000, run_ms=1_000_000, expires_ms=1_005_000,
)  # fmt: skip


def test_seconds_travel_as_seconds_and_count_from_the_enqueue() -> None:
    packed = pack_deadline(5)
    assert packed == -5000
    assert deadline_ms(RECORD, packed) == 1_005_000


def test_an_instant_travels_as_it_is() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    packed = pack_deadline(moment)
    assert packed == 1_767_225_600_000
    assert deadline_ms(RECORD, packed) == packed


def test_without_a_deadline_there_is_none() -> None:
    assert pack_deadline(None) == 0
    assert deadline_ms(RECORD, 0) == 0


def test_the_shortest_and_the_earliest_are_still_deadlines() -> None:
    assert pack_deadline(1e-9) == -1
    assert pack_deadline(dt.datetime(1, 1, 1, tzinfo=dt.UTC)) == 1


def test_the_last_instant_of_any_time_zone_can_be_shown() -> None:
    last = dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-12)))
    assert pack_deadline(last) == LAST_MS


def test_a_revived_task_has_none_left() -> None:
    revived = attrs.evolve(RECORD, expires_ms=0)
    assert deadline_ms(revived, pack_deadline(5)) == 0
    assert deadline_ms(revived, pack_deadline(NOW)) == 0


@pytest.mark.parametrize(
    ("expires", "deadline", "first"),
    [
        (None, None, None),
        (5, None, 5),
        (None, 5, 5),
        (5, 6, 5),
        (6, 5, 5),
        (SOON, LATE, SOON),
        (LATE, SOON, SOON),
        (50 * HOUR, SOON, SOON),
        (50 * HOUR, LATE, 50 * HOUR),
        (SOON, 50 * HOUR, SOON),
        (LATE, 50 * HOUR, 50 * HOUR),
    ],
)
def test_the_earlier_of_expires_and_deadline_ends_the_waits(
    expires: float | dt.datetime | None,
    deadline: float | dt.datetime | None,
    first: float | dt.datetime | None,
) -> None:
    assert earlier_end(expires, deadline) == first


async def test_the_client_writes_both() -> None:
    store = MemoryStore(clock=lambda: 1_000_000)
    async with rediq.connect(store) as client:
        for own, expires in (("a", 3.0), ("b", 7.0), ("c", None)):
            await client.enqueue(rediq.Task("t", id=own, expires=expires, deadline=5.0))
        info = await client.task("default/a").info()
    records = (await store.dump("default")).records
    assert {own: r.expires_ms for own, r in records.items()} == {
        "a": 1_003_000, "b": 1_005_000, "c": 1_005_000,
    }  # fmt: skip
    assert {open_envelope(r.envelope).deadline_ms for r in records.values()} == {-5000}
    assert info.deadline == dt.datetime.fromtimestamp(1005, dt.UTC)
