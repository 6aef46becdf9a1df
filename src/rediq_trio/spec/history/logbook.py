"""Logbooks: what people did to the queues of a key prefix, and what they marked, in lines.

A line is written once, however often its writer repeats the call: a repetition has the nonce of one
of the last lines. Places of lines only grow, also when the clock of the server is set back.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs


class Logbook(enum.StrEnum):
    """What lines are written to."""

    AUDIT = "audit"
    MARKS = "marks"


LOGBOOK_SIZES: Mapping[Logbook, int] = MappingProxyType({Logbook.AUDIT: 10_000, Logbook.MARKS: 200})
"""How many of its last lines each logbook keeps."""
NONCES_COMPARED = 100
"""How many of the last lines a repeated call is looked for in."""

LinePlace = tuple[int, int]
"""Where a line stands: when it was written, in ms, and a number among those of that time."""


@attrs.frozen
class LogLine:
    """One line of a logbook."""

    place: LinePlace
    nonce: bytes
    data: bytes
    """What the writer packed."""


def log(
    lines: Sequence[LogLine], now: int, *, most: int, nonce: bytes, data: bytes
) -> tuple[tuple[LogLine, ...], LinePlace]:
    """Add a line, unless one of the last has its nonce; return the last `most`, and its place."""
    for line in reversed(lines[-NONCES_COMPARED:]):
        if line.nonce == nonce:
            return tuple(lines), line.place
    place = (now, 0)
    if lines and lines[-1].place[0] >= now:
        last_ms, number = lines[-1].place
        place = (last_ms, number + 1)
    return (*lines, LogLine(place, nonce, data))[-most:], place


def read_lines(
    lines: Sequence[LogLine], *, limit: int, after: LinePlace | None, newest: bool
) -> tuple[LogLine, ...]:
    """Return the lines after a place in their order, or before it and backwards with `newest`."""
    if newest:
        found = [line for line in reversed(lines) if after is None or line.place < after]
    else:
        found = [line for line in lines if after is None or line.place > after]
    return tuple(found[:limit])
