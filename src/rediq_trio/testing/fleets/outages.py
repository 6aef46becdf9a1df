"""When hosts were out, and for how long: what excuses them.

An excuse has a length. A connection that breaks for a moment does not excuse a lease that lapses.
"""

from __future__ import annotations

import math

import attrs


@attrs.frozen
class HostOutage:
    """An interval in which a host cannot do all that it should."""

    begin: float
    end: float


class HostOutages:
    """The outages of one host; they may overlap."""

    def __init__(self) -> None:
        self._outages: list[HostOutage] = []

    def add(self, begin: float, end: float) -> None:
        """Add an outage. One without an end is that of a host that was killed."""
        self._outages.append(HostOutage(begin, end))

    def last_end(self) -> float:
        """Return when the last outage ends that has an end; 0.0 without any."""
        return max((one.end for one in self._outages if one.end < math.inf), default=0.0)

    def any_since(self, since: float, until: float = math.inf) -> bool:
        """Return whether the host was out at any instant between the two."""
        return any(outage.end >= since and outage.begin <= until for outage in self._outages)

    def length_since(self, since: float, until: float) -> float:
        """Return how long the host was out between the two; what overlaps counts once."""
        total, covered = 0.0, since
        for outage in sorted(self._outages, key=lambda one: one.begin):
            begin, end = max(outage.begin, covered), min(outage.end, until)
            if end > begin:
                total += end - begin
                covered = end
        return total
