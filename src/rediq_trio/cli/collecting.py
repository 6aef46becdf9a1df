"""Python's garbage collector, in a process that is a worker's alone.

A full collection looks at every container there is, and nothing else runs meanwhile. With the
interpreter's own thresholds it comes every few seconds under load, and takes, with ten thousand
attempts under way, some hundred milliseconds. Here it comes hundreds of times as rarely, and does
not look at what the app's modules made. Cycles are found while they are young, as ever.
"""

from __future__ import annotations

import gc

THRESHOLDS = (2_000, 10, 1_000)
"""As for `gc.set_threshold`: see benchmarks/scaling/sleepers.py."""


def collect_rarely() -> None:
    """Set the process's garbage collector up for attempts that are many and short-lived."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
