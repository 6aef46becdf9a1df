"""What a check names and finds: its targets, the violations, and the repairs that need no guess.

A repair makes an index, a count or a link what follows from the records; where two records
contradict each other, or a payload is gone, only a person can say what is true. Each repair
is one atomic step that looks again before it writes.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import attrs


class TargetType(enum.StrEnum):
    """What a target is."""

    QUEUE = "queue"
    """The queue as a whole; or one of its keys."""
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
    """To another queue, in the outbox."""
    ENDING = "ending"
    """The end of a task of which some dependents have not been notified."""
    SENDER = "sender"
    """A queue that sent messages to this one."""


@attrs.frozen
class Target:
    """One thing in a queue."""

    type: TargetType
    name: str
    """A task's id, a limit key, a group ...; of a dependency the task that is waited for."""
    other: str = ""
    """Of a dependency the task that waits; of an index member its state, rank and key or group."""
    raw: tuple[bytes, ...] = attrs.field(default=(), eq=False, repr=False)
    """The bytes that a server stores it by, where it was read from one."""

    def __str__(self) -> str:
        return f"{self.name} -> {self.other}" if self.type is TargetType.DEPENDENCY else self.name


@attrs.frozen
class Violation:
    """An invariant that does not hold."""

    invariant: int
    """Its number in the contract."""
    subject: str
    """The task's id within its queue, '' for the queue as a whole; or the name of what `about`
    says."""
    detail: str
    target: Target | None = attrs.field(default=None, repr=False)
    """What is wrong; None for the queue as a whole."""
    queue: str = ""
    """The queue, or the partition, that it is in, as `Queue.check` fills it in."""

    @property
    def about(self) -> TargetType:
        """What the subject is."""
        if self.target is not None:
            return self.target.type
        return TargetType.TASK if self.subject else TargetType.QUEUE

    def __str__(self) -> str:
        what = self.subject or "the queue"
        if self.about not in (TargetType.TASK, TargetType.QUEUE):
            what = f"{self.about} {self.subject!r}"
        return f"invariant {self.invariant}, {what}: {self.detail}"


def violation(invariant: int, target: Target, detail: str) -> Violation:
    """Return a violation by one target."""
    return Violation(invariant, str(target), detail, target)


class Action(enum.StrEnum):
    """What a repair does. In the order in which repairs are made."""

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
    """What is there now."""
    after: str
    """What will be there."""
    why: str
    """Why that is no guess."""
    queue: str = ""
    """The queue, or the partition, that it is in."""

    @property
    def about(self) -> TargetType:
        """What the subject is."""
        return self.target.type

    @property
    def subject(self) -> str:
        """The id of a task, or the name of what `about` says."""
        return str(self.target)

    def __str__(self) -> str:
        return f"{self.about} {self.subject!r}: {self.before} -> {self.after} ({self.why})"


def left_over(violations: Sequence[Violation], repairs: Sequence[Repair]) -> list[Violation]:
    """Return the violations that none of the repairs is about.

    Sums over a queue that do not add up only follow from what is wrong with its parts.
    """
    repaired = {(repair.queue, repair.target) for repair in repairs}
    queues = {repair.queue for repair in repairs}
    return [
        one
        for one in violations
        if ((one.queue, one.target) not in repaired if one.target else one.queue not in queues)
    ]
