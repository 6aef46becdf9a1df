"""Bell: wakes whoever waits; rung while nobody waits, it is remembered once."""

from __future__ import annotations

import trio


class Bell:
    """An event that is over once it was heard. For one listener."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """Wake the listener, or let its next wait pass."""
        self._event.set()

    async def wait_rung(self) -> None:
        """Wait for a ring. When cancelled, a ring is kept for the next wait."""
        await self._event.wait()
        self._event = trio.Event()
