"""A search for an order of operations that a sequential specification has.

The algorithm is Wing and Gong's (1993) with Lowe's memory ("Testing for linearizability",
2017; Porcupine does the same): go on with any operation that is not preceded by another
one that is still to come, and never twice from the same set of operations in the same
state. Between the operations the object may move by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Generic, TypeVar

import attrs

NO_BOUND = math.inf
"""When one returned that never did."""

S = TypeVar("S", bound=Hashable)


@attrs.frozen
class ObservedCall(Generic[S]):
    """One operation: between its call and its return it took effect at one instant."""

    call: float
    back: float
    """`NO_BOUND` for one that may have taken effect at any later time."""
    apply: Callable[[S], Iterable[S]]
    """From the state before to those that may be after it; none where it cannot be."""
    must: bool = True
    """It did happen. Others may never have."""


@attrs.frozen
class Search:
    """What a search came to."""

    possible: bool | None
    """None: undecided within the bound."""
    steps: int


def linearize(
    operations: Sequence[ObservedCall[S]],
    start: S,
    moves: Callable[[S], Iterable[S]],
    *,
    most: int = 200_000,
) -> Search:
    """Say whether some order of the operations is one that the specification has.

    `moves` gives what the object may do by itself; the states that can be reached must
    be finite. Gives up after `most` states.
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
    """Give the operations that may come next: none that is still to come returned before them."""
    left = [rank for rank in range(len(operations)) if not done >> rank & 1]
    bound = min((operations[rank].back for rank in left if operations[rank].must), default=0.0)
    if not any(operations[rank].must for rank in left):
        return left
    return [rank for rank in left if operations[rank].call <= bound]
