"""How a scan over all keys of a queue finds targets.

The keys (structures) are scanned one after another. A cursor is that of Redis, with the structure's
number in its low digits. The larger the values are, the fewer one call reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from rediq_trio.spec.check.dependency import dependency_target
from rediq_trio.spec.check.findings import Target, TargetType
from rediq_trio.spec.check.member import member_target
from rediq_trio.spec.check.task import task_target
from rediq_trio.spec.ids import unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.redis.keys import HASHES, INDEX_OF

LARGE_PER_SCAN, SMALL_PER_SCAN = 20, 400
"""Items that one SCAN reads: for values that may be large, and for small values."""
SCAN_BYTES_MAX = 256 * 1024
"""Bytes that one SCAN should return, at most."""


def next_count(last: Sequence[bytes]) -> int:
    """Return how many items to read next, by the sizes of the items that the last call returned."""
    each = sum(map(len, last)) * 2 // max(1, len(last))
    return max(LARGE_PER_SCAN, min(SMALL_PER_SCAN, SCAN_BYTES_MAX // max(1, each)))


@attrs.frozen
class Structure:
    """One key of a queue, as it is scanned."""

    name: str
    is_hash: bool
    read: Callable[[bytes, bytes], Iterator[Target]]
    """Returns the targets that an item names, from the item and its score or value."""
    at_once: int = SMALL_PER_SCAN
    orphans: bool = False
    """Only ids without a record are targets: a scan of `records` finds all others."""


def _task(item: bytes, _: bytes) -> Iterator[Target]:
    yield task_target(unpack_id(item), item)


def _text(item: bytes) -> str:
    return item.decode("utf-8", "replace")


def _named(kind: TargetType) -> Callable[[bytes, bytes], Iterator[Target]]:
    def read(item: bytes, _: bytes) -> Iterator[Target]:
        yield Target(kind, _text(item), raw=(item,))

    return read


def split_member(member: bytes) -> tuple[bytes, int, bytes]:
    """Return the name, the rank (-1 when it cannot be read) and the id of a member."""
    size = member[0] if member else 0
    name, rank, own = member[1 : size + 1], member[size + 1 : size + 17], member[size + 17 :]
    return name, int(rank) if len(rank) == 16 and rank.isdigit() else -1, own


def _members(
    index: bytes, state: State, kind: TargetType
) -> Callable[[bytes, bytes], Iterator[Target]]:
    def read(item: bytes, _: bytes) -> Iterator[Target]:
        name, rank, own = split_member(item)
        yield member_target(unpack_id(own), state, rank, _text(name), index, item)
        yield Target(kind, _text(name), raw=(name,))

    return read


def _dependency(source: bytes, dependent: bytes) -> Target:
    return dependency_target(unpack_ref(source), unpack_ref(dependent), source, dependent)


def _edge(item: bytes, _: bytes) -> Iterator[Target]:
    size = item[0] if item else 0
    yield _dependency(item[1 : size + 1], item[size + 1 :])


def _need(item: bytes, _: bytes) -> Iterator[Target]:
    size = item[0] if item else 0
    yield _dependency(item[size + 1 :], item[1 : size + 1])


def _numbered(kind: TargetType) -> Callable[[bytes, bytes], Iterator[Target]]:
    def read(_: bytes, score: bytes) -> Iterator[Target]:
        yield Target(kind, f"{float(score):.0f}", raw=(score,))

    return read


_LANE, _GROUP = _named(TargetType.LANE), _named(TargetType.GROUP)
_UNIQUE, _SCHEDULE = _named(TargetType.UNIQUE), _named(TargetType.SCHEDULE)

STRUCTURES: tuple[Structure, ...] = (
    Structure("records", True, _task),
    *(Structure(name, True, _task, LARGE_PER_SCAN, orphans=True) for name in HASHES if name != "records"),
    Structure("expiring", False, _task, orphans=True),
    *(
        Structure(name, False, _task, orphans=True)
        for name in INDEX_OF.values()
        if name != "grouped"
    ),
    Structure("keyed", False, _members(b"keyed", State.PENDING, TargetType.LANE)),
    Structure("grouped", False, _members(b"grouped", State.GROUPED, TargetType.GROUP)),
    Structure("lanes", False, _LANE),
    Structure("shut", False, _LANE),
    Structure("rates", False, _LANE),
    Structure("permits", True, _LANE),
    Structure("turns", True, _LANE),
    Structure("limits", True, _LANE),
    Structure("groups", False, _GROUP),
    Structure("rules", True, _GROUP),
    Structure("unique", True, _UNIQUE),
    Structure("locks", False, _UNIQUE),
    Structure("schedules", True, _SCHEDULE, LARGE_PER_SCAN),
    Structure("ticks", False, _SCHEDULE),
    Structure("edges", False, _edge),
    Structure("needs", False, _need),
    Structure("outbox", False, _numbered(TargetType.MESSAGE), LARGE_PER_SCAN),
    Structure("endings", False, _numbered(TargetType.ENDING), LARGE_PER_SCAN),
    Structure("received", True, _named(TargetType.SENDER)),
)
"""Every key of a queue with targets. `meta` has totals, which are read apart."""
