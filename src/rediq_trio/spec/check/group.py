"""A group, with its rule and the instant at which it becomes a batch."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation, violation
from rediq_trio.spec.groups import DEFAULT_RULE, due_at
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
    """Return the groups of a queue of the specification."""
    names = [r.group for r in queue.records.values() if r.state is State.GROUPED]
    return (Target(TargetType.GROUP, name) for name in dict.fromkeys([*names, *queue.rules]))


def view_of(queue: QueueState, _now: int, target: Target) -> GroupView:
    """Return the view of a group, whose due time follows from its members and its rule."""
    name, rule = target.name, queue.rules.get(target.name)
    members = [r for r in queue.records.values() if r.state is State.GROUPED and r.group == name]
    members.sort(key=lambda r: r.seq)
    due = due_at(members, rule or DEFAULT_RULE) if members else None
    first, last = (members[0], members[-1]) if members else (None, None)
    return GroupView(target, len(members), rule, rule is not None, due, first, last)


def expected_due_ms(view: GroupView) -> int | None:
    """Return when a group should become a batch; None if a member cannot be read."""
    rule = DEFAULT_RULE if view.rule is None else view.rule
    if view.size >= rule.max_size:
        return 0
    first, last = view.first, view.last
    if first is None or last is None:
        return None
    return min(first.run_ms + rule.max_delay_ms, last.run_ms + rule.grace_ms)


def violations_of(view: GroupView) -> Iterator[Violation]:
    """Check that a group is due when its members and its rule say."""
    target = view.target
    if not view.size:
        if view.due_ms is not None or view.has_rule:
            yield violation(10, target, "is listed, or has a rule, and has no members")
        return
    if view.has_rule and view.rule is None:
        yield violation(10, target, "its rule cannot be read")
        return
    due = expected_due_ms(view)
    if view.due_ms is None:
        yield violation(10, target, "has members and will never become a batch")
    elif due is not None and view.due_ms != due:
        yield violation(10, target, f"becomes a batch at {view.due_ms}, should at {due}")


ACTIONS = frozenset({Action.GROUP})
"""What a repair of a group can do."""


def repairs_of(view: GroupView) -> Iterator[Repair]:
    """Return what can be repaired of a group."""
    if view.has_rule and view.rule is None:
        return
    due = expected_due_ms(view) if view.size else None
    if view.size and due is None and view.due_ms is not None:
        return  # a member that cannot be read is another violation
    if view.due_ms != due or (view.has_rule and not view.size):
        after = f"a batch at {0 if due is None else due}" if view.size else "no group"
        yield Repair(Action.GROUP, view.target, f"listed for {view.due_ms}", after,
                     "it follows from its members and its rule")  # fmt: skip
