"""Task ids: `"<queue>/<id>"`, with a UUIDv7 as the local id unless the caller chooses one."""

from __future__ import annotations

import os
import time

from rediq_trio._errors import ConfigError, quote
from rediq_trio.values.bounds import NAME_BOUND, PartitionName, is_name, is_partition


def new_id() -> str:
    """Return a UUIDv7: 48 bits of Unix time in ms, then 74 random bits (RFC 9562, section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def split_id(task_id: object) -> tuple[str, str]:
    """Return the partition and the local id; raise `ConfigError` for a value that is no task id."""
    if isinstance(task_id, str):
        partition, _, local_id = task_id.partition("/")
        if is_partition(partition) and is_name(local_id):
            return (PartitionName(partition) if "~" in partition else partition), local_id
    raise ConfigError(
        f"id={quote(task_id)}: must be a task's id, '<queue>/<id>', each part {NAME_BOUND}"
    )
