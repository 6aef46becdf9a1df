"""Python's garbage collector, in a process that only runs a worker.

A full collection visits every container of the process, and nothing else runs meanwhile. With the
default thresholds it happens every few seconds under load, and with ten thousand running attempts
it takes some hundred milliseconds. With these thresholds it is hundreds of times as rare, and skips
the objects of the app's modules. Cycles of young objects are found as usual.
"""

from __future__ import annotations

import gc

GC_THRESHOLDS = (2_000, 10, 1_000)
"""As for `gc.set_threshold`: see benchmarks/scaling/sleepers.py."""


def tune_garbage_collector() -> None:
    """Configure the garbage collector for many short-lived attempts."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
