"""Chance from a seed, for tests of what a simulation replaces."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from random import Random

import attrs
import trio

from rediq_trio.values.chance import CHANCE

NOON = 1_767_355_200.0
"""2026-01-02 12:00 UTC, in seconds since 1970."""


@attrs.define
class SeededChance:
    """Numbers of a seed, and a day that begins at `NOON` and moves with Trio's clock."""

    random: Random

    def uniform(self, low: float, high: float) -> float:
        return self.random.uniform(low, high)

    def randrange(self, stop: int) -> int:
        return self.random.randrange(stop)

    def entropy(self, size: int) -> bytes:
        return self.random.randbytes(size)

    def wall(self) -> float:
        return NOON + (trio.current_time() if trio.lowlevel.in_trio_run() else 0.0)

    def threads(self) -> bool:
        return False


@contextmanager
def seeded(seed: int) -> Generator[SeededChance]:
    """Take chance from a seed while the block lasts, also in what it starts."""
    chance = SeededChance(Random(seed))
    before = CHANCE.set(chance)
    try:
        yield chance
    finally:
        CHANCE.reset(before)
