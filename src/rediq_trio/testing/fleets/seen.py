"""`sometimes`: what a campaign has to see at least once."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar

from rediq_trio.values import bounds


class SeenConditions:
    """What was seen in one run, by name."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str, condition: bool) -> None:
        """Count a name, whether or not its condition holds."""
        self.counts[name] += condition


SEEN: ContextVar[SeenConditions | None] = ContextVar("rediq_trio.testing.seen", default=None)


def sometimes(name: str, condition: bool = True) -> None:
    """Note in a handler or a check that something happens sometimes.

    `simulate(..., sometimes=[name])` fails if no seed of it has seen that with a condition that holds.
    Outside of a simulation nothing happens.
    """
    bounds.check_text("name", name, 1, 200)
    seen = SEEN.get()
    if seen is not None:
        seen.add(name, bool(condition))
