"""Linearizability: search for an order of operations that a sequential specification allows.

The algorithm is that of Wing and Gong (1993) with Lowe's cache ("Testing for linearizability", 2017);
Porcupine uses it too. The next operation is any one that no other remaining operation precedes, and
each pair of a set of done operations and a state is visited once. Between operations the object may
change its state by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import attrs

NO_BOUND = math.inf
"""The return time of an operation that never returned."""

S = TypeVar("S", bound=Hashable)


@attrs.frozen
class ObservedCall(Generic[S]):
    """One operation, which took effect at one instant between its call and its return."""

    call: float
    back: float
    """The time of its return; `NO_BOUND` for one that may take effect at any later time."""
    apply: Callable[[S], Iterable[S]]
    """Returns the states that may follow a state; none if the operation is impossible there."""
    must: bool = True
    """Whether it certainly took effect. Other operations may never have."""


@attrs.frozen
class Search:
    """The result of a search."""

    possible: bool | None
    """None if the search reached its bound."""
    steps: int


def linearize(
    operations: Sequence[ObservedCall[S]],
    start: S,
    moves: Callable[[S], Iterable[S]],
    *,
    most: int = 200_000,
) -> Search:
    """Return whether the specification allows some order of the operations.

    `moves` returns the states that may follow a state by itself. The number of reachable states must
    be finite. The search gives up after `most` states.
    """
    musts = sum(1 << rank for rank, each in enumerate(operations) if each.must)
    first: tuple[int, S] = (0, start)
    seen: set[tuple[int, S]] = {first}
    stack: list[tuple[int, S]] = [first]
    while stack:
        done, state = stack.pop()
        if done & musts == musts:
            return Search(True, len(seen))
        if len(seen) > most:
            return Search(None, len(seen))
        following = [(done, after) for after in moves(state)]
        for rank in _next(operations, done):
            following += [(done | 1 << rank, after) for after in operations[rank].apply(state)]
        for each in following:
            if each not in seen:
                seen.add(each)
                stack.append(each)
    return Search(False, len(seen))


def _next(operations: Sequence[ObservedCall[S]], done: int) -> list[int]:
    """Return the operations that may be next: those that no other remaining one precedes."""
    left = [rank for rank in range(len(operations)) if not done >> rank & 1]
    bound = min((operations[rank].back for rank in left if operations[rank].must), default=0.0)
    if not any(operations[rank].must for rank in left):
        return left
    return [rank for rank in left if operations[rank].call <= bound]
