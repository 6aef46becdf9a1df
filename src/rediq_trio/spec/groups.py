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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heapreplace
from itertools import islice
from types import MappingProxyType
from typing import NamedTuple

import attrs

from rediq_trio.spec.carried import BatchEnvelope, BatchMember
from rediq_trio.spec.change import Change
from rediq_trio.spec.lifecycle import State, Transition
from rediq_trio.spec.messages import Due
from rediq_trio.spec.order.table import Key, Table
from rediq_trio.spec.records import GroupRule, QueueState, Record, by_place, pack_lane
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


def groups(records: Table[Record], rules: Mapping[str, GroupRule]) -> list[Group]:
    """Return the groups that have members, in the order in which they are due."""
    firsts = list(records.heads(by_place, (State.GROUPED,)))
    found = [_group_of(first, records, rules) for first in firsts]
    return sorted(found, key=_due_first)


def _due_first(group: Group) -> tuple[int, bytes]:
    return group.due_ms, group.name.encode()


def _group_of(first: Record, records: Table[Record], rules: Mapping[str, GroupRule]) -> Group:
    prefix, rule = _prefix(first.group), rules.get(first.group)
    size, last = records.count(by_place, prefix), records.last(by_place, prefix) or first
    return Group(first.group, rule, size, due_at(first, last, size, rule))


def _prefix(group: str) -> Key:
    return State.GROUPED, pack_lane(group)


def _group(name: str, records: Table[Record], rules: Mapping[str, GroupRule]) -> Group | None:
    first = records.first(by_place, _prefix(name))
    return None if first is None else _group_of(first, records, rules)


def groups_due_sooner(before: QueueState, after: QueueState) -> list[str]:
    """Return the names of groups that are new, or due sooner than before."""
    if not after.records.count(by_place, (State.GROUPED,)):
        return []
    records = [r for _, *both in before.records.differences(after.records) for r in both if r]
    rules = [group for group, _, _ in before.rules.differences(after.rules)]
    sooner: list[Group] = []
    for name in {*rules, *(record.group for record in records)} - {""}:
        old = _group(name, before.records, before.rules)
        new = _group(name, after.records, after.rules)
        if new and (old is None or new.due_ms < old.due_ms):
            sooner.append(new)
    return [group.name for group in sorted(sooner, key=_due_first)]


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
    news = {
        group: rule
        for group, rule in rules.items()
        if queue.records.first(by_place, _prefix(group)) and queue.rules.get(group) != rule
    }
    change = Change(queue, now)
    change.rules.update(news)
    return change.done(), len(news)


def batch(
    queue: QueueState, now: int, *, ids: Sequence[str], rules: Rules = NO_RULES
) -> tuple[QueueState, Due]:
    """Turn groups that are due into one ready task each, earliest due first, while there are ids.

    `rules` are the caller's, by the name or prefix of the groups. Before a group that is due becomes
    a batch, the caller's rule for it is set, which may make it due later. A group that is still due
    after its batch makes another. An id that exists is skipped.
    """
    change = Change(queue, now)
    heap = [_Waiting(*_due_first(group), group) for group in groups(queue.records, queue.rules)]
    made = changed = 0
    for task_id in ids:
        while heap and heap[0].due_ms <= now and changed < RULES_AT_ONCE:
            first = heap[0].group
            name = matching(rules, first.name)
            if name is None or rules[name] == first.rule:
                break
            change.rules[first.name] = rules[name]
            changed += 1
            _look_again(heap, change)
        if not heap or heap[0].due_ms > now or changed == RULES_AT_ONCE:
            break
        if task_id not in change.records:
            _gather(change, heap[0].group, task_id)
            _look_again(heap, change)
            made += 1
    after = change.done()
    left = groups(after.records, after.rules)
    return after, Due(made, max(0, left[0].due_ms - now) if left else None)


class _Waiting(NamedTuple):
    """A group in a heap, the one that is due first before all others."""

    due_ms: int
    name: bytes
    group: Group


def _look_again(heap: list[_Waiting], change: Change) -> None:
    """Put the group that is first at its new place: its rule has changed, or its members."""
    group = _group(heap[0].group.name, change.records.table, change.rules)
    if group is None:
        heappop(heap)
    else:
        heapreplace(heap, _Waiting(*_due_first(group), group))


def _gather(change: Change, group: Group, task_id: str) -> None:
    members = change.records.table.listed(by_place, _prefix(group.name))
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


def _first_that_fit(members: Iterable[Record], most: int) -> Iterator[Record]:
    size = 0
    for rank, member in enumerate(islice(members, most)):
        size += len(_member(member).envelope)
        if rank and size > MOST_BYTES:
            break
        yield member


def _member(record: Record) -> BatchMember:
    assert isinstance(record.envelope, bytes), "a batch is in no group"
    return BatchMember(**{name: getattr(record, name) for name in MEMBER_FIELDS})
