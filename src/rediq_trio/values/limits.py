"""The limits of a queue, as users write and read them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, Literal

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.records import Limit
from rediq_trio.values.bounds import MAX_DELAY, number, seconds, to_seconds

MAX_RATE = 1_000_000
"""Maximum starts of a rate, and maximum tasks of a concurrency limit."""
MAX_PENDING = 10**9
"""Maximum bound of pending tasks."""


class Unset(enum.Enum):
    """The value of an argument that was not passed: leave it unchanged."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "<unset>"


UNSET: Final = Unset.UNSET


@attrs.frozen
class Rate:
    """How many tasks may start within a period: `Rate(100, per=60, burst=10)`.

    Starts are spread evenly, one every `per / count` seconds; after a pause, up to `burst` tasks
    may start at once. At most `count + burst - 1` tasks start within any `per` seconds.

    With a free worker and work waiting, at least 97 % of the rate is reached from 10 to 1,000 starts
    a second with `per=1`: starts that are late by up to a fiftieth of `per` (at most 0.1 s) are
    made up. With a count of 1 they are not. The algorithm is GCRA (ITU-T I.371). Raises
    `ConfigError`.
    """

    count: int = attrs.field(validator=number(1, MAX_RATE, integer=True))
    """Starts per period, 1 to 1,000,000."""
    per: float = attrs.field(default=1.0, converter=to_seconds, validator=seconds(0.001, MAX_DELAY))
    """Seconds, 0.001 to 1 year, rounded to milliseconds."""
    burst: int = attrs.field(default=1, validator=number(1, MAX_RATE, integer=True))
    """Tasks that may start at once, 1 to `count`."""

    def __attrs_post_init__(self) -> None:
        if self.burst > self.count:
            raise ConfigError.of("burst", self.burst, f"a whole number from 1 to {self.count:,}")

    @property
    def period_ms(self) -> int:
        return round(self.per * 1000)


@attrs.frozen(kw_only=True)
class KeyLimit:
    """The limits of one limit key."""

    concurrency: int | None = None
    """Tasks that may run at once; None for any number."""
    rate: Rate | None = None


@attrs.frozen(kw_only=True)
class QueueLimits:
    """The limits of a queue when they were read."""

    concurrency: int | None = None
    """Tasks of the queue that may run at once, on all workers together; None for any number."""
    rate: Rate | None = None
    max_pending: int | None = None
    """Tasks that may be pending; None for any number."""
    fair_by: Literal["limit_key"] | None = None
    """`"limit_key"` if limit keys take turns; None for priority and age alone."""
    keys: Mapping[str, KeyLimit] = attrs.field(factory=dict[str, KeyLimit])
    """The limits of each limit key; `"*"` holds those of every key that is not named."""


def make_key_limit(limit: Limit) -> KeyLimit:
    """Return the `KeyLimit` of a stored limit."""
    rate = None
    if limit.count:
        rate = Rate(limit.count, per=limit.period_ms / 1000, burst=limit.burst)
    return KeyLimit(concurrency=limit.concurrency or None, rate=rate)
