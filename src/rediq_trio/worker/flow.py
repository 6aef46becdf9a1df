"""Flow: how many leases to hold. Short tasks flow, long ones are not hoarded.

A worker that claims only what it can start at once pays a trip to Redis for every
few tasks; one that claims ahead keeps tasks from other workers. So it claims ahead
as much as it will start within `HORIZON`, judged by how long attempts have taken,
and gives back what it has not started within `HOARD`.
"""

from __future__ import annotations

import attrs

HORIZON = 0.05
"""Seconds of work to claim ahead."""
HOARD = 1.0
"""Seconds that a claimed task may wait for its start before it is given back."""
MOST_AHEAD = 1000
"""Leases that are claimed ahead at most."""
_WEIGHT = 0.05
"""Of one attempt in the running mean."""


@attrs.define(eq=False)
class Flow:
    """The worker's capacity. The executor reports to it, the poller asks it."""

    concurrency: int
    prefetch: int | None
    """Leases to claim ahead; None to adapt."""
    _mean: float | None = None

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
        if self.prefetch is not None:
            return self.prefetch
        if self._mean is None:
            return 0
        return min(MOST_AHEAD, int(self.concurrency * HORIZON / max(self._mean, 1e-6)))

    def capacity(self) -> int:
        """Give how many leases to hold at most."""
        return self.concurrency + self.ahead()
