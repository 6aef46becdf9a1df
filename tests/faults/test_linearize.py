"""The search for an order of operations, held against trying every order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rediq_trio.testing.judge.linearize import NO_BOUND, ObservedCall, linearize

VALUES = range(3)


def write(value: int, at: tuple[float, float], *, must: bool = True) -> ObservedCall[int]:
    """Write a register."""
    return ObservedCall(at[0], at[1] if must else NO_BOUND, lambda _: [value], must)


def read(value: int, at: tuple[float, float]) -> ObservedCall[int]:
    """Read a register."""
    return ObservedCall(at[0], at[1], lambda state: [state] if state == value else [], True)


def still(_: int) -> Iterable[int]:
    return ()


def count_on(state: int) -> Iterable[int]:
    """A register that may count on by itself, to 2."""
    return (state + 1,) if state < max(VALUES) else ()


def brute(operations: Sequence[ObservedCall[int]], start: int, moves: Any) -> bool:
    """Try every choice of the operations that need not have happened, in every order."""
    maybe = [each for each in operations if not each.must]
    musts = [each for each in operations if each.must]
    for size in range(len(maybe) + 1):
        for some in itertools.combinations(maybe, size):
            for order in itertools.permutations([*musts, *some]):
                if _keeps_time(order, musts) and _fits(order, start, moves):
                    return True
    return False


def _keeps_time(order: Sequence[ObservedCall[int]], musts: Sequence[ObservedCall[int]]) -> bool:
    return not any(later.back < earlier.call for earlier, later in itertools.combinations(order, 2))


def _fits(order: Sequence[ObservedCall[int]], start: int, moves: Any) -> bool:
    states = _closed({start}, moves)
    for operation in order:
        states = _closed({after for state in states for after in operation.apply(state)}, moves)
    return bool(states)


def _closed(states: set[int], moves: Any) -> set[int]:
    while more := {after for state in states for after in moves(state)} - states:
        states = states | more
    return states


spans = st.tuples(st.integers(0, 9), st.integers(0, 9)).map(lambda both: (min(both), max(both)))
operations = st.lists(
    st.one_of(
        st.builds(write, st.sampled_from(VALUES), spans, must=st.booleans()),
        st.builds(read, st.sampled_from(VALUES), spans),
    ),
    max_size=5,
)


@given(operations=operations, moves=st.sampled_from([still, count_on]))
def test_the_search_agrees_with_trying_every_order(
    operations: list[ObservedCall[int]], moves: Any
) -> None:
    assert linearize(operations, 0, moves).possible is brute(operations, 0, moves)


def test_a_read_of_what_was_overwritten_before_it_began_is_found() -> None:
    history = [write(1, (0, 1)), write(2, (2, 3)), read(1, (4, 5))]
    assert linearize(history, 0, still).possible is False
    assert linearize([*history[:2], read(2, (4, 5))], 0, still).possible


def test_calls_that_overlap_may_be_in_any_order() -> None:
    assert linearize([write(1, (0, 9)), read(0, (2, 3)), read(1, (4, 5))], 0, still).possible
    wrong = [write(1, (0, 9)), read(1, (2, 3)), read(0, (4, 5))]
    assert linearize(wrong, 0, still).possible is False


@pytest.mark.parametrize("value", [0, 1])
def test_a_call_without_an_answer_may_have_happened_late_or_never(value: int) -> None:
    assert linearize([write(1, (0, 1), must=False), read(value, (50, 51))], 0, still).possible


def test_a_call_without_an_answer_that_could_not_take_effect_is_left_out() -> None:
    refused: ObservedCall[int] = ObservedCall(0, NO_BOUND, lambda _: [], must=False)
    assert linearize([refused, read(0, (50, 51))], 0, still).possible


def test_a_call_without_an_answer_has_not_happened_before_it_was_made() -> None:
    history = [write(1, (5, 6), must=False), read(1, (0, 1))]
    assert linearize(history, 0, still).possible is False


def test_a_search_that_is_too_long_is_undecided() -> None:
    history = [write(n % 3, (0, 100)) for n in range(8)]
    found = linearize([*history, read(7, (0, 100))], 0, still, most=50)
    assert found.possible is None
    assert found.steps > 50
