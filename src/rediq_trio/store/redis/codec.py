"""Pack and read records, options, messages and settings as they are stored in Redis.

`spec.stored_format` has the order of their fields, which the scripts use too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, cast

import attrs

from rediq_trio._errors import NewerTask
from rediq_trio.spec.ids import pack_id, pack_ref, unpack_id, unpack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    NO_RELATIONS,
    Answer,
    AnswerKind,
    Completed,
    Failed,
    Mail,
    MailKind,
    NewTask,
    Outcome,
    Relations,
    Schedule,
    Snoozed,
    Until,
)
from rediq_trio.spec.records import NO_LIMIT, Ending, GroupRule, Limit, Record
from rediq_trio.spec.settle import PLAIN_OUTCOMES, TRANSITION_OF
from rediq_trio.spec.stored_format import (
    CODE_OF,
    ENDING_FIELDS,
    GROUP_RULE_FIELDS,
    LIMIT_FIELDS,
    MAIL_FIELDS,
    MAIL_TASK_FIELDS,
    MARKS,
    NEW_RELATION_FIELDS,
    NEW_TASK_FIELDS,
    RECORD_FIELDS,
    RELATION_FIELDS,
    SCHEDULE_FIELDS,
)
from rediq_trio.store.redis.record_format import newer_format
from rediq_trio.wire.batch_envelope import read_envelope
from rediq_trio.wire.packed_values import read_pairs
from rediq_trio.wire.packing import pack_for_lua, unpack

STATES = tuple(State)
_STATE_OF = {code: state for state, code in CODE_OF.items()}
_OUTCOME_NAMES = {kind: transition.encode() for kind, transition in TRANSITION_OF.items()}
_PLAIN_ARGS: Mapping[type[Outcome], tuple[bytes, bytes, bytes]] = MappingProxyType(
    {
        kind: (name, b"", b"")
        for kind, name in _OUTCOME_NAMES.items()
        if TRANSITION_OF[kind] in PLAIN_OUTCOMES
    }
)
"""What `settle.lua` takes of an outcome that has nothing but its fence."""

NEW_RECORD_SIZE = RECORD_FIELDS.index("envelope") + 1
"""How many fields the record of a new task has, to which nothing has happened yet."""
_CONTENTS = ("envelope", "result", "progress", "inputs", "steps")
"""What is stored of a task beside its record, in the order in which `inspect.lua` returns it."""
_KINDS = [
    bytes if field in ("envelope", "nonce", "worker", "error") else int for field in RECORD_FIELDS
]
_DEFAULTS = [kind() for kind in _KINDS[NEW_RECORD_SIZE:]]
"""The other fields of the record of a new task."""
_CREATED, _RUN = RECORD_FIELDS.index("created_ms"), RECORD_FIELDS.index("run_ms")
_RELATION_KINDS = [
    bytes if field in ("unique", "limit_key", "group") else int for field in RELATION_FIELDS
]


def state_of(code: int) -> State | None:
    """Return the state with a code; None for 0."""
    return STATES[code - 1] if code else None


def known_states(queue: str, ids: Sequence[str], codes: Sequence[int]) -> tuple[State | None, ...]:
    """Return the states of a script's answers; raise `NewerTask` for a single task of a newer format.

    Among several tasks, one of a newer format is answered like an active one: it is still there.
    """
    if len(ids) == 1 and codes[0] < 0:
        raise NewerTask(f"{queue}/{ids[0]}", newer_format(-codes[0]))
    return tuple(State.ACTIVE if code < 0 else state_of(code) for code in codes)


def answer_of(reply: int | Sequence[Any]) -> State | Answer | None:
    """Return the answer of `enqueue.lua` for one task."""
    if isinstance(reply, int):
        return state_of(reply)
    kind, ref, code = reply
    return Answer(AnswerKind(kind), unpack_ref(ref), state_of(code))


_task_values = attrgetter(*NEW_TASK_FIELDS[:-1])
_relation_values = attrgetter(*NEW_RELATION_FIELDS)


def pack_options(task: NewTask) -> bytes:
    """Pack the fields of a new task that scripts read."""
    options = _task_values(task)
    if task.relations is NO_RELATIONS or task.relations == NO_RELATIONS:
        return pack_for_lua(options)
    return pack_for_lua((*options, [*map(_packable, _relation_values(task.relations))]))


def _packable(value: str | int | tuple[str, ...]) -> str | int | list[bytes]:
    if isinstance(value, tuple):
        return [*map(pack_ref, value)]
    return value if isinstance(value, str) else int(value)


def read_task(task_id: bytes, envelope: bytes, options: bytes) -> NewTask:
    """Read a task that was packed for a script."""
    values: list[Any] = unpack(options, texts=False)
    fields: dict[str, Any] = {}
    fields.update(zip(NEW_TASK_FIELDS, values, strict=False))
    if "relations" in fields:
        fields["relations"] = _read_relations(fields["relations"])
    return NewTask(unpack_id(task_id), envelope, **fields)


def _read_relations(values: list[Any]) -> Relations:
    fields: dict[str, Any] = {}
    fields.update(zip(NEW_RELATION_FIELDS, values, strict=True))
    for name in ("queue", "unique", "limit_key", "group"):
        fields[name] = _text(fields[name])
    for name in ("replace", "run_on_dependency_failure"):
        fields[name] = bool(fields[name])
    for name in ("needs", "needs_later", "dependents"):
        fields[name] = tuple(map(unpack_ref, fields[name]))
    fields["until"] = Until(fields["until"])
    return Relations(**fields)


def outcome_args(outcome: Outcome) -> tuple[bytes, bytes | str | int, bytes | int]:
    """Return the arguments of `settle.lua` for an outcome, after its fence."""
    kind = type(outcome)
    if kind in _PLAIN_ARGS:
        return _PLAIN_ARGS[kind]
    name = _OUTCOME_NAMES[kind]
    match outcome:
        case Completed(result=result, children=children):
            return name, result, pack_children(children)
        case Failed(error=error, delay_ms=delay_ms, final=final):
            return name, error, b"" if final else delay_ms
        case Snoozed(delay_ms=delay_ms):
            return name, delay_ms, b""
        case _:
            raise TypeError(f"settle.lua takes no arguments of {outcome!r}")


def pack_children(children: Sequence[NewTask]) -> bytes:
    """Pack the children of a completion; empty for none."""
    if not children:
        return b""
    parts: list[bytes] = []
    for child in children:
        parts += (pack_id(child.id), child.envelope, pack_options(child))
    return pack_for_lua(parts)


_KIND = MAIL_FIELDS.index("kind")


def read_mail(member: bytes) -> Mail:
    """Read one message of an outbox."""
    values: list[Any] = unpack(member, texts=False)
    kind = MailKind(values[_KIND])
    names = MAIL_TASK_FIELDS if kind is MailKind.TASK else MAIL_FIELDS
    fields: dict[str, Any] = {}
    fields.update(zip(names, values, strict=True))
    fields |= {"kind": kind, "queue": _text(fields["queue"])}
    if kind is MailKind.TASK:
        task = read_task(fields.pop("id"), fields.pop("envelope"), fields.pop("options"))
        fields["task"] = attrs.evolve(task, relations=attrs.evolve(task.relations, queue=""))
    else:
        fields |= {"id": unpack_id(fields["id"]), "ref": unpack_id(fields["ref"])}
        fields["ended_as"] = state_of(fields["ended_as"])
    return Mail(**fields)


def pack_mail(mail: Mail) -> bytes:
    """Pack a message for its receiver."""
    fields: dict[str, Any] = {"seq": mail.seq, "queue": mail.queue, "kind": int(mail.kind)}
    if task := mail.task:
        fields |= {"id": pack_id(task.id), "envelope": task.envelope, "options": pack_options(task)}
        return pack_for_lua([fields[name] for name in MAIL_TASK_FIELDS])
    ended_as = 0 if mail.ended_as is None else CODE_OF[mail.ended_as]
    fields |= {"id": pack_id(mail.id), "ref": pack_id(mail.ref), "ended_as": ended_as, "result": mail.result}
    return pack_for_lua([fields[name] for name in MAIL_FIELDS])


def read_ending(member: bytes) -> Ending:
    """Read the end of one task whose dependents are still to be notified."""
    fields: dict[str, Any] = {}
    fields.update(zip(ENDING_FIELDS, unpack(member, texts=False), strict=False))
    # `NOT_LOOKED_AT` is above all states.
    ended_as = state_of(fields["ended_as"]) if fields["ended_as"] <= len(STATES) else None
    return Ending(unpack_id(fields["id"]), ended_as, fields["result"])


_rate_values = attrgetter(*LIMIT_FIELDS[1:])


def pack_rate(count: int | None, period_ms: int, burst: int) -> bytes:
    """Pack a rate as `limit.lua` reads it; empty for None."""
    if count is None:
        return b""
    return pack_for_lua(_rate_values(Limit(count=count, period_ms=period_ms, burst=burst) if count else NO_LIMIT))


def read_limit(packed: bytes) -> Limit:
    """Read a limit."""
    return Limit(**dict(zip(LIMIT_FIELDS[:-1], unpack(packed), strict=False)))


def read_schedule(name: str, raw: bytes, next_ms: int) -> Schedule | None:
    """Read a schedule; None for one that cannot be decoded."""
    try:
        values: Any = unpack(raw, texts=False)
        if not isinstance(values, list):
            return None
        values = cast("list[Any]", values)
        if [type(value) for value in values] != [*SCHEDULE_FIELDS.values()]:
            return None
        fields: dict[str, Any] = {}
        fields.update(zip(SCHEDULE_FIELDS, values, strict=True))
        fields["template"] = read_task(b"", fields["template"], fields.pop("template_options"))
    except (ValueError, TypeError, OverflowError, RecursionError, LookupError):
        return None
    fields |= {flag: bool(fields[flag]) for flag in ("keep", "overlap_skip", "paused")}
    fields |= {"owner": _text(fields["owner"]), "last_id": unpack_id(fields["last_id"])}
    return Schedule(name=name, next_ms=next_ms, **fields)


_rule_values = attrgetter(*GROUP_RULE_FIELDS)


def pack_rule(rule: GroupRule) -> bytes:
    """Pack a group's rule."""
    return pack_for_lua(_rule_values(rule))


def read_rule(packed: bytes) -> GroupRule:
    """Read a group's rule."""
    return GroupRule(**dict(zip(GROUP_RULE_FIELDS, unpack(packed), strict=True)))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def read_task_whole(task_id: str, reply: Sequence[Any]) -> Record | None:
    """Read an answer of `inspect.lua`; None for a record that is missing or cannot be decoded."""
    raw, *contents, score = reply
    scores = dict.fromkeys(State, round(float(score))) if score else {}
    record = _decode_record(task_id, raw, scores) if raw else None
    if record is None:
        return None
    kept: dict[str, Any] = dict(zip(_CONTENTS, contents, strict=True))
    kept["envelope"] = record.envelope or read_envelope(kept["envelope"])
    kept["inputs"] = tuple((unpack_ref(ref), result) for ref, result in read_pairs(kept["inputs"]))
    kept["steps"] = tuple((_text(name), result) for name, result in read_pairs(kept["steps"]))
    return attrs.evolve(record, **kept)


def read_record(
    task_id: str, raw: bytes, scores: Mapping[State, int] = MappingProxyType({})
) -> Record | None:
    """Read a record without its envelope; None for one that cannot be decoded.

    `scores` are the task's scores in the indexes, by state, if the caller knows them: the end of a
    lease, and the time of a purge, are only there.
    """
    record = _decode_record(task_id, raw, scores)
    return record and attrs.evolve(record, envelope=b"")


def _fields_of(raw: bytes) -> dict[str, Any] | None:
    values: Any = unpack(raw, texts=False)
    if not isinstance(values, list):
        return None
    values = cast("list[Any]", values)
    if len(values) == NEW_RECORD_SIZE:
        values += _DEFAULTS
        values[_RUN] = values[_RUN] or values[_CREATED]
    fields: dict[str, Any] = {}
    fields.update(zip(RECORD_FIELDS, values, strict=False))
    if [type(value) for value in values[: len(_KINDS)]] != _KINDS:
        return None
    if len(values) == len(_KINDS):
        return fields
    [relations] = values[len(_KINDS) :]
    if [type(value) for value in relations] != _RELATION_KINDS:
        return None
    fields.update(zip(RELATION_FIELDS, relations, strict=True))
    for name in ("unique", "limit_key", "group"):
        fields[name] = _text(fields[name])
    fields["until"] = Until(fields["until"])
    return fields | {
        "owns_unique_key": bool(fields["owns_unique_key"]),
        "run_on_dependency_failure": bool(fields["run_on_dependency_failure"]),
    }


def _decode_record(task_id: str, raw: bytes, scores: Mapping[State, int]) -> Record | None:
    try:
        fields = _fields_of(raw)
        if fields is None:
            return None
        fields["state"] = _STATE_OF[fields["state"]]
        fields["worker"], fields["error"] = _text(fields["worker"]), _text(fields["error"])
    except (ValueError, TypeError, OverflowError, AttributeError, KeyError):
        return None
    state: State = fields["state"]
    at = scores.get(state, 0)
    marks = fields.pop("marks")
    fields |= {mark: bool(marks & bit) for mark, bit in MARKS.items()}
    fields |= {"cancel": bool(fields["cancel"]), "envelope": read_envelope(fields["envelope"])}
    fields["lease_ms"] = at if state is State.ACTIVE else 0
    fields["purge_ms"] = at if state in (State.COMPLETED, State.CANCELLED) else 0
    return Record(id=task_id, **fields)
