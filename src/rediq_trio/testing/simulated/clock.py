"""SimClock: simulated time, which stands still while anything can run."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import trio


def never() -> bool:
    """Return False: what never holds."""
    return False


class SimClock(trio.abc.Clock):
    """Jumps to whatever comes next: a deadline of Trio's, or an event.

    Trio asks how long to sleep only when nothing can run: that is where time moves.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self.limit = math.inf
        """The instant at which to stop."""
        self.stopped = False
        """Whether the limit was reached, or nothing will ever happen again."""
        self.nothing_left = False
        self.over: Callable[[], bool] = never
        """Whether to stop before time moves on."""
        self.before_jump: Callable[[float], float] | None = None
        """Called with the instant of the next jump; returns another one."""
        self.after_steps: Callable[[], None] | None = None
        """Called when nothing can run any more."""
        self.holds: Callable[[], bool] | None = None
        """Called before time moves on: returns whether it is not to move now."""
        self.jumps = 0
        self.stepped = False
        """Whether a task has run since this was last set to False."""
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbered = 0

    def start_clock(self) -> None:
        """Do nothing: time begins at 0."""

    def current_time(self) -> float:
        """Return the simulated seconds since the beginning."""
        return self.time

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Make a call at an instant; those of the same instant in the order in which they came."""
        self._numbered += 1
        heapq.heappush(self._events, (max(when, self.time), self._numbered, call))

    def next_event(self) -> float:
        """Return the instant of the next event; inf without one."""
        return self._events[0][0] if self._events else math.inf

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Move time, make the calls that are due then, and return that no wait is needed."""
        self.jumps += 1
        if self.after_steps is not None:
            self.after_steps()
        if self.over():
            self.stopped = True
            return 0
        when = min(deadline, self.next_event())
        if self.holds is not None and self.holds():
            return 0
        if self.before_jump is not None:
            when = self.before_jump(when)
        if when > self.limit or when == math.inf:
            self.nothing_left = when == math.inf and self.limit == math.inf
            if self.limit < math.inf:
                self.time = max(self.time, self.limit)
            self.stopped = True
            return 0
        self.time = max(self.time, when)
        self.make_calls_due()
        return 0

    def make_calls_due(self) -> None:
        """Make the calls whose instant has come."""
        while self._events and self._events[0][0] <= self.time:
            heapq.heappop(self._events)[2]()
