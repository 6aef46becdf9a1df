"""RealClock: the real time, for a fleet whose store is a real Redis."""

from __future__ import annotations

import time

from rediq_trio.testing.simulated.clock import SimClock

LOOK_EVERY_REAL = 0.0005
"""Seconds between two looks whether Redis has answered, while nothing can run."""


class RealClock(SimClock):
    """Waits in real time, in short sleeps, because the loop that looks for answers is ours."""

    def __init__(self) -> None:
        super().__init__()
        self._begun = time.monotonic()

    def current_time(self) -> float:
        """Return the real seconds since the beginning."""
        self.time = time.monotonic() - self._begun
        return self.time

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Sleep for a moment, make the calls that are due then, and return that no wait is needed."""
        self.jumps += 1
        if self.after_steps is not None:
            self.after_steps()
        now = self.current_time()
        if self.over() or now >= self.limit:
            self.stopped = True
            return 0
        due = min(deadline, self.next_event(), self.limit)
        if not self.stepped and due > now:  # after a step, answers may be there already
            time.sleep(min(LOOK_EVERY_REAL, due - now))
            self.current_time()
        self.stepped = False
        self.make_calls_due()
        return 0
