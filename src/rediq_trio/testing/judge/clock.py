"""The server's clock, which faults may have set.

The observers' clock is monotonic. The server's clock is that of the machine, plus an offset during a
fault whose kind begins with `clock`. The target of the fault, such as `+8 s`, is the offset.
"""

from __future__ import annotations

import re

import attrs

from rediq_trio.testing.judge.observed import NEVER, SECOND, Observed

SLACK = 0.005
"""Error of a comparison of two clocks, in seconds: both are read in whole milliseconds."""
DRIFT = 0.001
"""How much faster one clock may run than another, as a share: twice the slew rate of NTP."""


@attrs.define(eq=False)
class ServerClock:
    """The jumps of the server's clock during a run."""

    _jumps: list[tuple[float, float, float]] = attrs.field(factory=list)
    """Begin, end, and offset in seconds."""

    @classmethod
    def of(cls, observed: Observed) -> ServerClock:
        jumps: list[tuple[float, float, float]] = []
        for fault in observed.faults:
            if fault.kind.startswith("clock"):
                found = re.search(r"[+-]?\d+(\.\d+)?", fault.target)
                jumps.append((fault.begin, fault.end, float(found[0]) if found else NEVER))
        return cls(jumps)

    def tolerance(self, first: float, last: float) -> float:
        """Return by how many seconds the two clocks may disagree on the time between two instants."""
        offsets = [0.0]
        offsets += [by for begin, end, by in self._jumps if begin <= last and end >= first]
        if NEVER in offsets:
            return NEVER
        return max(offsets) - min(offsets) + SLACK + DRIFT * (last - first) / SECOND
