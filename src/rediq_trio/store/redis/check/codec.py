"""How scripts read and repair each type of target, with one row for each type.

A row names the script that reads views, its arguments, how to decode its answer, and the script that
makes a repair. `spec.check` decides what is wrong in a view.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from rediq_trio.spec.check.dependency import DependencyView
from rediq_trio.spec.check.findings import Action, Target, TargetType
from rediq_trio.spec.check.group import GroupView
from rediq_trio.spec.check.lane import LaneView
from rediq_trio.spec.check.member import MemberView, member_parts
from rediq_trio.spec.check.message import Item, MessageView
from rediq_trio.spec.check.schedule import ScheduleView
from rediq_trio.spec.check.table import CHECKS, View
from rediq_trio.spec.check.task import CONTENTS, RecordView
from rediq_trio.spec.check.unique import UniqueKeyView
from rediq_trio.spec.ids import pack_id, pack_ref, unpack_id
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.records import NO_LIMIT, GroupRule, Limit, Record
from rediq_trio.store.redis.check.scan import split_member
from rediq_trio.store.redis.codec import (
    read_ending,
    read_limit,
    read_mail,
    read_record,
    read_rule,
    read_schedule,
)
from rediq_trio.store.redis.record_format import newer_record
from rediq_trio.wire.packing import UNPACK_ERRORS, unpack

_DECODE_ERRORS: tuple[type[Exception], ...] = (*UNPACK_ERRORS, LookupError, AttributeError)
"""The errors that decoding damaged bytes may raise."""

N = TypeVar("N", Limit, GroupRule)
Arguments = tuple[Any, ...]
Repairing = tuple[str, Arguments]
"""The name of a script that makes a repair, and its arguments."""
Repairer = Callable[[Action, Target, int | str], Repairing]


@attrs.frozen
class TargetCodec:
    """How scripts read and repair the targets of one type."""

    script: str
    """The name of the script that reads views."""
    arguments: Callable[[Target], Arguments]
    """Returns the script's arguments for one target."""
    view: Callable[[Target, Sequence[Any], Any], View]
    """Returns the view of one target, from the first values of the whole answer and its own answer."""
    repair: Repairer
    """Returns how to make a repair, at an instant in ms or '' for the server's time."""
    head: int = 0
    """How many values of the whole answer precede those of the targets."""
    timed: bool = False
    """Whether the script's first argument is the time."""


def score_of(text: bytes) -> int | None:
    """Return a score as a whole number; None for none."""
    return round(float(text)) if text else None


def number_of(text: bytes) -> int | None:
    """Return a number; None for no text, -1 for a text that is no number."""
    try:
        return int(text) if text else None
    except ValueError:
        return -1


def record_of(task_id: str, raw: bytes) -> Record | None:
    """Return a record; None for one that is missing, or cannot be decoded."""
    return read_record(task_id, raw) if raw else None


def raw_of(target: Target) -> bytes:
    """Return the bytes under which a target is stored."""
    if target.raw:
        return target.raw[0]
    return pack_id(target.name) if target.type is TargetType.TASK else target.name.encode()


def _by_name(target: Target) -> Arguments:
    return (raw_of(target),)


_INDEXES = tuple(state for state in State if state is not State.GROUPED)
"""The indexes whose scores `inspect_tasks.lua` returns, in order, after that of `expiring`."""


def task_view(target: Target, _: Sequence[Any], reply: Sequence[Any]) -> RecordView:
    """Return the view of a task."""
    raw, envelope, *rest = reply
    lengths, (expiring, *rest) = rest[: len(CONTENTS)], rest[len(CONTENTS) :]
    scores, (group, key, needs, holder) = rest[: len(_INDEXES)], rest[len(_INDEXES) :]
    indexes: dict[State, int] = {
        state: at
        for state, score in zip(_INDEXES, scores, strict=True)
        if (at := score_of(score)) is not None
    }
    if group:
        indexes[State.GROUPED] = int(group)
    if key:
        # A task that both indexes list gets a rank that no task has.
        indexes[State.PENDING] = -1 if State.PENDING in indexes else int(key)
    record = read_record(target.name, raw, indexes) if raw else None
    newer = newer_record(raw) if raw and record is None else 0
    return RecordView(
        target,
        record=record,
        indexes=indexes,
        expiring=score_of(expiring),
        has_envelope=bool(envelope) or (record is not None and record.state not in WAITING),
        needs=needs,
        holder=unpack_id(holder) if holder else None,
        kept=frozenset(name for name, size in zip(CONTENTS, lengths, strict=True) if size),
        unreadable=bool(raw) and record is None and not newer,
        newer=newer,
    )


def _repair_task(what: Action, target: Target, now: int | str) -> Repairing:
    own = raw_of(target)
    if what is Action.SEQ:
        return "repair_totals", (what, own)
    return "repair_task", (now, what, own)


def _member_arguments(target: Target) -> Arguments:
    index, entry = target.raw
    return index, entry, split_member(entry)[2]


def _member_view(target: Target, _: Sequence[Any], reply: Sequence[Any]) -> MemberView:
    score, raw, envelope, listed = reply
    state, rank, name = member_parts(target)
    record = record_of(target.name, raw)
    return MemberView(
        target, state, name, rank, score_of(score), record, bool(raw), bool(envelope), bool(listed)
    )


def _repair_member(_: Action, target: Target, now: int | str) -> Repairing:
    index, entry = target.raw
    name, _rank, own = split_member(entry)
    return "repair_member", (now, index, entry, own, name)


def _dependency_arguments(target: Target) -> Arguments:
    # The members of `edges` and `needs`, and both ids; '' for a task of another queue.
    source, dependent = target.raw or (pack_ref(target.name), pack_ref(target.other))
    edge = b"" if "/" in target.name else bytes([len(source)]) + source + dependent
    need = b"" if "/" in target.other else bytes([len(dependent)]) + dependent + source
    return edge, need, source if edge else b"", dependent if need else b""


def _dependency_view(target: Target, _: Sequence[Any], reply: Sequence[Any]) -> DependencyView:
    edge, need, source, dependent, needs, unresolved = reply
    return DependencyView(
        target,
        in_edges=edge != b"",
        in_needs=need != b"",
        source=record_of(target.name, source),
        dependent=record_of(target.other, dependent),
        has_source=bool(source),
        needs=needs,
        unresolved=None if unresolved == b"" else bool(unresolved),
    )


def _repair_dependency(_: Action, target: Target, now: int | str) -> Repairing:
    edge, need, source, _own = _dependency_arguments(target)
    dependent = target.raw[1] if target.raw else pack_ref(target.other)
    return "repair_dependency", (now, edge, need, source, dependent)


def _lane_view(target: Target, head: Sequence[Any], reply: Sequence[Any]) -> LaneView:
    now, fair, turn_now = head
    first, lane, shut, turn, permits, active, limit, arrival = reply
    return LaneView(
        target,
        now_ms=now,
        fair=fair == b"1",
        turn_now=number_of(turn_now) or 0,
        first=number_of(first),
        open=score_of(lane),
        shut=float(shut) if shut else None,
        turn=number_of(turn),
        permits=number_of(permits) or 0,
        active=None if active == b"" else active,
        limit=limit_of(limit) if limit else NO_LIMIT,
        arrival_us=score_of(arrival),
    )


def limit_of(packed: bytes) -> Limit | None:
    """Return a limit; None for one that cannot be read."""
    limit = _numbers_of(read_limit, packed)
    return limit if limit is not None and limit.burst else None


def rule_of(packed: bytes) -> GroupRule | None:
    """Return a group's rule; None for one that cannot be read."""
    return _numbers_of(read_rule, packed)


def _numbers_of(read: Callable[[bytes], N], packed: bytes) -> N | None:
    """Read what has fields that are whole numbers from 0 on; None for anything else."""
    try:
        found = read(packed)
    except _DECODE_ERRORS:
        return None
    return found if all(type(n) is int and n >= 0 for n in attrs.astuple(found)) else None


def _unique_view(target: Target, _: Sequence[Any], reply: Sequence[Any]) -> UniqueKeyView:
    own, till, raw = reply
    holder = unpack_id(own) if own else None
    return UniqueKeyView(target, holder, score_of(till), record_of(holder or "", raw), bool(raw))


def _group_view(target: Target, _: Sequence[Any], reply: Sequence[Any]) -> GroupView:
    size, rule, due, first, last = reply
    return GroupView(
        target, size, rule_of(rule) if rule else None, bool(rule), score_of(due),
        record_of("", first), record_of("", last),
    )  # fmt: skip


def _schedule_view(target: Target, head: Sequence[Any], reply: Sequence[Any]) -> ScheduleView:
    raw, tick = reply
    schedule = read_schedule(target.name, raw, score_of(tick) or 0) if raw else None
    return ScheduleView(target, schedule, bool(raw), score_of(tick), int(head[0]))


def _repair_lane(what: Action, target: Target, now: int | str) -> Repairing:
    return "repair_lane", (now, what, raw_of(target))


def _repair_by_name(script: str) -> Repairer:
    return lambda _what, target, _now: (script, _by_name(target))


_STORED_IN = {
    TargetType.MESSAGE: b"outbox", TargetType.ENDING: b"endings", TargetType.SENDER: b"received",
}  # fmt: skip


def _message_arguments(target: Target) -> Arguments:
    return _STORED_IN[target.type], raw_of(target)


def _message_view(target: Target, head: Sequence[Any], members: Sequence[bytes]) -> MessageView:
    found = [_message_item(target.type, member) for member in members]
    numbers = tuple(number for _, number in found)
    sent, resolved = map(int, head)
    last = {TargetType.MESSAGE: sent, TargetType.ENDING: resolved}.get(
        target.type, max(numbers, default=0)
    )
    return MessageView(target, last, tuple(item for item, _ in found), numbers)


def _message_item(kind: TargetType, member: bytes) -> tuple[Item, int]:
    try:
        if kind is TargetType.SENDER:
            return int(member), int(member)
        if kind is TargetType.MESSAGE:
            mail = read_mail(member)
            return mail, int(mail.seq)
        return read_ending(member), int(unpack(member, texts=False)[0])
    except _DECODE_ERRORS:
        return None, -1


_MESSAGE = TargetCodec(
    "inspect_messages", _message_arguments, _message_view,
    lambda what, _target, _now: ("repair_totals", (what, b"")), head=2,
)  # fmt: skip
CODECS: Mapping[TargetType, TargetCodec] = MappingProxyType({
    TargetType.TASK: TargetCodec("inspect_tasks", _by_name, task_view, _repair_task),
    TargetType.MEMBER: TargetCodec(
        "inspect_members", _member_arguments, _member_view, _repair_member
    ),
    TargetType.DEPENDENCY: TargetCodec(
        "inspect_dependencies", _dependency_arguments, _dependency_view, _repair_dependency
    ),
    TargetType.LANE: TargetCodec(
        "inspect_lanes", _by_name, _lane_view, _repair_lane, head=3, timed=True
    ),
    TargetType.UNIQUE: TargetCodec(
        "inspect_unique", _by_name, _unique_view, _repair_by_name("repair_unique")
    ),
    TargetType.GROUP: TargetCodec(
        "inspect_groups", _by_name, _group_view, _repair_by_name("repair_group")
    ),
    TargetType.SCHEDULE: TargetCodec(
        "inspect_schedules", _by_name, _schedule_view, _repair_by_name("repair_schedule"), head=1
    ),
    **dict.fromkeys(_STORED_IN, _MESSAGE),
})  # fmt: skip
"""The codec of each type of target."""

if _missing := CHECKS.keys() ^ CODECS.keys():
    raise RuntimeError(
        f"spec.check.table and redis.check.codec do not agree on {', '.join(sorted(_missing))}"
    )
