"""Liveness: how an actor gets on, written by the actor and read by whoever judges its health.

Each field is one number and is replaced in one step, so another thread may read it too.
"""

from __future__ import annotations

import math

import attrs
import trio


@attrs.define(eq=False)
class Liveness:
    """How one actor gets on; times are on Trio's clock."""

    answered_at: float = attrs.field(factory=trio.current_time)
    """When the store last answered it."""
    idle_at: float = -math.inf
    """When it last found that it needed nothing from the store."""
    failed_at: float = -math.inf
    """When the store last failed to answer it."""
    due: float = attrs.field(factory=trio.current_time)
    """When it should go on at the latest."""
    _rest_until: float = math.inf
    """When it should go on at the latest, but for the calls that are under way."""
    _calls: dict[str, float] = attrs.field(factory=dict[str, float])
    """When each call that is under way next to it began; the oldest is the first."""

    def record_answer(self) -> None:
        """Record that the store answered."""
        self.answered_at = self.due = trio.current_time()

    def record_failure(self) -> None:
        """Record that the store cannot be reached; the actor itself goes on."""
        self.failed_at = self.due = trio.current_time()

    def begin_call(self, name: str) -> None:
        """Record that a call begins, next to what the actor does otherwise; once for each name."""
        self._calls.pop(name, None)
        self._calls[name] = trio.current_time()
        self.due = min(self._rest_until, next(iter(self._calls.values())))

    def end_call(self, name: str) -> None:
        """Record that the call of that name has ended."""
        self._calls.pop(name, None)
        self.due = min(self._rest_until, next(iter(self._calls.values()), math.inf))

    def rest(self, seconds: float) -> None:
        """Record that the actor sleeps for at most `seconds`, while calls may be under way."""
        self._rest_until = trio.current_time() + seconds
        self.due = min(self._rest_until, next(iter(self._calls.values()), math.inf))

    def wake(self) -> None:
        """Record that the actor has work again."""
        self.due = trio.current_time()

    def sleep(self, seconds: float, *, idle: bool = False) -> None:
        """Record that the actor sleeps for at most `seconds`; `idle` when it needs nothing."""
        now = trio.current_time()
        self.due = now + seconds
        if idle:
            self.idle_at = now
