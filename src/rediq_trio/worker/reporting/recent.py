"""How much a total has grown of late."""

from __future__ import annotations

import math
from collections import deque

import attrs

RECENT = 600.0
"""Seconds that count as of late in a worker's record."""


@attrs.define(eq=False)
class RecentCount:
    """A total that only grows, and what it was before; it holds one entry for each change in that time."""

    _seen: deque[tuple[float, int]] = attrs.field(factory=lambda: deque([(-math.inf, 0)]))

    def grown(self, now: float, total: int) -> int:
        """Return by how much the total has grown in the last `RECENT` seconds, as far as it was seen."""
        if total != self._seen[-1][1]:
            self._seen.append((now, total))
        while len(self._seen) > 1 and self._seen[1][0] <= now - RECENT:
            self._seen.popleft()
        return total - self._seen[0][1]
