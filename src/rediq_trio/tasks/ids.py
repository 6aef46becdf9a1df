"""Task ids: `"<queue>/<id>"`, with a UUIDv7 where the caller gives none."""

from __future__ import annotations

import os
import time

from rediq_trio._errors import ConfigError, shown
from rediq_trio.values.bounds import NAME_BOUND, Place, is_name, is_place


def new_id() -> str:
    """Give a UUIDv7: 48 bits of Unix time in ms, then 74 random bits (RFC 9562, section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def split_id(task_id: object) -> tuple[str, str]:
    """Give the place and the id within it; raise `ConfigError` for what is no task id."""
    if isinstance(task_id, str):
        place, _, own = task_id.partition("/")
        if is_place(place) and is_name(own):
            return (Place(place) if "~" in place else place), own
    raise ConfigError(
        f"id={shown(task_id)}: must be a task's id, '<queue>/<id>', each part {NAME_BOUND}"
    )
