"""Calls for several queues, or for the partitions of one, made at the same time.

One that fails costs the others nothing: every call is made to its end. Then the first failure is
raised, and names its queue or partition.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import trio

from rediq_trio._errors import ConnectionLost, RediqError, name_some
from rediq_trio._errors.nursery import unwrapped_errors

A = TypeVar("A")

AT_ONCE = 32
"""Calls that are made at the same time, at most."""
FAILED_NAMED_MAX = 5
"""Maximum number of further queues that a message names."""


async def call_each(queues: Sequence[str], call: Callable[[str], Awaitable[A]]) -> list[A]:
    """Make a call for each queue or partition; return the answers in order.

    Raises the first failure, in their order, after all calls have ended; its message names the
    queue, and the others that failed. With one queue, it is just that call.
    """
    if len(queues) == 1:
        return [await call(queues[0])]
    answers, failures = await try_each(queues, call)
    if failures:
        raise first_failure(queues, failures)
    return [answers[queue] for queue in queues]


async def try_each(
    queues: Sequence[str], call: Callable[[str], Awaitable[A]]
) -> tuple[dict[str, A], dict[str, RediqError]]:
    """Make a call for each queue or partition; return the answers and the failures, by queue."""
    answers: dict[str, A] = {}
    failures: dict[str, RediqError] = {}
    left = iter(queues)

    async def call_some() -> None:
        for queue in left:
            try:
                answers[queue] = await call(queue)
            except RediqError as error:
                failures[queue] = error

    async with unwrapped_errors(), trio.open_nursery() as nursery:
        for _ in range(min(AT_ONCE, len(queues))):
            nursery.start_soon(call_some)
    return answers, failures


def first_failure(queues: Sequence[str], failures: Mapping[str, RediqError]) -> RediqError:
    """Return the first failure, in the order of the queues; its message says which ones failed."""
    first, *others = [queue for queue in queues if queue in failures]
    also = f" (as did {name_some(others, FAILED_NAMED_MAX)})" if others else ""
    return _named(failures[first], first, also)


@contextmanager
def naming_lost(queue: str) -> Generator[None]:
    """Name the queue, or partition, in the message of a `ConnectionLost`."""
    try:
        yield
    except ConnectionLost as lost:
        _named(lost, queue)
        raise


def _named(error: RediqError, queue: str, end: str = "") -> RediqError:
    begin = f"queue {queue}: "
    text = str(error)
    error.args = (f"{'' if text.startswith(begin) else begin}{text}{end}", *error.args[1:])
    return error
