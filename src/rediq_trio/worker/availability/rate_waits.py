"""The partitions in which a rate allows the next start at a known instant.

The answer to a claim says when that is, and the poller claims again at that instant, without a
signal. The instant counts from the answer, so it is a little late: by the way of the answer, and by
up to 1 ms, since the store counts whole milliseconds. A rate makes up for that (`spec.order.lanes`).
"""

from __future__ import annotations

import attrs
import trio


@attrs.define(eq=False)
class RateWaits:
    """When to claim from each partition whose tasks wait for a rate, on Trio's clock."""

    _starts_at: dict[str, float] = attrs.field(factory=dict[str, float])

    def record(self, partition: str, next_in_ms: int | None) -> None:
        """Record what a claim said; None if no task waits for a rate."""
        if next_in_ms is None:
            self._starts_at.pop(partition, None)
        else:
            self._starts_at[partition] = trio.current_time() + next_in_ms / 1000

    def take_due(self) -> set[str]:
        """Return the partitions whose instant has come, each once."""
        now = trio.current_time()
        due = {partition for partition, at in self._starts_at.items() if at <= now}
        for partition in due:
            del self._starts_at[partition]
        return due

    def limit_sleep(self, seconds: float) -> float:
        """Return the seconds until the first instant, at most `seconds`."""
        first = min(self._starts_at.values(), default=None)
        return seconds if first is None else max(0.0, min(seconds, first - trio.current_time()))
