"""Which script makes a repair, with which arguments."""

from __future__ import annotations

from typing import Any

from rediq_trio.spec.check.repairs import Action, Repair
from rediq_trio.spec.check.views import Subject
from rediq_trio.spec.ids import pack_id
from rediq_trio.store.redis.check.scan import split_seat


def mending(repair: Repair, now: int | str) -> tuple[str, list[Any]]:
    """Give the script of a repair, and its arguments."""
    about, raw = repair.about, repair.about.raw
    match repair.what:
        case Action.SEQ:
            return "mend_meta", ["seq", pack_id(about.name)]
        case Action.SENT | Action.ENQUEUED:
            return "mend_meta", [str(repair.what), ""]
        case Action.SEAT:
            name, _, own = split_seat(raw[1])
            return "mend_seat", [now, *raw, own, name]
        case Action.TIE:
            edge, need, source, _ = tie_args(about)
            return "mend_tie", [now, edge, need, source, raw[1]]
        case Action.FREE:
            return "mend_unique", [raw[0]]
        case Action.PERMITS | Action.LANE:
            return "mend_lane", [now, str(repair.what), raw[0]]
        case Action.GROUP:
            return "mend_group", [raw[0]]
        case Action.SCHEDULE:
            return "mend_schedule", [raw[0]]
        case _:
            return "mend_task", [now, str(repair.what), pack_id(about.name)]


def tie_args(subject: Subject) -> tuple[bytes, bytes, bytes, bytes]:
    """Give the members of edges and of needs, and both ids; '' where one is elsewhere."""
    source, dependent = subject.raw
    edge = b"" if "/" in subject.name else bytes([len(source)]) + source + dependent
    need = b"" if "/" in subject.other else bytes([len(dependent)]) + dependent + source
    return edge, need, source if edge else b"", dependent if need else b""
