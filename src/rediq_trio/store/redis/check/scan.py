"""What the members and fields of a queue's keys are, for a sweep over all of them.

The structures are swept one after another by SCAN: a cursor is Redis's own, with the
structure's number in its low digits. The larger the
values are, the fewer are read at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from rediq_trio.spec.check.views import Kind, Subject
from rediq_trio.spec.ids import unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.redis.keys import HASHES, INDEX_OF

FEW, MANY = 20, 400
"""Items that one SCAN looks at: where they may be large, and where they are small."""
AT_MOST = 256 * 1024
"""Bytes that one SCAN should send."""


def how_many(last: Sequence[bytes]) -> int:
    """Give how many items to look at, by the sizes of those that the last call gave."""
    each = sum(map(len, last)) * 2 // max(1, len(last))
    return max(FEW, min(MANY, AT_MOST // max(1, each)))


@attrs.frozen
class Structure:
    """One key of a queue, as it is swept."""

    name: str
    is_hash: bool
    read: Callable[[bytes, bytes], Iterator[Subject]]
    """Gives the subjects that an item, and its score or its value, names."""
    at_once: int = MANY
    orphans: bool = False
    """Its ids are of interest only where there is no record: a record names all else."""


def _task(item: bytes, _: bytes) -> Iterator[Subject]:
    yield Subject(Kind.TASK, unpack_id(item), raw=(item,))


def _text(item: bytes) -> str:
    return item.decode("utf-8", "replace")


def _named(kind: Kind) -> Callable[[bytes, bytes], Iterator[Subject]]:
    def read(item: bytes, _: bytes) -> Iterator[Subject]:
        yield Subject(kind, _text(item), raw=(item,))

    return read


def split_seat(member: bytes) -> tuple[bytes, int, bytes]:
    """Give the name, the place (-1 when it cannot be read) and the id of a member."""
    size = member[0] if member else 0
    name, place, own = member[1 : size + 1], member[size + 1 : size + 17], member[size + 17 :]
    return name, int(place) if len(place) == 16 and place.isdigit() else -1, own


def _seats(index: bytes, state: State, kind: Kind) -> Callable[[bytes, bytes], Iterator[Subject]]:
    def read(item: bytes, _: bytes) -> Iterator[Subject]:
        name, place, own = split_seat(item)
        where = f"{state} {place} {_text(name)}"
        yield Subject(Kind.SEAT, unpack_id(own), where, raw=(index, item))
        yield Subject(kind, _text(name), raw=(name,))

    return read


def tie(source: bytes, dependent: bytes) -> Subject:
    """Give the subject of a tie."""
    return Subject(Kind.TIE, unpack_ref(source), unpack_ref(dependent), raw=(source, dependent))


def _edge(item: bytes, _: bytes) -> Iterator[Subject]:
    size = item[0] if item else 0
    yield tie(item[1 : size + 1], item[size + 1 :])


def _need(item: bytes, _: bytes) -> Iterator[Subject]:
    size = item[0] if item else 0
    yield tie(item[size + 1 :], item[1 : size + 1])


def _numbered(kind: Kind) -> Callable[[bytes, bytes], Iterator[Subject]]:
    def read(_: bytes, score: bytes) -> Iterator[Subject]:
        yield Subject(kind, f"{float(score):.0f}", raw=(score,))

    return read


_LANE, _GROUP = _named(Kind.LANE), _named(Kind.GROUP)
_UNIQUE, _SCHEDULE = _named(Kind.UNIQUE), _named(Kind.SCHEDULE)

STRUCTURES: tuple[Structure, ...] = (
    Structure("records", True, _task),
    *(Structure(name, True, _task, FEW, orphans=True) for name in HASHES if name != "records"),
    Structure("expiring", False, _task, orphans=True),
    *(Structure(name, False, _task, orphans=True) for name in INDEX_OF.values() if name != "grouped"),
    Structure("keyed", False, _seats(b"keyed", State.PENDING, Kind.LANE)),
    Structure("grouped", False, _seats(b"grouped", State.GROUPED, Kind.GROUP)),
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
    Structure("schedules", True, _SCHEDULE, FEW),
    Structure("ticks", False, _SCHEDULE),
    Structure("edges", False, _edge),
    Structure("needs", False, _need),
    Structure("outbox", False, _numbered(Kind.MESSAGE), FEW),
    Structure("endings", False, _numbered(Kind.ENDING), FEW),
    Structure("received", True, _named(Kind.SENDER)),
)
"""Every key of a queue but `meta`, whose numbers the listing has."""
