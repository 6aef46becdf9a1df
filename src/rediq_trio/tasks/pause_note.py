"""The note of a paused queue: who paused it, and why."""

from __future__ import annotations

from typing import NamedTuple

from rediq_trio._errors import PayloadError
from rediq_trio.values.bounds import check_text
from rediq_trio.wire.envelope import pack_value, unpack_value

PAUSE_REASON_MAX = 1_000
"""Maximum characters of the reason of a pause."""
PAUSE_BY_MAX = 128
"""Maximum characters of a name of a person."""


class PauseNote(NamedTuple):
    """What whoever paused a queue said; "" for nothing."""

    reason: str = ""
    by: str = ""


def pack_pause_note(reason: str, by: str) -> bytes:
    """Pack a note; raise `ConfigError` if a text is too long. An empty one is b""."""
    check_text("reason", reason, 0, PAUSE_REASON_MAX)
    check_text("by", by, 0, PAUSE_BY_MAX)
    return pack_value([reason, by], what="note") if reason or by else b""


def read_pause_note(packed: bytes) -> PauseNote | None:
    """Return the note; None for one that cannot be read."""
    if not packed:
        return PauseNote()
    try:
        reason, by = unpack_value(packed, what="note")
        return PauseNote(str(reason), str(by))
    except (PayloadError, TypeError, ValueError):
        return None
