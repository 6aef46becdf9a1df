"""A member of an index that is ordered by bytes: of `keyed`, by limit key, or of `grouped`, by group."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import QueueState, Record


@attrs.frozen
class MemberView:
    """A member of `keyed` or `grouped`."""

    target: Target
    state: State
    """The state that the index is for."""
    name: str
    """The limit key, or the group."""
    rank: int
    """Its rank among the members of its name; -1 when the member cannot be read."""
    score: int | None
    """0 as a rule, because the members are ordered by bytes; None for one that is gone."""
    record: Record | None
    has_record: bool
    """The task has a record, readable or not."""
    has_envelope: bool
    task_is_listed: bool
    """The task is listed where its record says."""


def member_target(task_id: str, state: State, rank: int, name: str, *raw: bytes) -> Target:
    return Target(TargetType.MEMBER, task_id, f"{state} {rank} {name}", raw)


def member_parts(target: Target) -> tuple[State, int, str]:
    """Return the state, the rank, and the limit key or group of a member."""
    state, rank, name = target.other.split(" ", 2)
    return State(state), int(rank), name


def _position(record: Record) -> tuple[State, int, str] | None:
    # Where the task belongs according to its record, if in one of these indexes.
    if record.state is State.PENDING and record.limit_key:
        return record.state, record.score, record.limit_key
    if record.state is State.GROUPED:
        return record.state, record.seq, record.group
    return None


def targets_of(queue: QueueState) -> Iterator[Target]:
    for record in queue.records.values():
        if position := _position(record):
            yield member_target(record.id, *position)


def view_of(queue: QueueState, _now: int, target: Target) -> MemberView:
    """Return the view of a member, which exists if the record says so."""
    record, parts = queue.records.get(target.name), member_parts(target)
    there = record is not None and _position(record) == parts
    state, rank, name = parts
    return MemberView(
        target, state, name, rank, 0 if there else None, record, True, True, record is not None
    )


def is_recorded(view: MemberView) -> bool:
    """Return whether this is the member that the task's record names."""
    return view.record is not None and _position(view.record) == (view.state, view.rank, view.name)


def violations_of(view: MemberView) -> Findings:
    """Check that the member is the one that its task's record names."""
    record = view.record
    if view.score is None:
        return
    where = f"is listed as {view.state} at {view.rank} of {view.name!r}"
    if record is None:
        yield 1, f"{where}, and has no readable record"
    elif not is_recorded(view):
        yield 1, f"{where}, and is {record.state} at {record.score}"
    if view.score:
        yield 7, f"{where} out of order, by a score of {view.score}"


def repairs_of(view: MemberView) -> Repairs:
    if view.score is None:
        return
    where = f"{view.state} at {view.rank} of {view.name!r}"
    if is_recorded(view):
        if view.score:
            why = "members that are ordered by bytes have no other"
            yield Action.REINDEX, f"{where}, score {view.score}", "score 0", why
    elif view.task_is_listed:
        yield Action.REINDEX, where, "not there", "the task is listed where its record says"
    elif not view.has_record and not view.has_envelope:
        yield Action.REINDEX, where, "not there", "without a record and a payload there is no task"
