"""How the tasks of a group become a batch: one task that holds them.

A group is due when it is full, when no member has come for a while, or when its first member has
waited long enough. Until it has a rule, the default one applies, except that a full group waits for
the default grace first: a worker that has a rule for it sets that before. One step removes the
oldest members from their group and adds the batch as a ready task, so each member is in exactly one
batch, or still in its group. `MOST_BYTES` bounds a batch.

Waiting counts from `run_ms`, which is the enqueue or the last revival. Members are ordered by
`seq`, so the first one has waited longest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import attrs

from rediq_trio.spec.carried import BatchEnvelope, BatchMember
from rediq_trio.spec.change import Change
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import Due
from rediq_trio.spec.records import GroupRule, QueueState, Record
from rediq_trio.spec.stored_format import MEMBER_FIELDS

DEFAULT_RULE = GroupRule()
"""The rule of a group that was given none; such a group is not due before its first member has waited
for the grace."""
Rules = Mapping[str, GroupRule]
"""Rules by the names of groups."""
NO_RULES: Rules = MappingProxyType({})
MOST_BYTES = 8 * 1024 * 1024
"""Bytes of the envelopes in one batch, at most, unless a single one is larger."""
RULES_AT_ONCE = 500
"""Groups whose rule one `batch` changes, at most."""


@attrs.frozen
class Group:
    """A group that has members."""

    name: str
    rule: GroupRule | None
    """The rule that it was given; None for none."""
    size: int
    due_ms: int
    """When the group becomes a batch; 0 when it has a rule and is full."""


def due_at(first: Record, last: Record, size: int, rule: GroupRule | None) -> int:
    """Return when a group of so many members becomes a batch; 0 when its rule says that it is full."""
    found = DEFAULT_RULE if rule is None else rule
    if size >= found.max_size:
        return 0 if rule is not None else first.run_ms + found.grace_ms
    return min(first.run_ms + found.max_delay_ms, last.run_ms + found.grace_ms)


def groups(records: Iterable[Record], rules: Mapping[str, GroupRule]) -> list[Group]:
    """Return the groups that have members, in the order in which they are due."""
    found = [_group(name, members, rules.get(name)) for name, members in _by_group(records).items()]
    return sorted(found, key=lambda group: (group.due_ms, group.name.encode()))


def _group(name: str, members: Sequence[Record], rule: GroupRule | None) -> Group:
    size = len(members)
    return Group(name, rule, size, due_at(members[0], members[-1], size, rule))


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


def batch(
    queue: QueueState, now: int, *, ids: Sequence[str], rules: Rules = NO_RULES
) -> tuple[QueueState, Due]:
    """Turn groups that are due into one ready task each, earliest due first, while there are ids.

    `rules` are the caller's, by the name or prefix of the groups. Before a group that is due becomes
    a batch, the caller's rule for it is set, which may make it due later. A group that is still due
    after its batch makes another. An id that exists is skipped.
    """
    change = Change(queue, now)
    made = changed = 0
    for task_id in ids:
        first = _first_due(change)
        while first is not None and changed < RULES_AT_ONCE:
            name = matching(rules, first.name)
            if name is None or rules[name] == first.rule:
                break
            change.rules[first.name] = rules[name]
            changed += 1
            first = _first_due(change)
        if first is None or changed == RULES_AT_ONCE:
            break
        if task_id not in change.records:
            _gather(change, first, task_id)
            made += 1
    after = change.done()
    left = groups(after.records.values(), after.rules)
    return after, Due(made, max(0, left[0].due_ms - now) if left else None)


def _first_due(change: Change) -> Group | None:
    first = next(iter(groups(change.records.values(), change.rules)), None)
    return None if first is None or first.due_ms > change.now else first


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
    return BatchMember(**{name: getattr(record, name) for name in MEMBER_FIELDS})
