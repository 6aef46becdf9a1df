"""AutoResetEvent: an event that clears itself when its waiter wakes."""

from __future__ import annotations

import trio


class AutoResetEvent:
    """An event that is cleared by the wait that it ends. For one waiter."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def set(self) -> None:
        """Wake the waiter; if nobody waits, the next wait returns at once."""
        self._event.set()

    async def wait(self) -> None:
        """Wait until the event is set, and clear it. When cancelled, it stays set."""
        await self._event.wait()
        self._event = trio.Event()
