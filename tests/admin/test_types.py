"""Statistics by type as users read them: percentiles, sums of partitions, indexes that changed hands."""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_left
from itertools import pairwise
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import rediq_trio as rediq
from rediq_trio.admin.series import make_types, percentiles
from rediq_trio.spec.history.type_counts import (
    BUCKETS,
    NO_COUNTS,
    TYPE_OUTCOMES,
    KeptType,
    QueueTypes,
    TypesRead,
    as_codes,
)
from rediq_trio.spec.settle import TRANSITION_OF
from rediq_trio.values.histogram import DURATION_BOUNDS
from rediq_trio.worker.leases import counted_as

NOW, STEP = 1_700_000_100_000, 300_000
LAST = NOW // STEP


def completed(count: int) -> tuple[int, ...]:
    return (count, *NO_COUNTS[1:])


def a_read(types: QueueTypes) -> list[TypesRead]:
    return [TypesRead(NOW, types, 0)]


def test_there_is_a_bucket_for_each_duration_and_a_count_for_each_outcome() -> None:
    assert len(DURATION_BOUNDS) + 1 == BUCKETS
    assert {counted_as(kind) for kind in TRANSITION_OF} < {*TYPE_OUTCOMES}


@given(st.lists(st.floats(0, 3600), min_size=1, max_size=200))
def test_percentiles_are_in_the_bucket_of_the_true_ones(values: list[float]) -> None:
    buckets = [0] * BUCKETS
    for value in values:
        buckets[bisect_left(DURATION_BOUNDS, value)] += 1
    found = percentiles(buckets)
    assert found is not None
    assert found.p50 <= found.p95 <= found.p99
    for share, estimate in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        true = sorted(values)[math.ceil(share * len(values)) - 1]
        assert bisect_left(DURATION_BOUNDS, estimate) == bisect_left(DURATION_BOUNDS, true)


def test_no_bucket_but_the_first_and_last_is_wider_than_is_said() -> None:
    ratios = [b / a for a, b in pairwise(DURATION_BOUNDS)]
    assert max(ratios) == 2.5


def test_percentiles_of_nothing_are_none_and_those_beyond_an_hour_are_an_hour() -> None:
    assert percentiles([0] * BUCKETS) is None
    found = percentiles([0] * (BUCKETS - 1) + [3])
    assert found == rediq.Percentiles(p50=3600.0, p95=3600.0, p99=3600.0)


def test_partitions_and_steps_are_added_up_the_busiest_first() -> None:
    one = QueueTypes(LAST, (KeptType("a", 0, 0), KeptType("b", 0, 0)), {1: completed(2)}, {})
    many = as_codes(completed(40))
    two = QueueTypes(LAST, (KeptType("b", 0, 0),), {}, {LAST - 1: {1: many, 0: completed(1)}})
    found = make_types([a_read(one), a_read(two)], -STEP)
    assert [(each.type, each.completed) for each in found] == [("b", 40), ("a", 2), ("(other)", 1)]
    assert {each.until.timestamp() for each in found} == {NOW / 1000}
    assert {each.since.timestamp() for each in found} == {(NOW - STEP) // STEP * STEP / 1000}
    assert found[1].rate == 2 / (NOW / 1000 - found[1].since.timestamp())


def test_what_an_index_was_before_is_of_the_other_types() -> None:
    kept = (KeptType("new", LAST, 0),)
    types = QueueTypes(LAST, kept, {1: completed(1)}, {LAST - 1: {1: completed(5), 7: completed(2)}})
    found = make_types([a_read(types)], -STEP)
    assert [(each.type, each.completed) for each in found] == [("(other)", 7), ("new", 1)]


def test_the_failure_rate_is_that_of_attempts_that_completed_or_failed() -> None:
    counts = dict(zip(TYPE_OUTCOMES, (6, 1, 1, 5, 5, 5, 5, 5), strict=True))
    at = dt.datetime.now(dt.UTC)
    made = rediq.TypeStats(type="t", since=at, until=at, wait=None, run=None, **counts)
    assert (made.attempts, made.failures, made.failure_rate) == (33, 2, 0.25)
    none = dict.fromkeys(TYPE_OUTCOMES, 0)
    nothing = rediq.TypeStats(type="t", since=at, until=at, wait=None, run=None, **none)
    assert nothing.failure_rate is None


@pytest.mark.parametrize("since", [5, 0.5, None, dt.timedelta(0), dt.timedelta(hours=24.1),
                                   dt.datetime(2026, 1, 1)])  # fmt: skip
async def test_a_time_that_is_none_is_refused(since: Any) -> None:
    async with rediq.connect("memory://") as client:
        with pytest.raises(rediq.ConfigError, match=r"since=.* a timedelta above 0 and up to 24 hours"):
            await client.queue("q").types(since)


@pytest.mark.mock_clock
async def test_a_worker_counts_what_its_handlers_did() -> None:
    app = rediq.App()

    @app.task("mail", max_retry=0)
    async def mail(fail: bool) -> None:
        await trio.sleep(4)
        if fail:
            raise ValueError("no")

    @app.task("slow", timeout=3, max_retry=0)
    async def slow() -> None:
        await trio.sleep(60)

    async with rediq.connect("memory://types") as client:
        queue = client.queue("default")
        await queue.partition(3)
        tasks = [mail.task(fail=n == 0) for n in range(5)]
        await client.enqueue_many([*tasks, slow.task()])
        async with rediq.serve(app, "memory://types", concurrency=1, burst=True) as server:
            await server.wait_stopped()
        first, second = await queue.types(dt.timedelta(hours=24))
    assert (first.type, first.completed, first.failed) == ("mail", 4, 1)
    assert (second.type, second.timed_out, second.failure_rate) == ("slow", 1, 1.0)
    assert first.run is not None
    assert first.wait is not None
    assert 2 < first.run.p50 < 5
    assert first.wait.p50 < first.wait.p95 <= 60
