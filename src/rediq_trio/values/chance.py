"""Random numbers, the time of day, and the machine: what makes one run unlike another.

Everything in the package takes them from here, so that a simulation can give its own and a seed
replays to the byte. Outside a simulation they are the operating system's. Not from here: what guards
a secret, such as sessions of the page and keys, which must never be foreseeable.

`trio.current_time()` needs no place here: a simulation has a clock of its own.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import socket
import time
from contextvars import ContextVar
from typing import Protocol


class Chance(Protocol):
    """What a simulation puts in the place of the operating system."""

    def uniform(self, low: float, high: float) -> float:
        """Return a number from `low` to `high`."""
        ...

    def randrange(self, stop: int) -> int:
        """Return a whole number from 0 to `stop - 1`."""
        ...

    def entropy(self, size: int) -> bytes:
        """Return `size` bytes, as `os.urandom` does."""
        ...

    def wall(self) -> float:
        """Return the seconds since 1970, as `time.time` does."""
        ...

    def threads(self) -> bool:
        """Return whether a worker may use threads: for `def` handlers, for large results and for its
        watchdog. If not, a `def` handler runs in the event loop, after a random delay."""
        ...


CHANCE: ContextVar[Chance | None] = ContextVar("rediq_trio.chance", default=None)
"""The simulation in which this code runs; None outside of one."""


def simulated() -> Chance | None:
    """Return the simulation in which this code runs; None outside of one."""
    return CHANCE.get()


def uniform(low: float, high: float) -> float:
    """Return a random number from `low` to `high`."""
    return (CHANCE.get() or random).uniform(low, high)


def randrange(stop: int) -> int:
    """Return a random whole number from 0 to `stop - 1`."""
    return (CHANCE.get() or random).randrange(stop)


def entropy(size: int) -> bytes:
    """Return `size` random bytes."""
    chance = CHANCE.get()
    return os.urandom(size) if chance is None else chance.entropy(size)


def wall() -> float:
    """Return the seconds since 1970."""
    chance = CHANCE.get()
    return time.time() if chance is None else chance.wall()


def moment(size: int) -> tuple[int, bytes]:
    """Return the nanoseconds since 1970 and `size` random bytes: one call for both, as each id needs it."""
    chance = CHANCE.get()
    if chance is None:
        return time.time_ns(), os.urandom(size)
    return round(chance.wall() * 1_000_000_000), chance.entropy(size)


def utc_now() -> dt.datetime:
    """Return the instant, in UTC."""
    chance = CHANCE.get()
    if chance is None:
        return dt.datetime.now(dt.UTC)
    return dt.datetime.fromtimestamp(chance.wall(), dt.UTC)


def threads() -> bool:
    """Return whether a worker may use threads."""
    chance = CHANCE.get()
    return chance is None or chance.threads()


def host_and_pid() -> tuple[str, int]:
    """Return the name of this machine and the number of this process; in a simulation, always the same."""
    return ("simulated", 1) if CHANCE.get() is not None else (socket.gethostname(), os.getpid())
