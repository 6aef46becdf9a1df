"""Prefetch: how many tasks to claim beyond those that run.

A worker that claims only what it can start at once pays a round trip for every few tasks;
one that claims too much keeps tasks from other workers. So it claims ahead what it will
start within `LOOKAHEAD`, judged by the duration of past attempts, and releases what it has
not started within `UNSTARTED_MAX`. Tasks claimed ahead are bounded in bytes as well, judged
by the size of past payloads, so that large payloads do not fill the memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio.store.port import BATCH

LOOKAHEAD = 0.05
"""Seconds of work to claim ahead."""
UNSTARTED_MAX = 1.0
"""Seconds that a claimed task may wait for its start before it is released."""
AHEAD_MAX = 1000
"""Maximum number of tasks to claim ahead."""
AHEAD_BYTES_MAX = 8 * 1024 * 1024
"""Maximum bytes of payloads to claim ahead, or with one claim; approximate, as it uses a mean."""
_MEAN_WEIGHT = 0.05
"""Weight of one attempt, or one payload, in the running mean."""


@attrs.define(eq=False)
class Prefetch:
    """Adapts the number of leases to the load: the executor records, the poller asks."""

    concurrency: int
    fixed: int | None
    """Number of tasks to claim ahead; None to adapt it."""
    _mean_duration: float | None = None
    _mean_size: float = 1.0
    """Mean bytes of a payload."""
    returning: bool = False
    """Whether unstarted tasks are being released. None is claimed meanwhile: in the order of the
    queues, those come first."""

    def record_claim(self, sizes: Sequence[int]) -> None:
        """Record the bytes of each task of a claim."""
        if sizes:
            weight = 1 - (1 - _MEAN_WEIGHT) ** len(sizes)
            self._mean_size = max(
                1.0, self._mean_size + weight * (sum(sizes) / len(sizes) - self._mean_size)
            )

    def record_attempt(self, duration: float) -> None:
        """Record the duration of an attempt, in seconds."""
        if self._mean_duration is None:
            self._mean_duration = duration
        else:
            self._mean_duration += _MEAN_WEIGHT * (duration - self._mean_duration)

    def record_unstarted(self) -> None:
        """Record that tasks claimed ahead were not started in time: claim none until one has ended."""
        self._mean_duration = None

    def ahead(self) -> int:
        """Return how many tasks to claim beyond those that run."""
        return min(self._wanted(), int(AHEAD_BYTES_MAX / self._mean_size))

    def claim_max(self) -> int:
        """Return the maximum number of tasks of one claim."""
        return max(1, min(BATCH, int(AHEAD_BYTES_MAX / self._mean_size)))

    def _wanted(self) -> int:
        if self.fixed is not None:
            return self.fixed
        if self._mean_duration is None:
            return 0
        return min(AHEAD_MAX, int(self.concurrency * LOOKAHEAD / max(self._mean_duration, 1e-6)))

    def capacity(self) -> int:
        """Return the maximum number of leases to hold."""
        return 0 if self.returning else self.concurrency + self.ahead()
