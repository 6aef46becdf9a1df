"""A deadline for many waits in a row, with one timer for all of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls a function when the current wait takes too long.

    When the timer fires, the wait that set it may be over and another may have begun; then it is
    set again, to the deadline of that one. Setting and cancelling an asyncio timer for each wait
    would cost a tenth of a round trip to Redis.
    """

    def __init__(self, missed: Callable[[], None]) -> None:
        self._missed = missed
        self._at = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether a wait has begun and not ended."""
        return self._at < math.inf

    def set(self, seconds: float) -> None:
        """Begin a wait of at most `seconds`."""
        loop = asyncio.get_running_loop()
        self._at = loop.time() + seconds
        if self._timer is None:
            self._timer = loop.call_at(self._at, self._look)

    def clear(self) -> None:
        """End the wait."""
        self._at = math.inf

    def stop(self) -> None:
        """End the wait, and cancel the timer."""
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
