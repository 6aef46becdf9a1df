"""Reads the answers of the scripts that read one task: `description.lua`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rediq_trio.spec.ids import unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Lock
from rediq_trio.store.reads.description import Description
from rediq_trio.store.redis.codec import STATES, read_task_whole
from rediq_trio.store.redis.record_format import refuse_newer


def read_description(name: str, now: int, reply: Sequence[Any]) -> Description | None:
    """Read what `description_of` of `include/description.lua` returned about the task with this id.

    None for a record that is missing or cannot be decoded. Raises `NewerTask`.
    """
    stored, holder, ends, dependent_count, dependents, needs = reply
    record = read_task_whole(name.rpartition("/")[2], stored)
    if record is None:
        refuse_newer(name, stored[0])
        return None
    return Description(
        now_ms=now,
        record=record,
        lock=Lock(unpack_id(holder), round(float(ends or 0))) if holder else None,
        dependent_count=dependent_count,
        dependents=tuple(map(unpack_ref, dependents)),
        needs=tuple(map(_read_need, needs[::2], needs[1::2])),
    )


def _read_need(ref: bytes, code: int) -> tuple[str, State | None]:
    return unpack_ref(ref), STATES[code - 1] if 0 < code <= len(STATES) else None
