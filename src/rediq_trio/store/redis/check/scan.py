"""How a scan over all keys of a queue finds targets.

The keys (structures) are scanned one after another. A cursor is that of Redis, with the structure's
number in its low digits. The larger the values are, the fewer one call reads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from rediq_trio.spec.check.dependency import dependency_target
from rediq_trio.spec.check.findings import Target, TargetType
from rediq_trio.spec.check.member import member_target
from rediq_trio.spec.check.task import task_target
from rediq_trio.spec.ids import unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.redis.keys import HASHES, INDEX_OF
from rediq_trio.wire.packing import text_of

LARGE_PER_SCAN, SMALL_PER_SCAN = 20, 400
"""Items that one SCAN reads: for values that may be large, and for small values."""
SCAN_BYTES_MAX = 256 * 1024
"""Bytes that one SCAN should return, at most."""


def next_count(last: Sequence[bytes]) -> int:
    """Return how many items to read next, by the sizes of the items that the last call returned."""
    each = sum(map(len, last)) * 2 // max(1, len(last))
    return max(LARGE_PER_SCAN, min(SMALL_PER_SCAN, SCAN_BYTES_MAX // max(1, each)))


Read = Callable[[bytes, bytes], tuple[Target, ...]]
"""Returns the targets that an item names, from the item and its score or value."""


@attrs.frozen
class Structure:
    """One key of a queue, as it is scanned."""

    name: str
    read: Read
    at_once: int = SMALL_PER_SCAN
    orphans: bool = False
    """Only ids without a record are targets: a scan of `records` finds all others."""


def _task(item: bytes, _: bytes) -> tuple[Target, ...]:
    return (task_target(unpack_id(item), item),)


def _named(kind: TargetType) -> Read:
    return lambda item, _: (Target(kind, text_of(item), raw=(item,)),)


def split_member(member: bytes) -> tuple[bytes, int, bytes]:
    """Return the name, the rank (-1 when it cannot be read) and the id of a member."""
    size = member[0] if member else 0
    name, rank, own = member[1 : size + 1], member[size + 1 : size + 17], member[size + 17 :]
    return name, int(rank) if len(rank) == 16 and rank.isdigit() else -1, own


def _members(index: bytes, state: State, kind: TargetType) -> Read:
    def read(item: bytes, _: bytes) -> tuple[Target, ...]:
        name, rank, own = split_member(item)
        member = member_target(unpack_id(own), state, rank, text_of(name), index, item)
        return member, Target(kind, text_of(name), raw=(name,))

    return read


def _dependency(*, source_first: bool) -> Read:
    def read(item: bytes, _: bytes) -> tuple[Target, ...]:
        size = item[0] if item else 0
        source, dependent = item[1 : size + 1], item[size + 1 :]
        if not source_first:
            source, dependent = dependent, source
        return (dependency_target(unpack_ref(source), unpack_ref(dependent), source, dependent),)

    return read


def _numbered(kind: TargetType) -> Read:
    return lambda _, score: (Target(kind, f"{float(score):.0f}", raw=(score,)),)


_LANE, _GROUP = _named(TargetType.LANE), _named(TargetType.GROUP)
_UNIQUE, _SCHEDULE = _named(TargetType.UNIQUE), _named(TargetType.SCHEDULE)

STRUCTURES: tuple[Structure, ...] = (
    Structure("records", _task),
    *(Structure(name, _task, LARGE_PER_SCAN, orphans=True) for name in HASHES if name != "records"),
    Structure("expiring", _task, orphans=True),
    *(Structure(name, _task, orphans=True) for name in INDEX_OF.values() if name != "grouped"),
    Structure("keyed", _members(b"keyed", State.PENDING, TargetType.LANE)),
    Structure("grouped", _members(b"grouped", State.GROUPED, TargetType.GROUP)),
    Structure("lanes", _LANE),
    Structure("shut", _LANE),
    Structure("rates", _LANE),
    Structure("permits", _LANE),
    Structure("turns", _LANE),
    Structure("limits", _LANE),
    Structure("groups", _GROUP),
    Structure("rules", _GROUP),
    Structure("unique", _UNIQUE),
    Structure("locks", _UNIQUE),
    Structure("schedules", _SCHEDULE, LARGE_PER_SCAN),
    Structure("ticks", _SCHEDULE),
    Structure("edges", _dependency(source_first=True)),
    Structure("needs", _dependency(source_first=False)),
    Structure("outbox", _numbered(TargetType.MESSAGE), LARGE_PER_SCAN),
    Structure("endings", _numbered(TargetType.ENDING), LARGE_PER_SCAN),
    Structure("received", _named(TargetType.SENDER)),
)
"""Every key of a queue with targets. `meta` has totals, which are read apart."""
