"""The attempts of a queue by type, as users read them."""

from __future__ import annotations

import datetime as dt

import attrs


@attrs.frozen(kw_only=True)
class Percentiles:
    """How long the attempts of a type took, seconds; estimates, see `Queue.types`."""

    p50: float
    """Half of them took at most this long."""
    p95: float
    p99: float


@attrs.frozen(kw_only=True)
class TypeStats:
    """The attempts of one type in a queue that ended in a time."""

    type: str
    """The type; `(other)` for those beyond the 200 busiest, and for tasks of a type without a handler."""
    since: dt.datetime
    """The beginning of that time."""
    until: dt.datetime
    """When it was read."""
    completed: int
    failed: int
    """Attempts that failed, also those that are retried; without those that were timed out."""
    timed_out: int
    snoozed: int
    cancelled: int
    released: int
    """Attempts that were cut off, and whose tasks went back, because their worker stopped."""
    lost: int
    """Attempts whose lease was over before they ended: other workers may have run their tasks."""
    ended_otherwise: int = 0
    """Attempts that ended in a way that this version does not know."""
    wait: Percentiles | None
    """From when a task was due to the start of its attempt; None without attempts."""
    run: Percentiles | None
    """From the start of an attempt to its end; None without attempts."""

    @property
    def attempts(self) -> int:
        """Attempts that ended, in any way."""
        return (
            self.completed + self.failed + self.timed_out + self.snoozed + self.cancelled
            + self.released + self.lost + self.ended_otherwise
        )  # fmt: skip

    @property
    def failures(self) -> int:
        """Attempts that failed or were timed out."""
        return self.failed + self.timed_out

    @property
    def failure_rate(self) -> float | None:
        """The share of the attempts that completed or failed which failed, 0 to 1; None without any."""
        judged = self.completed + self.failures
        return self.failures / judged if judged else None

    @property
    def rate(self) -> float:
        """Attempts in a second."""
        return self.attempts / max(1.0, (self.until - self.since).total_seconds())
