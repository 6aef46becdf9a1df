"""Flow: how many leases to hold. Short tasks flow, long ones are not hoarded.

A worker that claims only what it can start at once pays a round trip to Redis for every
few tasks; one that claims ahead keeps tasks from other workers. So it claims ahead
as much as it will start within `HORIZON`, judged by how long attempts have taken,
and gives back what it has not started within `HOARD`. What is claimed ahead is
bounded in bytes as well, judged by what claims have brought: large payloads would
fill the memory long before there are many of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio.store.port import BATCH

HORIZON = 0.05
"""Seconds of work to claim ahead."""
HOARD = 1.0
"""Seconds that a claimed task may wait for its start before it is given back."""
MOST_AHEAD = 1000
"""Leases that are claimed ahead at most."""
MOST_BYTES = 8 * 1024 * 1024
"""Bytes of payloads that are claimed ahead, or by one claim, at most: about, for they are judged by a mean."""
_WEIGHT = 0.05
"""Of one attempt, or one payload, in the running mean."""


@attrs.define(eq=False)
class Flow:
    """The worker's capacity. The executor reports to it, the poller asks it."""

    concurrency: int
    prefetch: int | None
    """Leases to claim ahead; None to adapt."""
    _mean: float | None = None
    _size: float = 1.0
    """Bytes of a payload, in the mean."""

    def claimed(self, sizes: Sequence[int]) -> None:
        """Note how many bytes each task of a claim has."""
        if sizes:
            weight = 1 - (1 - _WEIGHT) ** len(sizes)
            self._size = max(1.0, self._size + weight * (sum(sizes) / len(sizes) - self._size))

    def ended(self, duration: float) -> None:
        """Note how long an attempt took, in seconds."""
        if self._mean is None:
            self._mean = duration
        else:
            self._mean += _WEIGHT * (duration - self._mean)

    def hoarded(self) -> None:
        """Note that what was claimed ahead could not be started in time."""
        self._mean = None

    def ahead(self) -> int:
        """Give how many leases to claim beyond those that run."""
        return min(self._wanted(), int(MOST_BYTES / self._size))

    def at_once(self) -> int:
        """Give how many leases one claim may bring."""
        return max(1, min(BATCH, int(MOST_BYTES / self._size)))

    def _wanted(self) -> int:
        if self.prefetch is not None:
            return self.prefetch
        if self._mean is None:
            return 0
        return min(MOST_AHEAD, int(self.concurrency * HORIZON / max(self._mean, 1e-6)))

    def capacity(self) -> int:
        """Give how many leases to hold at most."""
        return self.concurrency + self.ahead()
