"""A group, with its rule and the instant at which it becomes a batch."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
from rediq_trio.spec.groups import due_at
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import GroupRule, QueueState, Record


@attrs.frozen
class GroupView:
    """A group."""

    target: Target
    size: int
    rule: GroupRule | None
    """The rule that it was given; None for none, or for one that cannot be read."""
    has_rule: bool
    due_ms: int | None
    """When the group becomes a batch, according to `groups`."""
    first: Record | None
    last: Record | None


def targets_of(queue: QueueState) -> Iterator[Target]:
    names = [r.group for r in queue.records.values() if r.state is State.GROUPED]
    return (Target(TargetType.GROUP, name) for name in dict.fromkeys([*names, *queue.rules]))


def view_of(queue: QueueState, _now: int, target: Target) -> GroupView:
    """Return the view of a group, whose due time follows from its members and its rule."""
    name, rule = target.name, queue.rules.get(target.name)
    members = [r for r in queue.records.values() if r.state is State.GROUPED and r.group == name]
    members.sort(key=lambda r: r.seq)
    first, last = (members[0], members[-1]) if members else (None, None)
    view = GroupView(target, len(members), rule, rule is not None, None, first, last)
    return attrs.evolve(view, due_ms=expected_due_ms(view))


def expected_due_ms(view: GroupView) -> int | None:
    """Return when a group should become a batch; None if a member cannot be read."""
    if view.rule is not None and view.size >= view.rule.max_size:
        return 0
    if view.first is None or view.last is None:
        return None
    return due_at(view.first, view.last, view.size, view.rule)


def violations_of(view: GroupView) -> Findings:
    """Check that a group is due when its members and its rule say."""
    if not view.size:
        if view.due_ms is not None or view.has_rule:
            yield 10, "is listed, or has a rule, and has no members"
        return
    if view.has_rule and view.rule is None:
        yield 10, "its rule cannot be read"
        return
    due = expected_due_ms(view)
    if view.due_ms is None:
        yield 10, "has members and will never become a batch"
    elif due is not None and view.due_ms != due:
        yield 10, f"becomes a batch at {view.due_ms}, should at {due}"


def repairs_of(view: GroupView) -> Repairs:
    if view.has_rule and view.rule is None:
        return
    due = expected_due_ms(view) if view.size else None
    if view.size and due is None and view.due_ms is not None:
        return  # a member that cannot be read is another violation
    if view.due_ms != due or (view.has_rule and not view.size):
        after = f"a batch at {0 if due is None else due}" if view.size else "no group"
        why = "it follows from its members and its rule"
        yield Action.GROUP, f"listed for {view.due_ms}", after, why
