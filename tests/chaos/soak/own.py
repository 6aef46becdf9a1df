"""What a process can say of itself: memory, files, Trio tasks, objects."""

from __future__ import annotations

import gc
import os
from collections import Counter

import trio

PAGE = os.sysconf("SC_PAGE_SIZE")


def look_at_self(*, objects: bool) -> dict[str, int]:
    """Return this process's figures; call it within Trio. Counting objects takes a collection."""
    found = {
        "rss_kib": int(open("/proc/self/statm").read().split()[1]) * PAGE // 1024,  # noqa: SIM115
        "files": len(os.listdir("/proc/self/fd")) - 1,  # the listing has one of its own
        "tasks": trio.lowlevel.current_statistics().tasks_living,
    }
    if objects:
        gc.collect()
        found["objects"] = len(gc.get_objects())
    return found


def count_types() -> Counter[str]:
    """Count this process's objects by type."""
    return Counter(
        f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.get_objects()
    )
