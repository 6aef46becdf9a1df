"""Pace: how an actor gets on, written by the actor and read by whoever judges its health.

Only numbers, each written whole: so it can be read from another thread as well.
"""

from __future__ import annotations

import math

import attrs
import trio


@attrs.define(eq=False)
class Pace:
    """How one actor gets on; times are on Trio's clock."""

    answered: float = attrs.field(factory=trio.current_time)
    """When the store last answered it."""
    content: float = -math.inf
    """When it last saw that it needed nothing of the store."""
    refused: float = -math.inf
    """When the store last failed to answer it."""
    due: float = attrs.field(factory=trio.current_time)
    """When it was to get on at the latest."""

    def answer(self) -> None:
        """Note an answer of the store."""
        self.answered = self.due = trio.current_time()

    def refuse(self) -> None:
        """Note that the store cannot be reached; the actor itself gets on."""
        self.refused = self.due = trio.current_time()

    def begin(self) -> None:
        """Note that there is something to do again."""
        self.due = trio.current_time()

    def rest(self, seconds: float, *, content: bool = False) -> None:
        """Note that the actor sleeps for so long at most; `content` when there is nothing to ask for."""
        now = trio.current_time()
        self.due = now + seconds
        if content:
            self.content = now
