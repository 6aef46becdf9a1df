"""How tasks that wait in a group become a batch: one task that holds them.

A group is due when it is full, when no member has come for a while, or when its
first member has waited long enough. A batch takes its oldest members out and comes
in as a ready task in the same step, so each is in exactly one batch, or still in
its group. What a batch holds can be no more than one script may carry: `MOST_BYTES`.

Waiting counts from `run_ms`, the enqueue or the last revival. Members stand in the
order of their `seq`, so the first is the one that waits longest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from rediq_trio.spec.carried import BatchEnvelope, BatchMember
from rediq_trio.spec.change import Change
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import Due
from rediq_trio.spec.records import GroupRule, QueueState, Record

DEFAULT_RULE = GroupRule()
"""Of a group that was given none."""
MOST_BYTES = 8 * 1024 * 1024
"""Of the envelopes in one batch, unless a single one is larger."""


@attrs.frozen
class Group:
    """A group that has members."""

    name: str
    rule: GroupRule | None
    """The one that it was given."""
    size: int
    due_ms: int
    """When it becomes a batch; 0 when it is full."""


def due_at(members: Sequence[Record], rule: GroupRule) -> int:
    """Give when the members, in their order, become a batch; 0 when there are enough."""
    if len(members) >= rule.max_size:
        return 0
    return min(members[0].run_ms + rule.max_delay_ms, members[-1].run_ms + rule.grace_ms)


def groups(records: Iterable[Record], rules: Mapping[str, GroupRule]) -> list[Group]:
    """Give the groups with members, the one that is due first before the others."""
    found = [
        Group(name, rules.get(name), len(members), due_at(members, rules.get(name, DEFAULT_RULE)))
        for name, members in _by_group(records).items()
    ]
    return sorted(found, key=lambda group: (group.due_ms, group.name.encode()))


def _by_group(records: Iterable[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in sorted((r for r in records if r.state is State.GROUPED), key=lambda r: r.seq):
        found.setdefault(record.group, []).append(record)
    return found


def sooner(before: QueueState, after: QueueState) -> list[str]:
    """Name the groups that are new, or due sooner than they were."""
    was = {group.name: group.due_ms for group in groups(before.records.values(), before.rules)}
    found = groups(after.records.values(), after.rules)
    return [group.name for group in found if group.due_ms < was.get(group.name, sys.maxsize)]


def matching(names: Iterable[str], group: str) -> str | None:
    """Give which of the names is meant for a group: its own, or the longest prefix (`"user:*"`)."""
    fit = [n for n in names if n == group or (n[-1:] == "*" and group.startswith(n[:-1]))]
    return max(fit, key=lambda name: (name == group, len(name)), default=None)


def set_group_rules(
    queue: QueueState, now: int, *, rules: Mapping[str, GroupRule]
) -> tuple[QueueState, int]:
    """Give groups their rules; say how many had another one, or none.

    A group without members is none: its first member comes under the default.
    """
    there = _by_group(queue.records.values())
    news = {
        group: rule
        for group, rule in rules.items()
        if group in there and queue.rules.get(group) != rule
    }
    return attrs.evolve(queue, rules={**queue.rules, **news}), len(news)


def batch(queue: QueueState, now: int, *, ids: Sequence[str]) -> tuple[QueueState, Due]:
    """Make of groups that are due one ready task each, earliest due first, while there are ids.

    A group that is still due comes again. An id that exists is passed over.
    """
    change = Change(queue, now)
    made = 0
    for task_id in ids:
        first = next(iter(_due_groups(change)), None)
        if first is None:
            break
        if task_id not in change.records:
            _gather(change, first, task_id)
            made += 1
    after = change.done()
    left = groups(after.records.values(), after.rules)
    return after, Due(made, max(0, left[0].due_ms - now) if left else None)


def _due_groups(change: Change) -> Iterator[Group]:
    for group in groups(change.records.values(), change.queue.rules):
        if group.due_ms <= change.now:
            yield group


def _gather(change: Change, group: Group, task_id: str) -> None:
    members = _by_group(change.records.values())[group.name]
    taken = list(_first_that_fit(members, (group.rule or DEFAULT_RULE).max_size))
    for member in taken:
        change.remove(Transition.BATCH, member)
    change.count("batched", len(taken))
    record = Record(
        id=task_id,
        envelope=BatchEnvelope(group.name, tuple(map(_member, taken))),
        state=State.PENDING,
        priority=min(member.priority for member in taken),
        max_retry=max(member.max_retry for member in taken),
        max_crashes=max(member.max_crashes for member in taken),
        retention_ms=max(member.retention_ms for member in taken),
        created_ms=change.now,
        run_ms=change.now,
    )
    change.add(record, State.PENDING, Transition.BATCH, seq=change.next_seq())


def _first_that_fit(members: Sequence[Record], most: int) -> Iterator[Record]:
    size = 0
    for rank, member in enumerate(members[:most]):
        size += len(_member(member).envelope)
        if rank and size > MOST_BYTES:
            break
        yield member


def _member(record: Record) -> BatchMember:
    assert isinstance(record.envelope, bytes), "a batch is in no group"
    return BatchMember(
        record.id,
        record.envelope,
        record.priority,
        record.max_retry,
        record.max_crashes,
        record.retention_ms,
    )
