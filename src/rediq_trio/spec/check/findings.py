"""What a check finds: targets, violations, and repairs that need no guess.

A repair sets an index, a count or a dependency to what the records imply. If two records contradict
each other, or a payload is lost, only a person can decide, so there is no repair. Each repair is one
atomic step that checks again before it writes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence

import attrs


class TargetType(enum.StrEnum):
    """The type of a target."""

    QUEUE = "queue"
    """The whole queue, or one of its keys."""
    TASK = "task"
    MEMBER = "index member"
    """A member of an index that is ordered by limit keys or by groups."""
    DEPENDENCY = "dependency"
    """A task, and one that waits for its end."""
    LANE = "lane"
    """A limit key."""
    UNIQUE = "unique"
    """A unique key."""
    GROUP = "group"
    SCHEDULE = "schedule"
    MESSAGE = "message"
    """A message to another queue, in the outbox."""
    ENDING = "ending"
    """The end of a task whose dependents have not all been notified."""
    SENDER = "sender"
    """A queue that sent messages to this one."""


@attrs.frozen
class Target:
    """One part of a queue that is checked."""

    type: TargetType
    name: str
    """A task's id, a limit key, a group and so on; for a dependency, its source."""
    other: str = ""
    """For a dependency, the dependent; for an index member, its state, rank, and key or group."""
    raw: tuple[bytes, ...] = attrs.field(default=(), eq=False, repr=False)
    """The bytes under which a server stores it, if it was read from one."""

    def __str__(self) -> str:
        return f"{self.name} -> {self.other}" if self.type is TargetType.DEPENDENCY else self.name


@attrs.frozen
class Violation:
    """An invariant that does not hold."""

    invariant: int
    """The number of the invariant in `docs/invariants.md`."""
    subject: str
    """The task's id in its queue, or the name of another target; '' for the whole queue. `about` has
    its type."""
    detail: str
    target: Target | None = attrs.field(default=None, repr=False)
    """The part that is wrong; None for the whole queue."""
    queue: str = ""
    """The queue, or the partition, with the violation. `Queue.check` fills it in."""

    @property
    def about(self) -> TargetType:
        """The type of the subject."""
        if self.target is not None:
            return self.target.type
        return TargetType.TASK if self.subject else TargetType.QUEUE

    def __str__(self) -> str:
        what = self.subject or "the queue"
        if self.about not in (TargetType.TASK, TargetType.QUEUE):
            what = f"{self.about} {self.subject!r}"
        return f"invariant {self.invariant}, {what}: {self.detail}"


def violation(invariant: int, target: Target, detail: str) -> Violation:
    """Return a violation of an invariant by one target."""
    return Violation(invariant, str(target), detail, target)


class Action(enum.StrEnum):
    """What a repair does. Repairs are made in this order."""

    PARTITIONS = "partitions"
    PERSIST = "persist"
    SEQ = "seq"
    SENT = "sent"
    LIST = "list"
    UNLIST = "unlist"
    MOVE = "move"
    EXPIRY = "expiry"
    FORGET = "forget"
    REINDEX = "reindex"
    RELINK = "relink"
    FREE = "free"
    PERMITS = "permits"
    LANE = "lane"
    GROUP = "group"
    SCHEDULE = "schedule"
    ENQUEUED = "enqueued"


ORDER = tuple(Action)


@attrs.frozen
class Repair:
    """One thing that can be repaired."""

    what: Action
    target: Target
    before: str
    """The value now."""
    after: str
    """The value after the repair."""
    why: str
    """Why this is no guess."""
    queue: str = ""
    """The queue, or the partition, to repair."""

    @property
    def about(self) -> TargetType:
        """The type of the subject."""
        return self.target.type

    @property
    def subject(self) -> str:
        """The id of a task, or the name of another target."""
        return str(self.target)

    def __str__(self) -> str:
        return f"{self.about} {self.subject!r}: {self.before} -> {self.after} ({self.why})"


Findings = Iterator[tuple[int, str]]
"""What is wrong with one target, or one step: the number of an invariant, and the detail."""
Repairs = Iterator[tuple[Action, str, str, str]]
"""What can be repaired of one target: how, the value now and after, and why this is no guess."""


def left_over(violations: Sequence[Violation], repairs: Sequence[Repair]) -> list[Violation]:
    """Return the violations that none of the repairs is about.

    Wrong totals of a queue are left out too if a part of the queue is repaired, as they follow from it.
    """
    repaired = {(repair.queue, repair.target) for repair in repairs}
    queues = {repair.queue for repair in repairs}
    return [
        one
        for one in violations
        if ((one.queue, one.target) not in repaired if one.target else one.queue not in queues)
    ]
