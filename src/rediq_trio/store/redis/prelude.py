"""The constants of the Lua scripts, made from the specification.

A script uses these names in capitals and does not define them. The loader replaces each name by its
value, so a constant of both languages is written once, in Python, and costs a script nothing. A
constant that only Lua uses is a `local` of its script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

from rediq_trio.spec import stored_format
from rediq_trio.spec.change import SENT_PER_MS
from rediq_trio.spec.groups import DEFAULT_RULE, MOST_BYTES
from rediq_trio.spec.history.entry import MOST_NEEDS, REASON_BYTES
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import AnswerKind, MailKind, Until, Verdict
from rediq_trio.spec.records import (
    ANY_KEY,
    CANCELLED_GRACE_MS,
    NO_LIMIT,
    PRIORITY_SPAN,
    PROPAGATED_AT_ONCE,
)
from rediq_trio.spec.upkeep import ENDINGS

Value = int | str | bytes | Sequence[int | str] | Mapping[int, str]


@attrs.frozen
class Constants:
    """Constants that are made from one object in Python."""

    source: str
    """Where that object is: a module below `rediq_trio`, and a name in it."""
    values: Mapping[str, Value]


def literal(value: Value) -> str:
    """Return a value as Lua writes it."""
    match value:
        case int():
            return str(int(value))
        case str():
            return literal(value.encode())
        case bytes():
            return f"'{''.join(map(_character, value))}'"
        case Mapping():
            parts = [f"[{key}] = {literal(one)}" for key, one in sorted(value.items())]
        case _:
            parts = [*map(literal, value)]
    return f"{{{', '.join(parts)}}}"


def _character(byte: int) -> str:
    if 32 <= byte < 127 and byte not in b"'\\":
        return chr(byte)
    # Three digits: after fewer, a digit that follows would belong to the escape.
    return f"\\{byte:03}"


def _positions(fields: Iterable[str], prefix: str = "") -> Iterator[tuple[str, int]]:
    """Return a name for the position of each field, counted from 1. The name leaves out the unit."""
    for position, field in enumerate(fields, start=1):
        yield prefix + re.sub("_[mu]s$", "", field).upper(), position


def _names(members: Iterable[AnswerKind | MailKind | Verdict], prefix: str = "") -> dict[str, Value]:
    return {prefix + member.name: member.value for member in members}


_FORMAT = "spec.stored_format"
_LUA_TYPES = {bytes: "string", int: "number"}

PRELUDE: tuple[Constants, ...] = (
    Constants(f"{_FORMAT}.FORMAT", {"FORMAT": stored_format.FORMAT}),
    Constants(f"{_FORMAT}.FORMAT_STEP", {"FORMAT_STEP": stored_format.FORMAT_STEP}),
    Constants(
        f"{_FORMAT}.CODE_OF",
        {state.name: stored_format.CODE_OF[state] for state in State},
    ),
    Constants(f"{_FORMAT}.RECORD_FIELDS", dict(_positions((*stored_format.RECORD_FIELDS, "relations")))),
    Constants(f"{_FORMAT}.RELATION_FIELDS", dict(_positions(stored_format.RELATION_FIELDS))),
    Constants(f"{_FORMAT}.MARKS", {mark.upper(): bit for mark, bit in stored_format.MARKS.items()}),
    Constants(f"{_FORMAT}.NEW_TASK_FIELDS", dict(_positions(stored_format.NEW_TASK_FIELDS, "NEW_"))),
    Constants(f"{_FORMAT}.NEW_RELATION_FIELDS", dict(_positions(stored_format.NEW_RELATION_FIELDS, "NEW_"))),
    Constants(
        f"{_FORMAT}.MAIL_FIELDS, MAIL_TASK_FIELDS",
        dict(_positions(stored_format.MAIL_FIELDS, "MAIL_"))
        | dict(_positions(stored_format.MAIL_TASK_FIELDS, "MAIL_")),
    ),
    Constants(f"{_FORMAT}.ENDING_FIELDS", dict(_positions(stored_format.ENDING_FIELDS, "ENDING_"))),
    Constants(f"{_FORMAT}.NOT_LOOKED_AT", {"NOT_LOOKED_AT": stored_format.NOT_LOOKED_AT}),
    Constants(
        f"{_FORMAT}.SCHEDULE_FIELDS",
        dict(_positions(stored_format.SCHEDULE_FIELDS))
        | {"SCHEDULE_TYPES": [_LUA_TYPES[kind] for kind in stored_format.SCHEDULE_FIELDS.values()]},
    ),
    Constants(f"{_FORMAT}.LIMIT_FIELDS", dict(_positions(stored_format.LIMIT_FIELDS, "LIMIT_"))),
    Constants(f"{_FORMAT}.GROUP_RULE_FIELDS", dict(_positions(stored_format.GROUP_RULE_FIELDS, "RULE_"))),
    Constants(f"{_FORMAT}.BATCH_VERSION", {"BATCH_VERSION": stored_format.BATCH_VERSION}),
    Constants(f"{_FORMAT}.NIL", {"NIL": stored_format.NIL}),
    Constants(f"{_FORMAT}.ENTRY_FIELDS", {"ENTRY_RELATIONS": len(stored_format.ENTRY_FIELDS)}),
    Constants(
        "spec.stored_format",
        {
            "EXPIRED": stored_format.EXPIRED,
            "WORKER_DIED": stored_format.WORKER_DIED,
            "NEED_FAILED": stored_format.NEED_FAILED,
            "UNREADABLE_RECORD": stored_format.UNREADABLE_RECORD,
            "PAYLOAD_MISSING": stored_format.PAYLOAD_MISSING,
            "ENDED_AS": {
                stored_format.CODE_OF[state] if state else 0: text
                for state, text in stored_format.ENDED_AS.items()
            },
        },
    ),
    Constants("spec.records.PRIORITY_SPAN", {"PRIORITY_SPAN": PRIORITY_SPAN}),
    Constants("spec.records.CANCELLED_GRACE_MS", {"CANCELLED_GRACE_MS": CANCELLED_GRACE_MS}),
    Constants("spec.records.PROPAGATED_AT_ONCE", {"PROPAGATED_AT_ONCE": PROPAGATED_AT_ONCE}),
    Constants("spec.records.ANY_KEY", {"ANY_KEY": ANY_KEY}),
    Constants(
        "spec.records.NO_LIMIT",
        {"NO_LIMIT": [NO_LIMIT.concurrency, NO_LIMIT.count, NO_LIMIT.period_ms, NO_LIMIT.burst, 0]},
    ),
    # What ends by DONE needs no name: it is what happens otherwise.
    Constants(
        "spec.messages.Until",
        {"UNTIL_STARTED": Until.STARTED.value, "UNTIL_EXPIRED": Until.EXPIRED.value},
    ),
    Constants("spec.messages.AnswerKind", _names(AnswerKind)),
    Constants("spec.messages.MailKind", _names(MailKind)),
    Constants("spec.messages.Verdict", _names(Verdict, "LEASE_")),
    Constants("spec.upkeep.ENDINGS", {"ENDINGS": ENDINGS}),
    Constants("spec.change.SENT_PER_MS", {"SENT_PER_MS": SENT_PER_MS}),
    Constants(
        "spec.groups",
        {
            "MOST_BYTES": MOST_BYTES,
            "DEFAULT_RULE": [DEFAULT_RULE.max_size, DEFAULT_RULE.grace_ms, DEFAULT_RULE.max_delay_ms],
        },
    ),
    Constants("spec.history.entry", {"REASON_BYTES": REASON_BYTES, "MOST_NEEDS": MOST_NEEDS}),
)
"""All constants that scripts take from the specification."""


def rendered(prelude: Iterable[Constants] = PRELUDE) -> Mapping[str, str]:
    """Return each constant's value as Lua writes it; raise `ValueError` for a name with two values."""
    found: dict[str, str] = {}
    for constants in prelude:
        for name, value in constants.values.items():
            if name in found:
                raise ValueError(f"two constants of Lua are named {name}: rename that of {constants.source}")
            found[name] = literal(value)
    return MappingProxyType(found)


CONSTANTS = rendered()
"""Name of a constant -> its value, as Lua writes it."""

SOURCES: Mapping[str, str] = MappingProxyType(
    {name: constants.source for constants in PRELUDE for name in constants.values}
)
"""What each of them is made from."""
