"""Rates in the specification: never exceeded, and reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.spec.order.lanes import arrival_after, free_at
from rediq_trio.spec.records import MAX_SLACK_US, Limit

REACHED = 0.97


@st.composite
def rates(draw: st.DrawFn, shortest_ms: int = 1, longest_ms: int = 5000) -> Limit:
    count = draw(st.integers(1, 40) | st.sampled_from([100, 333, 1000]))
    period_ms = draw(st.integers(shortest_ms, longest_ms))
    return Limit(0, count, period_ms, draw(st.integers(1, count)))


def starts(limit: Limit, claims: Iterator[tuple[int, int]]) -> list[int]:
    """Return when tasks start, if claims come at these instants for so many tasks."""
    arrival, found = 0, list[int]()
    for now, most in claims:
        for _ in range(most):
            if free_at(limit, arrival) > now:
                break
            found.append(now)
            arrival = arrival_after(limit, arrival, now)
    return found


def fullest(limit: Limit, found: list[int]) -> int:
    """Return the largest number of starts in a window of one period."""
    most = first = 0
    for last, at in enumerate(found):
        while found[first] <= at - limit.period_ms:
            first += 1
        most = max(most, last - first + 1)
    return most


@given(
    limit=rates(),
    pauses=st.lists(
        st.tuples(st.integers(0, 40) | st.integers(0, 6000), st.integers(1, 60)), max_size=50
    ),
)
def test_no_period_sees_more_starts_than_count_and_burst(
    limit: Limit, pauses: list[tuple[int, int]]
) -> None:
    def claims() -> Iterator[tuple[int, int]]:
        now = 1_700_000_000_000
        for pause, most in pauses:
            now += pause
            yield now, most

    assert fullest(limit, starts(limit, claims())) <= limit.count + limit.burst - 1


@given(limit=rates(longest_ms=300))
def test_not_even_if_a_claim_comes_at_every_instant(limit: Limit) -> None:
    found = starts(limit, ((now, 1000) for now in range(1000, 1000 + 4 * limit.period_ms)))
    assert fullest(limit, found) <= limit.count + limit.burst - 1


@given(
    limit=rates(shortest_ms=1000).filter(lambda limit: limit.count > 1),
    late=st.lists(st.integers(0, 15), min_size=1, max_size=50),
)
def test_a_rate_is_reached_though_each_claim_is_some_ms_late(limit: Limit, late: list[int]) -> None:
    now, arrival, found, polls = 1_700_000_000_000, 0, 0, 0
    end = now + 10 * limit.period_ms
    while now < end:
        while free_at(limit, arrival) <= now:
            arrival = arrival_after(limit, arrival, now)
            found += 1
        now = free_at(limit, arrival) + late[polls % len(late)]
        polls += 1
    assert found >= REACHED * limit.count * 10


@given(limit=rates())
def test_what_a_start_may_be_late_is_a_small_share_of_the_period(limit: Limit) -> None:
    most, rounding = min(limit.period_ms * 20, MAX_SLACK_US), limit.count
    slack = limit.tolerance_us - (limit.burst - 1) * limit.interval_us
    assert 0 <= slack <= most + rounding
    if limit.count == 1:
        assert slack == 0
        return
    assert limit.tolerance_us >= most
    if (limit.burst - 1) * limit.period_ms * 1000 // limit.count >= most:
        assert slack < rounding


@pytest.mark.parametrize(
    ("limit", "interval_us", "tolerance_us"),
    [
        (Limit(0, 0), 0, 0),
        (Limit(5), 0, 0),
        (Limit(0, 1, 1000), 1_000_000, 0),
        (Limit(0, 10, 1000), 102_000, 20_000),
        (Limit(0, 100, 1000), 10_200, 20_000),
        (Limit(0, 1000, 1000), 1_020, 20_000),
        (Limit(0, 100, 60_000), 601_000, 100_000),
        # A burst of two is 10 ms of lateness at 100/s, and the slack the rest.
        (Limit(0, 100, 1000, 2), 10_100, 20_100),
        (Limit(0, 100, 1000, 10), 10_000, 90_000),
        (Limit(0, 3, 10), 3_400, 200),
    ],
)
def test_the_interval_and_the_tolerance_of_a_rate(
    limit: Limit, interval_us: int, tolerance_us: int
) -> None:
    assert (limit.interval_us, limit.tolerance_us) == (interval_us, tolerance_us)
