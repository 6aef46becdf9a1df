"""Formats of records: how any version recognises one that a newer version wrote.

A record of format N begins with its state's code plus `FORMAT_STEP` * (N - 1). A schedule of format N
begins with `FORMAT_STEP` * (N - 1), or with a text in format 1. An older version reads nothing else
of them and leaves them as they are. `lua/README.md` has the full rules.
"""

from __future__ import annotations

from typing import Any, cast

from rediq_trio._errors import NewerTask
from rediq_trio.spec.stored_format import FORMAT, FORMAT_STEP
from rediq_trio.wire.packing import UNPACK_ERRORS, unpack


def newer_format(first: int) -> int:
    """Return the format of a record with this first field if it is newer than `FORMAT`, else 0."""
    return (
        first // FORMAT_STEP + 1 if FORMAT * FORMAT_STEP <= first < FORMAT_STEP * FORMAT_STEP else 0
    )


def newer_record(packed: bytes) -> int:
    """Return the format of a packed record if it is newer than `FORMAT`, else 0."""
    try:
        values: Any = unpack(packed, texts=False)
    except UNPACK_ERRORS:
        return 0
    if not isinstance(values, list) or not values:
        return 0
    first: Any = cast("list[Any]", values)[0]
    return newer_format(first) if type(first) is int else 0


def refuse_newer(name: str, packed: bytes) -> None:
    """Raise `NewerTask` for a packed record that a newer version wrote."""
    if newer := newer_record(packed):
        raise NewerTask(name, newer)
