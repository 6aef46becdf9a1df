"""Room is shared out in proportion to weights, to the task."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.worker.shares import Shares

WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 100), min_size=2)
ROOMS = st.lists(st.integers(1, 300), min_size=1, max_size=30)


def claim(shares: Shares, room: int, ready: dict[str, int]) -> dict[str, int]:
    """Claim as the poller does, from queues with so many ready tasks each."""
    claimed = dict.fromkeys(ready, 0)
    full = list(ready)
    while full and sum(claimed.values()) < room:
        for queue, part in shares.split(room - sum(claimed.values()), full).items():
            count = min(part, ready[queue])
            ready[queue] -= count
            claimed[queue] += count
            shares.took(queue, count)
            if not ready[queue]:
                full.remove(queue)
    shares.even_out(full)
    return claimed


@given(WEIGHTS, st.integers(1, 100_000))
def test_all_the_room_is_given_out(weights: dict[str, float], room: int) -> None:
    parts = Shares(weights).split(room, weights)
    assert sum(parts.values()) == room
    assert all(part > 0 for part in parts.values())


@given(WEIGHTS, ROOMS)
def test_after_any_number_of_rounds_each_queue_has_its_share(
    weights: dict[str, float], rooms: list[int]
) -> None:
    shares, counts = Shares(weights), dict.fromkeys(weights, 0)
    for room in rooms:
        for queue, count in claim(shares, room, dict.fromkeys(weights, 10**9)).items():
            counts[queue] += count
    for queue, weight in weights.items():
        due = sum(rooms) * weight / sum(weights.values())
        assert abs(counts[queue] - due) < len(weights)


@given(WEIGHTS, ROOMS, st.integers(0, 50))
def test_an_empty_queue_leaves_no_room_unused(
    weights: dict[str, float], rooms: list[int], few: int
) -> None:
    shares, first = Shares(weights), min(weights)
    for room in rooms:
        claimed = claim(shares, room, {q: few if q == first else 10**9 for q in weights})
        assert sum(claimed.values()) == room
        assert claimed[first] <= few


@pytest.mark.parametrize("weight", [1.0, 100.0])
def test_what_an_empty_queue_gave_away_is_forgotten(weight: float) -> None:
    shares = Shares({"a": weight, "b": 1.0})
    for _ in range(100):
        claim(shares, 1000, {"a": 0, "b": 10**9})
    claimed = claim(shares, 1010, {"a": 10**9, "b": 10**9})
    assert claimed["b"] == pytest.approx(1010 / (1 + weight), abs=1)


def test_what_came_while_all_were_empty_is_forgotten() -> None:
    shares = Shares({"a": 1.0, "b": 1.0})
    claim(shares, 1000, {"a": 0, "b": 900})
    assert claim(shares, 10, {"a": 100, "b": 100}) == {"a": 5, "b": 5}


def test_one_by_one_the_turns_are_spread() -> None:
    shares, turns = Shares({"a": 3, "b": 1}), ""
    for _ in range(12):
        (queue,) = shares.split(1, "ab")
        shares.took(queue, 1)
        turns += queue
    assert turns == "aaab" * 3


def test_what_was_not_claimed_is_not_counted() -> None:
    shares = Shares({"a": 1, "b": 1})
    for _ in range(5):
        assert shares.split(10, "ab") == {"a": 5, "b": 5}
    shares.took("b", 5)
    assert shares.split(5, "ab") == {"a": 5}


def test_weights_of_any_size_give_finite_parts() -> None:
    shares = Shares({"a": 1e6, "b": sys.float_info.min, "c": 5e-324})
    for _ in range(3):
        assert sum(claim(shares, 1000, dict.fromkeys("abc", 10**9)).values()) == 1000
        assert sum(claim(shares, 1000, {"a": 0, "b": 10**9, "c": 10**9}).values()) == 1000
