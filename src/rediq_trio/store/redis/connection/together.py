"""Calls that one task makes together, and waits for together.

A call costs its caller a switch between tasks, and a nursery for several at once. A thousand reads
that are answered as one cost neither, and still go to the server, or to each node of a Cluster, in as
few round trips as their number allows.
"""

from __future__ import annotations

from typing import Any

import attrs
import outcome
import trio

from rediq_trio.store.redis.connection.calls import PendingCall


@attrs.define(eq=False)
class Together:
    """The replies to several calls, and the task that waits for all of them."""

    replies: list[Any]
    """In the order of the calls; of a call that was refused, the error."""
    waiter: trio.lowlevel.Task | None
    missing: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.missing = len(self.replies)

    def take(self, number: int, reply: Any) -> None:
        self.replies[number] = reply
        self.missing -= 1
        if not self.missing and self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter, outcome.Value(self.replies))
            self.waiter = None


@attrs.define(eq=False)
class CallTogether(PendingCall):
    """One of the calls."""

    together: Together = attrs.field(kw_only=True)
    number: int = attrs.field(kw_only=True)

    def answer(self, result: Any) -> None:
        self.together.take(self.number, result)

    def refuse(self, error: BaseException) -> None:
        self.together.take(self.number, error)

    @property
    def is_awaited(self) -> bool:
        return self.together.waiter is not None
