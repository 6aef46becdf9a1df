"""The constants of the Lua scripts, made from the specification.

A script uses these names in capitals and does not define them. The loader replaces each name by its
value, so a constant of both languages is written once, in Python, and costs a script nothing. A
constant that only Lua uses is a `local` of its script.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType, ModuleType

import attrs

from rediq_trio.spec import change, groups, messages, records, stored_format, upkeep
from rediq_trio.spec.history import entry, kinds, samples, sizes, trim, type_counts, workflows
from rediq_trio.spec.messages import (
    AnswerKind,
    MailKind,
    Obstacle,
    OrderAnswer,
    Until,
    Verdict,
)
from rediq_trio.spec.stored_format import CODE_OF
from rediq_trio.store.reads import description, scan, situation

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


def _as_in_python(module: ModuleType, *names: str) -> Iterator[Constants]:
    """Return the constants that have the same name and value in both languages."""
    for name in names:
        source = f"{module.__name__.removeprefix('rediq_trio.')}.{name}"
        yield Constants(source, {name: getattr(module, name)})


def _order(name: str, prefix: str = "", *more: str) -> Constants:
    """Return the positions of the fields of a stored array, counted from 1; names have no unit."""
    fields = (*getattr(stored_format, name), *more)
    positions = {
        prefix + re.sub("_[mu]s$", "", field).upper(): position
        for position, field in enumerate(fields, start=1)
    }
    return Constants(f"{_FORMAT}.{name}", positions)


def _members(
    kind: type[AnswerKind | MailKind | Obstacle | OrderAnswer | Verdict], prefix: str = ""
) -> Constants:
    values = {prefix + member.name: member.value for member in kind}
    return Constants(f"spec.messages.{kind.__name__}", values)


_FORMAT = "spec.stored_format"
_LUA_TYPES = {bytes: "string", int: "number"}
_SCHEDULE_ORDER = _order("SCHEDULE_FIELDS")
_SCHEDULE_TYPES = [_LUA_TYPES[kind] for kind in stored_format.SCHEDULE_FIELDS.values()]
_ENDED_AS = {CODE_OF[state] if state else 0: text for state, text in stored_format.ENDED_AS.items()}

PRELUDE: tuple[Constants, ...] = (
    *_as_in_python(stored_format, "FORMAT", "FORMAT_STEP"),
    Constants(f"{_FORMAT}.CODE_OF", {state.name: code for state, code in CODE_OF.items()}),
    _order("RECORD_FIELDS", "", "relations"),
    _order("RELATION_FIELDS"),
    Constants(f"{_FORMAT}.MARKS", {mark.upper(): bit for mark, bit in stored_format.MARKS.items()}),
    _order("NEW_TASK_FIELDS", "NEW_"),
    _order("NEW_RELATION_FIELDS", "NEW_"),
    Constants(
        f"{_FORMAT}.MAIL_FIELDS, MAIL_TASK_FIELDS",
        {**_order("MAIL_FIELDS", "MAIL_").values, **_order("MAIL_TASK_FIELDS", "MAIL_").values},
    ),
    _order("ENDING_FIELDS", "ENDING_"),
    *_as_in_python(stored_format, "NOT_LOOKED_AT", "ASKS_AGAIN"),
    Constants(
        _SCHEDULE_ORDER.source, {**_SCHEDULE_ORDER.values, "SCHEDULE_TYPES": _SCHEDULE_TYPES}
    ),
    _order("LIMIT_FIELDS", "LIMIT_"),
    _order("GROUP_RULE_FIELDS", "RULE_"),
    _order("KIND_FIELDS", "KIND_"),
    Constants(
        f"{_FORMAT}.ATTEMPT_FIELDS",
        {"ATTEMPT_DETAIL": stored_format.ATTEMPT_FIELDS.index("detail") + 1},
    ),
    *_as_in_python(stored_format, "BATCH_VERSION", "NIL", "UNSET_RETENTION_MS"),
    Constants(f"{_FORMAT}.ENTRY_FIELDS", {"ENTRY_RELATIONS": len(stored_format.ENTRY_FIELDS)}),
    *_as_in_python(
        stored_format,
        *("EXPIRED", "WORKER_DIED", "NEED_FAILED", "UNREADABLE_RECORD", "PAYLOAD_MISSING"),
        *("NOT_ENQUEUED", "NOT_ENQUEUED_NAMED", "ENCRYPTED_ERROR"),
    ),
    Constants(f"{_FORMAT}.ENDED_AS", {"ENDED_AS": _ENDED_AS}),
    *_as_in_python(records, "PRIORITY_SPAN", "CANCELLED_GRACE_MS", "PROPAGATED_AT_ONCE"),
    *_as_in_python(records, "ORDERED_AT_ONCE", "ANY_KEY", "ATTEMPTS_KEPT"),
    Constants("spec.records.NO_LIMIT", {"NO_LIMIT": (*attrs.astuple(records.NO_LIMIT), 0)}),
    # What ends by DONE needs no name: it is what happens otherwise.
    Constants(
        "spec.messages.Until",
        {"UNTIL_STARTED": Until.STARTED.value, "UNTIL_EXPIRED": Until.EXPIRED.value},
    ),
    _members(AnswerKind),
    _members(MailKind),
    _members(Verdict, "LEASE_"),
    _members(Obstacle, "OBSTACLE_"),
    _members(OrderAnswer, "ORDER_"),
    *_as_in_python(messages, "ORDERS_MAX"),
    *_as_in_python(upkeep, "ENDINGS", "ASK_AFTER_MS", "ASK_EVERY_MS", "ASKED_AT_ONCE"),
    *_as_in_python(change, "SENT_PER_MS"),
    *_as_in_python(groups, "MOST_BYTES", "RULES_AT_ONCE"),
    Constants("spec.groups.DEFAULT_RULE", {"DEFAULT_RULE": attrs.astuple(groups.DEFAULT_RULE)}),
    *_as_in_python(entry, "REASON_BYTES", "MOST_NEEDS"),
    *_as_in_python(kinds, "KINDS_KEPT", "KIND_TASKS", "HOURS_KEPT", "HOUR_MS"),
    *_as_in_python(description, "NAMED_RELATED", "NEEDS_READ"),
    *_as_in_python(situation, "ACTIVE_READ"),
    *_as_in_python(scan, "SCAN_STEP", "SCAN_BYTES", "TYPE_AT", "BATCH_HEAD"),
    *_as_in_python(
        samples,
        *("SERIES_FORMAT", "SAMPLE_STEP_MS", "STEPS_OF", "STEPS_PER_CHUNK", "CHUNKS_KEPT"),
        *("GAP_MS", "BACK_STEPS", "SAMPLE_MAX", "SAMPLE_GAP", "SAMPLE_CARRIED"),
    ),
    *_as_in_python(
        workflows,
        *("WORKFLOWS_MAX", "WORKFLOWS_MAX_BYTES", "DROPPED_AT_ONCE", "WORKFLOWS_READ_BYTES"),
        *("CHECK_FIRST_MS", "CHECK_LEAST_MS", "CHECK_MOST_MS", "CREATED_DIGITS"),
    ),
    *_as_in_python(
        type_counts,
        *("TYPES_FORMAT", "TYPES_STEP_MS", "TYPES_STEPS", "TYPES_KEPT", "TYPES_BYTES"),
        *("TYPE_STEP_BYTES", "TALLY_FORGOTTEN", "STEPS_READ", "WEIGHT", "WEIGHT_KEPT", "WEIGHT_OF"),
        *("WEIGHT_MAX", "TYPE_COUNT_MAX", "WAITS_AT", "RUNS_AT", "COUNTS"),
    ),
    *_as_in_python(trim, "CHUNK_RANKS", "TYPES_RANK"),
    *_as_in_python(sizes, "TRIMMED_AT_ONCE"),
)
"""All constants that scripts take from the specification."""


def rendered(prelude: Iterable[Constants] = PRELUDE) -> Mapping[str, str]:
    """Return each constant's value as Lua writes it; raise `ValueError` for a name with two values."""
    found: dict[str, str] = {}
    for constants in prelude:
        for name, value in constants.values.items():
            if name in found:
                raise ValueError(
                    f"two constants of Lua are named {name}: rename that of {constants.source}"
                )
            found[name] = literal(value)
    return MappingProxyType(found)


CONSTANTS = rendered()
"""Name of a constant -> its value, as Lua writes it."""

SOURCES: Mapping[str, str] = MappingProxyType(
    {name: constants.source for constants in PRELUDE for name in constants.values}
)
"""What each of them is made from."""
