"""Series as users read them: points at equal steps, gaps, and sums of partitions."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.admin.series import make_series
from rediq_trio.spec.history.samples import (
    NO_SAMPLE,
    SAMPLE_CARRIED,
    SAMPLE_GAP,
    LastSample,
    Sample,
    SeriesRead,
)

pytestmark = pytest.mark.mock_clock
AT = 170_000_000  # a step
NOW = AT * 10_000


def numbers(enqueued: int, pending: int, oldest: int = 0, *, failed: int = 0) -> tuple[int, ...]:
    return enqueued, 0, failed, 0, pending, 0, 0, 0, 0, 0, 0, oldest


def a_read(*samples: Sample, last: LastSample | None = None, **changes: Any) -> SeriesRead:
    if last is None:
        newest = samples[-1]
        last = LastSample(newest.step, (9, 0, 0, 0, *newest.numbers[4:]))
    return attrs.evolve(SeriesRead(NOW, 0, samples, last, (9, 0, 0, 0)), **changes)


def shown(series: rediq.Series) -> list[tuple[int, int, int]]:
    """Give the points: steps before now, enqueued, pending."""
    return [(round(p.at.timestamp()) // 10 - AT, p.enqueued, p.pending) for p in series.points]


def test_a_step_without_a_sample_is_as_before() -> None:
    found = make_series(
        0, [a_read(Sample(AT - 9, numbers(1, 1)), Sample(AT - 3, numbers(2, 3)))], -50_000, 0
    )
    assert found.step == 10
    assert shown(found) == [(-5, 0, 1), (-4, 0, 1), (-3, 2, 3), (-2, 0, 3), (-1, 0, 3), (0, 0, 3)]
    assert found.gaps == ()


def test_what_is_carried_was_so_before() -> None:
    carried = Sample(AT - 2, numbers(0, 7), SAMPLE_CARRIED)
    found = make_series(0, [a_read(carried, Sample(AT - 1, numbers(1, 8)))], -40_000, 0)
    assert shown(found) == [(-4, 0, 7), (-3, 0, 7), (-2, 0, 7), (-1, 1, 8), (0, 0, 8)]


def test_without_a_sample_in_the_window_it_is_as_the_last_one() -> None:
    last = LastSample(AT - 1000, (9, 0, 0, 0, *numbers(0, 4)[4:]))
    assert shown(make_series(0, [a_read(last=last)], -10_000, 0)) == [(-1, 0, 4), (0, 0, 4)]


def test_what_was_removed_has_no_points() -> None:
    last = LastSample(AT - 2, (9, 0, 0, 0, *numbers(0, 4)[4:]))
    found = make_series(0, [a_read(last=last)], -50_000, 0)
    assert shown(found) == [(-1, 0, 4), (0, 0, 4)]
    assert found.gaps == ()


def test_within_a_gap_there_is_no_point() -> None:
    samples = Sample(AT - 6, numbers(1, 1)), Sample(AT - 2, numbers(5, 2), SAMPLE_GAP)
    found = make_series(0, [a_read(*samples)], -60_000, 0)
    assert shown(found) == [(-6, 1, 1), (-2, 0, 2), (-1, 0, 2), (0, 0, 2)]
    [gap] = found.gaps
    assert (gap.since.timestamp(), gap.until.timestamp()) == ((AT - 6) * 10, (AT - 2) * 10)
    assert gap.enqueued == 5


def test_what_nobody_samples_now_is_a_gap_up_to_now() -> None:
    last = LastSample(AT - 5, (6, 0, 0, 0, *numbers(0, 4)[4:]))
    found = make_series(0, [a_read(Sample(AT - 5, numbers(1, 4)), last=last)], -60_000, 0)
    assert shown(found) == [(-5, 1, 4)]
    assert [(gap.enqueued, gap.until.timestamp()) for gap in found.gaps] == [(3, AT * 10)]


def test_a_queue_that_was_never_sampled_is_one_gap() -> None:
    found = make_series(1, [a_read(last=NO_SAMPLE, level=1)], -600_000, 0)
    assert found.points == ()
    [gap] = found.gaps
    assert gap.enqueued == 9
    empty = a_read(last=NO_SAMPLE, totals=(0, 0, 0, 0))
    assert {p.pending for p in make_series(0, [empty], -60_000, 0).points} == {0}


def test_partitions_are_summed() -> None:
    one = a_read(
        Sample(AT - 1, numbers(1, 2, AT * 10 - 40)), Sample(AT, numbers(2, 3, AT * 10 - 30))
    )
    two = a_read(Sample(AT - 2, numbers(7, 4)), Sample(AT, numbers(1, 1), SAMPLE_GAP))
    three = a_read(
        Sample(AT - 1, numbers(0, 1, AT * 10 - 90)), Sample(AT, numbers(0, 1, AT * 10 - 90))
    )
    found = make_series(0, [one, three], -1, 0)
    assert [(p.enqueued, p.pending, p.oldest_pending_age) for p in found.points] == [(2, 4, 90.0)]
    assert shown(make_series(0, [one, two], -10_000, 0)) == [(0, 2, 4)]
    assert len(make_series(0, [one, two], -10_000, 0).gaps) == 1


def test_until_ends_the_series() -> None:
    samples = Sample(AT - 9, numbers(1, 1)), Sample(AT - 3, numbers(2, 3))
    found = make_series(0, [a_read(*samples)], (AT - 9) * 10_000, (AT - 7) * 10_000)
    assert shown(found) == [(-9, 1, 1), (-8, 0, 1), (-7, 0, 1)]


@pytest.mark.parametrize(
    ("since", "step"),
    [(dt.timedelta(hours=1), 10), (dt.timedelta(hours=2), 60), (dt.timedelta(days=30), 600)],
)
async def test_the_step_follows_from_how_far_back_it_goes(since: dt.timedelta, step: float) -> None:
    async with rediq.connect("memory://") as client:
        found = await client.queue("q").series(since)
        assert found.step == step
        assert len(found.points) in (
            since // dt.timedelta(seconds=step),
            since // dt.timedelta(seconds=step) + 1,
        )


async def test_a_worker_fills_the_series_of_all_partitions() -> None:
    app = rediq.App()

    @app.task("noop", retention=0)
    async def noop() -> None: ...

    store = rediq.MemoryStore()
    async with rediq.connect(store) as client:
        await client.queue("wide").partition(2)
    async with rediq.serve(app, store, queues=["wide"]) as server:
        queue = server.client.queue("wide")
        await trio.sleep(60)
        await server.client.enqueue_many([noop.options(queue="wide").task() for _ in range(8)])
        await trio.sleep(60)
        found = await queue.series(dt.timedelta(minutes=5))
    assert sum(point.enqueued for point in found.points) == 8
    assert sum(point.completed for point in found.points) == 8
    assert found.gaps == ()


@pytest.mark.parametrize(
    "since",
    [0, 5.0, dt.timedelta(0), dt.timedelta(days=31), dt.datetime(2026, 1, 1), "1h"],
)
async def test_a_bad_since_is_refused(since: Any) -> None:
    async with rediq.connect("memory://") as client:
        with pytest.raises(rediq.ConfigError, match="since"):
            await client.queue("q").series(since)


@pytest.mark.parametrize(
    "until", [5.0, dt.datetime(2026, 1, 1), dt.datetime(1999, 1, 1, tzinfo=dt.UTC)]
)
async def test_a_bad_until_is_refused(until: Any) -> None:
    async with rediq.connect("memory://") as client:
        with pytest.raises(rediq.ConfigError, match="until"):
            await client.queue("q").series(dt.timedelta(hours=1), until)
