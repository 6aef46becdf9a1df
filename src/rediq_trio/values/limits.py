"""What a user says and reads of a queue's limits."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Literal

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.records import Limit
from rediq_trio.values.bounds import MAX_DELAY, number

MAX_RATE = 1_000_000
"""Starts that a rate may count, and tasks that a limit may let run at once."""
MAX_PENDING = 10**9
"""Pending tasks that a bounded queue may have."""


class Unset(enum.Enum):
    """Stands for what is not to be changed."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<unset>"


UNSET: Final = Unset.UNSET


@attrs.frozen
class Rate:
    """How many tasks may start within a period: `Rate(100, per=60, burst=10)`.

    Starts are spread evenly, one every `per / count` seconds (rounded up to whole
    microseconds), and after a pause up to `burst` of them may come at once. So at most
    `count + burst - 1` start within any `per` seconds. Raises `ConfigError`.
    """

    count: int = attrs.field(validator=number(1, MAX_RATE, whole=True))
    """Starts per period, 1 to 1,000,000."""
    per: float = attrs.field(default=1.0, validator=number(0.001, MAX_DELAY))
    """Seconds, 0.001 to 1 year; whole milliseconds count."""
    burst: int = attrs.field(default=1, validator=number(1, MAX_RATE, whole=True))
    """Starts that may come at once, 1 to `count`."""

    def __attrs_post_init__(self) -> None:
        if self.burst > self.count:
            raise ConfigError.of("burst", self.burst, f"a whole number from 1 to {self.count:,}")

    @property
    def period_ms(self) -> int:
        return round(self.per * 1000)


@attrs.frozen(kw_only=True)
class KeyLimit:
    """What holds for one limit key."""

    concurrency: int | None = None
    """Tasks that may run at once; None for any number."""
    rate: Rate | None = None


@attrs.frozen(kw_only=True)
class QueueLimits:
    """What limits a queue, as it was read."""

    concurrency: int | None = None
    """Tasks of the queue that may run at once, on all workers together; None for any number."""
    rate: Rate | None = None
    max_pending: int | None = None
    """Tasks that may be pending; None for any number."""
    fair_by: Literal["limit_key"] | None = None
    """What takes turns; None for priority and age alone."""
    keys: Mapping[str, KeyLimit] = attrs.field(factory=dict[str, KeyLimit])
    """By limit key; under `"*"` what holds for each key that is not here."""


def describe_limit(limit: Limit) -> KeyLimit:
    """Give what a user reads of a limit."""
    rate = None
    if limit.count:
        rate = Rate(limit.count, per=limit.period_ms / 1000, burst=limit.burst)
    return KeyLimit(concurrency=limit.concurrency or None, rate=rate)
