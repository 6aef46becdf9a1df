"""Records, options and messages as bytes, to and from Redis.

`lua/include/record.lua` and `lua/include/intake.lua` hold the same orders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, assert_never, cast

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
    Released,
    Schedule,
    Snoozed,
    Stopped,
    Until,
)
from rediq_trio.spec.records import Ending, GroupRule, Limit, Record
from rediq_trio.spec.settle import TRANSITION_OF
from rediq_trio.store.redis.record_format import newer_format
from rediq_trio.wire.packing import pack_for_lua, unpack

STATES = tuple(State)
CODE_OF = {state: code for code, state in enumerate(STATES, start=1)}
_STATE_OF = {code: state for state, code in CODE_OF.items()}
_OUTCOME_NAMES = {kind: transition.encode() for kind, transition in TRANSITION_OF.items()}

RECORD_FIELDS = (
    "state", "priority", "max_retry", "max_crashes", "retention_ms",
    "created_ms", "run_ms", "expires_ms", "seq", "envelope",
    "attempt", "deliveries", "crashes", "snoozes", "nonce",
    "worker", "cancel", "marks", "started_ms", "finished_ms", "error",
)  # fmt: skip
"""The fields of a record's msgpack array, in order."""
BRIEF = RECORD_FIELDS.index("envelope") + 1
"""How many fields the record of a task has to which nothing has happened yet."""
_CONTENTS = ("envelope", "result", "progress", "inputs", "steps")
"""What is kept of a task beside its record, in the order in which `inspect.lua` gives it."""
RELATION_FIELDS = (
    "unique",
    "until",
    "owns_unique_key",
    "limit_key",
    "group",
    "waits",
    "run_on_dependency_failure",
)
"""The fields of the array behind them, which a task that is tied to others has."""
MARKS = {"has_waiters": 1, "has_dependents": 2, "has_steps": 4}
"""The bits of `marks`."""
_KINDS = [
    bytes if field in ("envelope", "nonce", "worker", "error") else int for field in RECORD_FIELDS
]
_UNTOUCHED = [kind() for kind in _KINDS[BRIEF:]]
"""The other fields of such a record."""
_CREATED, _RUN = RECORD_FIELDS.index("created_ms"), RECORD_FIELDS.index("run_ms")
_RELATION_KINDS = [
    bytes if field in ("unique", "limit_key", "group") else int for field in RELATION_FIELDS
]


def state_of(code: int) -> State | None:
    """Give the state of a script's answer; None for 0."""
    return STATES[code - 1] if code else None


def known_states(queue: str, ids: Sequence[str], codes: Sequence[int]) -> tuple[State | None, ...]:
    """Give the states of a script's answers; raise `NewerTask` for a task of a newer layout.

    Of several tasks, such a one is still there, as is one that a worker holds.
    """
    if len(ids) == 1 and codes[0] < 0:
        raise NewerTask(f"{queue}/{ids[0]}", newer_format(-codes[0]))
    return tuple(State.ACTIVE if code < 0 else state_of(code) for code in codes)


def answer_of(reply: int | Sequence[Any]) -> State | Answer | None:
    """Give what `enqueue.lua` answers for one task."""
    if isinstance(reply, int):
        return state_of(reply)
    kind, ref, code = reply
    return Answer(AnswerKind(kind), unpack_ref(ref), state_of(code))


def pack_options(task: NewTask) -> bytes:
    """Pack what the scripts read of a new task."""
    options = (
        task.priority, task.max_retry, task.max_crashes, task.retention_ms,
        task.delay_ms, task.run_at_ms, task.expires_in_ms, task.expires_at_ms,
    )  # fmt: skip
    if task.relations is NO_RELATIONS or task.relations == NO_RELATIONS:
        return pack_for_lua(options)
    return pack_for_lua((*options, _pack_relations(task.relations)))


def _pack_relations(relations: Relations) -> tuple[Any, ...]:
    return (
        relations.queue, relations.unique, int(relations.until), relations.ttl_ms,
        int(relations.replace), relations.limit_key, relations.group,
        int(relations.run_on_dependency_failure),
        *([*map(pack_ref, refs)] for refs in _refs(relations)),
    )  # fmt: skip


def _refs(relations: Relations) -> tuple[tuple[str, ...], ...]:
    return relations.needs, relations.needs_later, relations.dependents


def read_task(task_id: bytes, envelope: bytes, options: bytes) -> NewTask:
    """Read a task that was packed for a script."""
    values: list[Any] = unpack(options, texts=False)
    relations = NO_RELATIONS
    if len(values) == 9:
        queue, unique, until, ttl_ms, replace, key, group, run_on_dependency_failure, *refs = (
            values[8]
        )
        needs, needs_later, dependents = (tuple(map(unpack_ref, some)) for some in refs)
        relations = Relations(
            queue=_text(queue),
            unique=_text(unique),
            until=Until(until),
            ttl_ms=ttl_ms,
            replace=bool(replace),
            limit_key=_text(key),
            group=_text(group),
            run_on_dependency_failure=bool(run_on_dependency_failure),
            needs=needs,
            needs_later=needs_later,
            dependents=dependents,
        )
    return attrs.evolve(NewTask(unpack_id(task_id), envelope, *values[:8]), relations=relations)


def outcome_args(outcome: Outcome) -> tuple[bytes, bytes | str | int, bytes | int]:
    """Return what `settle.lua` takes of an outcome after its fence."""
    name = _OUTCOME_NAMES[type(outcome)]
    match outcome:
        case Completed(result=result, children=children):
            return name, result, pack_children(children)
        case Failed(error=error, delay_ms=delay_ms, final=final):
            return name, error, b"" if final else delay_ms
        case Snoozed(delay_ms=delay_ms):
            return name, delay_ms, b""
        case Stopped() | Released():
            return name, b"", b""
        case _:
            assert_never(outcome)


def pack_children(children: Sequence[NewTask]) -> bytes:
    """Pack the tasks that come in with a completion; nothing for none."""
    if not children:
        return b""
    parts: list[bytes] = []
    for child in children:
        parts += (pack_id(child.id), child.envelope, pack_options(child))
    return pack_for_lua(parts)


def read_mail(member: bytes) -> Mail:
    """Read one message of an outbox."""
    seq, queue, kind, *rest = unpack(member, texts=False)
    if kind == MailKind.TASK:
        task = read_task(*rest)
        sent = attrs.evolve(task, relations=attrs.evolve(task.relations, queue=""))
        return Mail(seq, _text(queue), MailKind.TASK, task=sent)
    local_id, ref, ended_as, result = rest
    return Mail(
        seq,
        _text(queue),
        MailKind(kind),
        unpack_id(local_id),
        unpack_id(ref),
        state_of(ended_as),
        result,
    )


def pack_mail(mail: Mail) -> bytes:
    """Pack a message for its receiver."""
    if mail.task is not None:
        task = mail.task
        body: tuple[Any, ...] = (pack_id(task.id), task.envelope, pack_options(task))
    else:
        ended_as = 0 if mail.ended_as is None else CODE_OF[mail.ended_as]
        body = (pack_id(mail.id), pack_id(mail.ref), ended_as, mail.result)
    return pack_for_lua((mail.seq, mail.queue, int(mail.kind), *body))


def read_ending(member: bytes) -> Ending:
    """Read one task whose dependents are still to be told."""
    _, local_id, ended_as, result, *_ = unpack(member, texts=False)
    # Held over for a task of a newer version, it may be of a task that nobody has looked at.
    return Ending(
        unpack_id(local_id), state_of(ended_as) if ended_as <= len(STATES) else None, result
    )


def pack_rate(count: int | None, period_ms: int, burst: int) -> bytes:
    """Pack a rate as `limit.lua` reads it; nothing for None."""
    if count is None:
        return b""
    if not count:
        return pack_for_lua((0, 0, 1, 0))
    interval = Limit(count=count, period_ms=period_ms).interval_us
    return pack_for_lua((count, period_ms, burst, interval))


def read_limit(packed: bytes) -> Limit:
    """Read a limit."""
    return Limit(*unpack(packed)[:4])


_SCHEDULE_KINDS = [bytes, bytes, bytes, bytes, int, int, int, int, bytes, int]
"""Of the fields of a schedule's msgpack array, in the order of `lua/include/schedule.lua`."""


def read_schedule(name: str, raw: bytes, next_ms: int) -> Schedule | None:
    """Read a schedule; None for one that cannot be decoded."""
    try:
        values: Any = unpack(raw, texts=False)
        if not isinstance(values, list):
            return None
        fields = cast("list[Any]", values)
        if [type(value) for value in fields] != _SCHEDULE_KINDS:
            return None
        when, envelope, options, owner, keep, skips, paused, last_ms, last_id, revision = fields
        template = read_task(b"", envelope, options)
    except (ValueError, TypeError, OverflowError, RecursionError, LookupError):
        return None
    return Schedule(
        name=name,
        when=when,
        template=template,
        owner=_text(owner),
        keep=bool(keep),
        overlap_skip=bool(skips),
        paused=bool(paused),
        next_ms=next_ms,
        last_ms=last_ms,
        last_id=unpack_id(last_id),
        revision=revision,
    )


def pack_rule(rule: GroupRule) -> bytes:
    """Pack a group's rule as `places.lua` reads it."""
    return pack_for_lua((rule.max_size, rule.grace_ms, rule.max_delay_ms))


def read_rule(packed: bytes) -> GroupRule:
    """Read a group's rule."""
    return GroupRule(*unpack(packed))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def read_task_whole(task_id: str, reply: Sequence[Any]) -> Record | None:
    """Read an answer of `inspect.lua`; None for a record that is missing or cannot be decoded."""
    raw, *contents, score = reply
    scores = dict.fromkeys(State, round(float(score))) if score else {}
    record = _decode_record(task_id, raw, scores) if raw else None
    if record is None:
        return None
    kept = dict(zip(_CONTENTS, contents, strict=True))
    return attrs.evolve(record, **(kept | {"envelope": record.envelope or kept["envelope"]}))


def read_record(
    task_id: str, raw: bytes, scores: Mapping[State, int] = MappingProxyType({})
) -> Record | None:
    """Read a record without what only handlers read; None for one that cannot be decoded.

    `scores` are those in the index of its state, where they are to be known.
    """
    record = _decode_record(task_id, raw, scores)
    return record and attrs.evolve(record, envelope=b"")


def _fields_of(raw: bytes) -> dict[str, Any] | None:
    values: Any = unpack(raw, texts=False)
    if not isinstance(values, list):
        return None
    values = cast("list[Any]", values)
    if len(values) == BRIEF:
        values += _UNTOUCHED
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
    fields["cancel"] = bool(fields["cancel"])
    fields["lease_ms"] = at if state is State.ACTIVE else 0
    fields["purge_ms"] = at if state in (State.COMPLETED, State.CANCELLED) else 0
    return Record(id=task_id, **fields)
