"""The rule of scaling: what a queue needs, and how many workers that makes."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio.observe.scaling import (
    DEFAULT_LATENCY,
    RUN_STEPS,
    SPARE,
    STABLE_STEPS,
    UNKNOWN_RUN,
    QueueNeed,
    QueueNeeds,
    QueueStep,
    read_scaling,
    scaling_of,
    steady,
    steps_of,
    within_limits,
)
from rediq_trio.settings import Settings
from rediq_trio.values.limits import QueueLimits, Rate
from rediq_trio.values.observed.series import Series, SeriesGap, SeriesPoint
from rediq_trio.values.targets import QueueTargets
from rediq_trio.values.task import QueueStats
from tests.observe.views import worker

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def point(n: int, pending: int = 0, active: int = 0, ended: int = 0) -> SeriesPoint:
    zeros = dict.fromkeys(
        ("enqueued", "failed", "deaths", "scheduled", "retry", "blocked", "grouped", "dead"), 0
    )
    return SeriesPoint(
        at=AT + dt.timedelta(seconds=10 * n), completed=ended, pending=pending, active=active,
        oldest_pending_age=0.0, **zeros,
    )  # fmt: skip


def gap(first: int, last: int, ended: int) -> SeriesGap:
    since, until = (AT + dt.timedelta(seconds=10 * n) for n in (first, last))
    return SeriesGap(since=since, until=until, enqueued=0, completed=ended - 1, failed=1, deaths=0)


def need_of(*steps: QueueStep, latency: float = 60.0) -> QueueNeed:
    history = QueueNeeds(10.0, latency)
    *_, last = map(history.add, steps)
    return last


def test_a_steady_load_is_arrivals_times_running_time() -> None:
    # 2 arrive in a second and run for 5 s: 10 run at any time.
    need = need_of(*[QueueStep(0, 10, 20)] * 60)
    assert (need.arrivals, need.running_time) == (2, 5)
    assert need.slots == pytest.approx(10 + 2.9957 * 5 / 60, abs=0.001)


def test_room_for_chance_is_the_least_of_two() -> None:
    need = need_of(*[QueueStep(0, 16, 1)] * 400, latency=1.0)  # 160 s each
    assert need.slots == pytest.approx(16 + 2 * 4)


def test_what_is_pending_starts_within_half_the_target() -> None:
    assert need_of(*[QueueStep(60, 10, 20)] * 60).slots == pytest.approx(10 + 60 * 5 / 30)
    # No more slots than tasks, however long they run.
    assert need_of(QueueStep(3, 0, 0), latency=0.5).slots == 3


def test_a_jump_is_believed_at_once_and_chance_is_not() -> None:
    calm = [QueueStep(0, 10, 20)] * 60
    assert need_of(*calm, QueueStep(9, 10, 20)).arrivals == pytest.approx(2, rel=0.1)
    assert need_of(*calm, QueueStep(80, 10, 20)).arrivals == pytest.approx(7, rel=0.01)


def test_a_running_time_is_known_before_an_attempt_has_ended() -> None:
    started = [QueueStep(0, 0, 0), *[QueueStep(0, 4, 0)] * 6]
    assert need_of(*started).running_time == pytest.approx(110)  # as if they were half done
    assert need_of(QueueStep(5, 0, 0)).running_time == UNKNOWN_RUN
    assert need_of(*[QueueStep(0, 4, 0)] * 31).running_time == 300


def test_running_times_of_late_count_if_there_are_enough() -> None:
    slow, quick = [QueueStep(0, 100, 10)] * 300, [QueueStep(0, 10, 10)] * RUN_STEPS[0]
    assert need_of(*slow, *quick, QueueStep(0, 10, 10)).running_time == 10
    few = [QueueStep(0, 1, 0.1)] * RUN_STEPS[0]
    assert need_of(*slow, *few).running_time > 50


def test_tasks_longer_than_the_target_keep_their_slots() -> None:
    assert need_of(*[QueueStep(0, 7, 0)] * 60).slots >= 7


def test_it_goes_up_at_once_and_down_after_a_stable_window() -> None:
    high, low = [4.2], [1.0]
    assert steady(high) == 5
    assert steady(high + low * STABLE_STEPS) == 5
    assert steady(high + low * (STABLE_STEPS + 1)) == 2  # SPARE
    assert steady(high + low * 60 + [9.0]) == 9
    assert steady([]) == steady([0.0]) == 1


def test_it_does_not_go_down_for_little_nor_up_again_for_little() -> None:
    assert steady([7.0] + [6.0 * 1.01] * 100) == 7
    down = [9.0] + [5.0] * (STABLE_STEPS + 1)
    assert steady(down) == 6
    assert steady([*down, 6.0 * SPARE]) == 6
    assert steady([*down, 6.0 * SPARE + 0.1]) == 7
    assert steady([*down, *[5.0] * STABLE_STEPS, 6.1]) == 7


def test_a_gap_is_filled_with_what_is_known_of_it() -> None:
    series = Series(
        step=10, points=(point(0, 0, 4, 8), point(5, 10, 4)), gaps=(gap(0, 4, ended=40),)
    )
    found = steps_of(series, QueueStats())
    assert [one.pending for one in found] == [0, 2, 4, 6, 8, 10]
    assert [one.ended for one in found] == [8, 8, 8, 8, 8, 8]


def test_a_series_that_ends_with_a_gap_goes_on_with_the_numbers_of_now() -> None:
    now = QueueStats(pending=8, active=4)
    series = Series(step=10, points=(point(0, 0, 4, 8),), gaps=(gap(0, 4, ended=20),))
    found = steps_of(series, now)
    assert [one.pending for one in found] == [0, 2, 4, 6, 8]
    assert [one.ended for one in found] == [8, 5, 5, 5, 5]
    assert steps_of(Series(step=10, points=(), gaps=()), now) == [QueueStep(8, 4, 0)]


def test_slots_above_the_limits_of_the_queue_do_not_count() -> None:
    need = QueueNeed(slots=50.0, arrivals=10.0, running_time=5.0)
    assert within_limits(need, QueueLimits()) == 50
    assert within_limits(need, QueueLimits(concurrency=8)) == 8
    assert within_limits(need, QueueLimits(rate=Rate(60, per=60))) == pytest.approx(5 + 2 * 5**0.5)


def scaled(stats: QueueStats, *workers: Any, **limits: Any) -> int:
    busy = tuple(point(n, 0, 10, 20) for n in range(60))
    series = Series(step=10, points=busy, gaps=())
    return scaling_of(series, stats, QueueLimits(**limits), workers).desired


def test_workers_are_counted_by_their_concurrency() -> None:
    one, other = (attrs.evolve(worker("w"), concurrency=size) for size in (2, 4))
    assert scaled(QueueStats(), one) == 6
    assert scaled(QueueStats(), one, other) == 4
    assert scaled(QueueStats(), one, concurrency=3) == 2
    assert scaled(QueueStats()) == math.ceil(10.3 / Settings().concurrency)


def test_the_target_of_the_queue_counts() -> None:
    one = attrs.evolve(worker("w"), concurrency=2)
    assert scaled(QueueStats(targets=QueueTargets(latency=0.1)), one) == 9
    found = scaling_of(Series(step=10, points=(), gaps=()), QueueStats(), QueueLimits(), [])
    assert found.latency == DEFAULT_LATENCY


def test_a_paused_queue_needs_workers_for_what_runs() -> None:
    one = attrs.evolve(worker("w"), concurrency=2)
    assert scaled(QueueStats(paused=True, active=3, pending=10_000), one) == 2
    assert scaled(QueueStats(paused=True, pending=10_000), one) == 1


async def test_all_of_it_is_read_and_quiet_workers_do_not_count() -> None:
    quiet, other = worker("q", queues=("emails",), state="quiet"), worker("o", queues=("other",))
    async with rediq.connect("memory://") as client:
        await client.enqueue_many([rediq.Task("t", queue="emails") for _ in range(50)])
        await client.queue("emails").targets(latency=5)
        await client.queue("emails").limit(concurrency=6)
        stats = await client.queue("emails").stats()
        mine = worker("w", queues=("emails",), concurrency=2)
        found = await read_scaling(client, "emails", stats, [quiet, other, mine])
    assert (found.desired, found.live, found.concurrency, found.latency) == (3, 1, 2.0, 5.0)
