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
from rediq_trio.store.redis.attempt_codec import read_attempts
from rediq_trio.store.redis.record_format import newer_format
from rediq_trio.wire.batch_envelope import read_envelope
from rediq_trio.wire.packed_values import read_pairs
from rediq_trio.wire.packing import fields_of, pack_for_lua, text_of, unpack

STATES = tuple(State)
_STATE_OF = {code: state for state, code in CODE_OF.items()}
NEW_RECORD_SIZE = RECORD_FIELDS.index("envelope") + 1
"""How many fields the record of a new task has, to which nothing has happened yet."""
_CONTENTS = ("envelope", "result", "progress", "inputs", "steps", "attempts")
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
    relations = [*map(_packable, _relation_values(task.relations))]
    # A version that does not know them ignores the parent, or the parent of a task that may exist.
    parent: tuple[str | bytes, ...] = (pack_id(task.parent),) if task.parent else ()
    return pack_for_lua((*options, relations, *(("", *parent) if task.may_exist else parent)))


def _packable(value: str | int | tuple[str, ...]) -> str | int | list[bytes]:
    if isinstance(value, tuple):
        return [*map(pack_ref, value)]
    return value if isinstance(value, str) else int(value)


def read_task(task_id: bytes, envelope: bytes, options: bytes) -> NewTask:
    """Read a task that was packed for a script."""
    values: list[Any] = unpack(options, texts=False)
    fields = fields_of(NEW_TASK_FIELDS, values, strict=False)
    if "relations" in fields:
        fields["relations"] = _read_relations(fields["relations"])
    if parent := [unpack_id(one) for one in values[len(NEW_TASK_FIELDS) :]]:
        fields["parent"], fields["may_exist"] = parent[-1], not parent[0]
    return NewTask(unpack_id(task_id), envelope, **fields)


def _read_relations(values: list[Any]) -> Relations:
    fields = fields_of(NEW_RELATION_FIELDS, values)
    for name in ("queue", "unique", "limit_key", "group"):
        fields[name] = text_of(fields[name])
    for name in ("replace", "run_on_dependency_failure"):
        fields[name] = bool(fields[name])
    for name in ("needs", "needs_later", "dependents"):
        fields[name] = tuple(map(unpack_ref, fields[name]))
    fields["until"] = Until(fields["until"])
    return Relations(**fields)


def outcome_args(outcome: Outcome) -> tuple[bytes | str | int, bytes | int, int | None]:
    """Return the two arguments of `settle.lua` for an outcome, after its fence, and the handler's
    option that it carries."""
    match outcome:
        case Completed(result=result, children=children, retention_ms=retention_ms):
            return result, pack_children(children), retention_ms
        case Failed(error=error, delay_ms=delay_ms, final=final, max_retry=max_retry):
            return error, b"" if final else delay_ms, max_retry
        case Snoozed(delay_ms=delay_ms):
            return delay_ms, b"", None
        case _:
            if TRANSITION_OF[type(outcome)] in PLAIN_OUTCOMES:
                return b"", b"", None
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
    fields = fields_of(names, values)
    fields |= {"kind": kind, "queue": text_of(fields["queue"])}
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
    names: tuple[str, ...] = MAIL_FIELDS
    if task := mail.task:
        fields |= {"id": pack_id(task.id), "envelope": task.envelope, "options": pack_options(task)}
        names = MAIL_TASK_FIELDS
    else:
        ended_as = 0 if mail.ended_as is None else CODE_OF[mail.ended_as]
        fields |= {"id": pack_id(mail.id), "ref": pack_id(mail.ref)}
        fields |= {"ended_as": ended_as, "result": mail.result}
    return pack_for_lua([fields[name] for name in names])


def read_ending(member: bytes) -> Ending:
    """Read the end of one task whose dependents are still to be notified."""
    fields = fields_of(ENDING_FIELDS, unpack(member, texts=False), strict=False)
    # `NOT_LOOKED_AT` is above all states.
    ended_as = state_of(fields["ended_as"]) if fields["ended_as"] <= len(STATES) else None
    return Ending(unpack_id(fields["id"]), ended_as, fields["result"])


_rate_values = attrgetter(*LIMIT_FIELDS[1:])


def pack_rate(count: int | None, period_ms: int, burst: int) -> bytes:
    """Pack a rate as `limit.lua` reads it; empty for None."""
    if count is None:
        return b""
    rate = Limit(count=count, period_ms=period_ms, burst=burst) if count else NO_LIMIT
    return pack_for_lua(_rate_values(rate))


def read_limit(packed: bytes) -> Limit:
    """Read a limit."""
    return Limit(**fields_of(LIMIT_FIELDS[:-1], unpack(packed), strict=False))


def read_schedule(name: str, raw: bytes, next_ms: int) -> Schedule | None:
    """Read a schedule; None for one that cannot be decoded."""
    try:
        values: Any = unpack(raw, texts=False)
        if not isinstance(values, list):
            return None
        values = cast("list[Any]", values)
        if [type(value) for value in values] != [*SCHEDULE_FIELDS.values()]:
            return None
        fields = fields_of(SCHEDULE_FIELDS, values)
        fields["template"] = read_task(b"", fields["template"], fields.pop("template_options"))
    except (ValueError, TypeError, OverflowError, RecursionError, LookupError):
        return None
    fields |= {flag: bool(fields[flag]) for flag in ("keep", "overlap_skip", "paused")}
    fields |= {"owner": text_of(fields["owner"]), "last_id": unpack_id(fields["last_id"])}
    return Schedule(name=name, next_ms=next_ms, **fields)


_rule_values = attrgetter(*GROUP_RULE_FIELDS)


def pack_rule(rule: GroupRule) -> bytes:
    """Pack a group's rule."""
    return pack_for_lua(_rule_values(rule))


def rule_args(rules: Mapping[str, GroupRule]) -> list[str | bytes]:
    """Return names and rules of groups in turn, the rules packed."""
    return [part for name, rule in rules.items() for part in (name, pack_rule(rule))]


def read_rule(packed: bytes) -> GroupRule:
    """Read a group's rule."""
    return GroupRule(**fields_of(GROUP_RULE_FIELDS, unpack(packed)))


def read_task_whole(task_id: str, reply: Sequence[Any]) -> Record | None:
    """Read an answer of `inspect.lua`; None for a record that is missing or cannot be decoded."""
    raw, *contents, score = reply
    scores = dict.fromkeys(State, round(float(score))) if score else {}
    record = _decode_record(task_id, raw, scores) if raw else None
    if record is None:
        return None
    kept = fields_of(_CONTENTS, contents)
    kept["envelope"] = record.envelope or read_envelope(kept["envelope"])
    kept["inputs"] = tuple((unpack_ref(ref), result) for ref, result in read_pairs(kept["inputs"]))
    kept["attempts"] = read_attempts(kept["attempts"], record.created_ms)
    kept["steps"] = tuple((text_of(name), result) for name, result in read_pairs(kept["steps"]))
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
    fields = fields_of(RECORD_FIELDS, values, strict=False)
    if [type(value) for value in values[: len(_KINDS)]] != _KINDS:
        return None
    if len(values) == len(_KINDS):
        return fields
    [relations] = values[len(_KINDS) :]
    if [type(value) for value in relations] != _RELATION_KINDS:
        return None
    fields |= fields_of(RELATION_FIELDS, relations)
    for name in ("unique", "limit_key", "group"):
        fields[name] = text_of(fields[name])
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
        fields["worker"], fields["error"] = text_of(fields["worker"]), text_of(fields["error"])
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
