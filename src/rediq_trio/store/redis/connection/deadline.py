"""A deadline for one wait after another, with one timer for them all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls when the wait under way takes too long.

    The timer runs out when the wait that set it would be overdue, and looks then when the one
    that is under way by now will be: to set a timer of asyncio's for each wait, and to cancel it,
    costs a tenth of a trip to Redis.
    """

    def __init__(self, missed: Callable[[], None]) -> None:
        self._missed = missed
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether a wait is under way."""
        return self._at < math.inf

    def set(self, seconds: float) -> None:
        """Begin a wait that may take so many seconds."""
        loop = asyncio.get_running_loop()
        self._at = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_at(self._at, self._look)

    def clear(self) -> None:
        """End the wait."""
        self._at = math.inf

    def stop(self) -> None:
        """End the wait, and the timer."""
        self.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if not self.is_set:
            return  # the next wait sets the timer again
        loop = asyncio.get_running_loop()
        if self._at > loop.time():
            self._timer = loop.call_at(self._at, self._look)
        else:
            self.clear()
            self._missed()
