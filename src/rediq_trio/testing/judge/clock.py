"""The server's clock, as far as faults have set it.

The observers' clock is monotonic. The server's is the machine's, plus an offset while a
fault whose kind begins with `clock` is in force; its target, such as `+8 s`, says which.
"""

from __future__ import annotations

import re

import attrs

from rediq_trio.testing.judge.observed import NEVER, SECOND, Observed

SLACK = 0.005
"""Seconds that a comparison of two clocks may be wrong by: both are read in whole milliseconds."""
DRIFT = 0.001
"""The share by which two clocks that run may differ: twice what NTP slews at."""


@attrs.define(eq=False)
class ServerClock:
    """What the server's clock may have done between two instants."""

    _jumps: list[tuple[float, float, float]] = attrs.field(factory=list)
    """Begin, end and offset in seconds."""

    @classmethod
    def of(cls, observed: Observed) -> ServerClock:
        jumps: list[tuple[float, float, float]] = []
        for fault in observed.faults:
            if fault.kind.startswith("clock"):
                found = re.search(r"[+-]?\d+(\.\d+)?", fault.target)
                jumps.append((fault.begin, fault.end, float(found[0]) if found else NEVER))
        return cls(jumps)

    def tolerance(self, first: float, last: float) -> float:
        """Give by how many seconds the server's clock may have gone ahead of, or stayed behind,
        the observers' between two instants."""
        offsets = [0.0]
        offsets += [by for begin, end, by in self._jumps if begin <= last and end >= first]
        if NEVER in offsets:
            return NEVER
        return max(offsets) - min(offsets) + SLACK + DRIFT * (last - first) / SECOND
