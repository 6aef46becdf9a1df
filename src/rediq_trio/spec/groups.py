"""How the tasks of a group become a batch: one task that holds them.

A group is due when it is full, when no member has come for a while, or when its first member has
waited long enough. One step removes the oldest members from their group and adds the batch as a
ready task, so each member is in exactly one batch, or still in its group. `MOST_BYTES` bounds a
batch.

Waiting counts from `run_ms`, which is the enqueue or the last revival. Members are ordered by
`seq`, so the first one has waited longest.
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
"""The rule of a group that was given none."""
MOST_BYTES = 8 * 1024 * 1024
"""Bytes of the envelopes in one batch, at most, unless a single one is larger."""


@attrs.frozen
class Group:
    """A group that has members."""

    name: str
    rule: GroupRule | None
    """The rule that it was given; None for none."""
    size: int
    due_ms: int
    """When the group becomes a batch; 0 when it is full."""


def due_at(members: Sequence[Record], rule: GroupRule) -> int:
    """Return when members, in their order, become a batch; 0 when there are enough."""
    if len(members) >= rule.max_size:
        return 0
    return min(members[0].run_ms + rule.max_delay_ms, members[-1].run_ms + rule.grace_ms)


def groups(records: Iterable[Record], rules: Mapping[str, GroupRule]) -> list[Group]:
    """Return the groups that have members, in the order in which they are due."""
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


def groups_due_sooner(before: QueueState, after: QueueState) -> list[str]:
    """Return the names of groups that are new, or due sooner than before."""
    was = {group.name: group.due_ms for group in groups(before.records.values(), before.rules)}
    found = groups(after.records.values(), after.rules)
    return [group.name for group in found if group.due_ms < was.get(group.name, sys.maxsize)]


def matching(names: Iterable[str], group: str) -> str | None:
    """Return the name that applies to a group: its own, else the longest prefix (`"user:*"`)."""
    fit = [n for n in names if n == group or (n[-1:] == "*" and group.startswith(n[:-1]))]
    return max(fit, key=lambda name: (name == group, len(name)), default=None)


def set_group_rules(
    queue: QueueState, now: int, *, rules: Mapping[str, GroupRule]
) -> tuple[QueueState, int]:
    """Set the rules of groups; return how many rules this changed.

    A group without members keeps no rule: its first member comes under the default.
    """
    there = _by_group(queue.records.values())
    news = {
        group: rule
        for group, rule in rules.items()
        if group in there and queue.rules.get(group) != rule
    }
    return attrs.evolve(queue, rules={**queue.rules, **news}), len(news)


def batch(queue: QueueState, now: int, *, ids: Sequence[str]) -> tuple[QueueState, Due]:
    """Turn groups that are due into one ready task each, earliest due first, while there are ids.

    A group that is still due after that makes another batch. An id that exists is skipped.
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
