"""Without the counting of lines, under which Python takes two or three times as long."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncounted() -> Iterator[None]:
    """Leave lines uncounted in this thread while the block lasts, and in the threads and processes
    that start meanwhile."""
    trace, trace_of_threads = sys.gettrace(), threading.gettrace()
    measuring = {name: value for name, value in os.environ.items() if "COV" in name}
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    for name in measuring:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(measuring)
        threading.settrace(trace_of_threads)  # type: ignore[arg-type]
        sys.settrace(trace)
