"""What a check looks at besides single tasks, each as it can be read in one atomic step.

A `Subject` names one thing in a queue's structures; its picture holds all that is kept
of it and all that it must agree with. `spec.structures` says what is wrong in a picture,
`spec.repairs` what can be put right without guessing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Ending, GroupRule, Limit, Mail, Record, Schedule


class Kind(enum.StrEnum):
    """What a subject is."""

    QUEUE = "queue"
    """The queue as a whole; or one of its keys."""
    TASK = "task"
    SEAT = "seat"
    """A member of an index that is ordered by limit keys or by groups."""
    TIE = "tie"
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
    """Of a task, while some that wait for it have not been told."""
    SENDER = "sender"
    """A queue that sent messages to this one."""


@attrs.frozen
class Subject:
    """One thing in a queue's structures."""

    kind: Kind
    name: str
    """A task's id, a limit key, a group ...; of a tie the task that is waited for."""
    other: str = ""
    """Of a tie the task that waits; of a seat its index, place and name."""
    raw: tuple[bytes, ...] = attrs.field(default=(), eq=False, repr=False)
    """What a server stores it by, where it has been read from one."""

    def __str__(self) -> str:
        return f"{self.name} -> {self.other}" if self.kind is Kind.TIE else self.name


@attrs.frozen
class Picture:
    """One task with all that mentions it. Its record is without what only handlers read."""

    id: str
    record: Record | None
    """None when there is no record, or it cannot be decoded."""
    indexes: Mapping[State, int]
    """The indexes that list the task, with its score in each."""
    expiring: int | None
    """Its score in the index of tasks that expire; None when not listed."""
    has_envelope: bool = True
    """Whether its payload is there."""
    needs: int = 0
    """How many tasks it is listed to wait for."""
    holder: str | None = None
    """The holder of its unique key."""
    kept: frozenset[str] = frozenset()
    """Which of its result, progress, inputs and steps are there."""
    unreadable: bool = False
    """There is a record, and it cannot be decoded."""
    newer: int = 0
    """The layout of its record where a newer version wrote it, else 0."""


CONTENTS = ("result", "progress", "inputs", "steps")
"""What a queue keeps of a task beside its record and its payload."""


@attrs.frozen
class SeatPicture:
    """A member of `keyed` or `grouped`."""

    subject: Subject
    state: State
    """The one that being listed there means."""
    name: str
    """The limit key, or the group."""
    place: int
    """-1 when the member cannot be read."""
    score: int | None
    """None: it is not there any more. Members ordered by bytes have the score 0."""
    record: Record | None
    has_record: bool
    has_envelope: bool
    settled: bool
    """The task is listed where its record says."""


@attrs.frozen
class TiePicture:
    """A task and one that waits for it. What is in another queue cannot be seen."""

    subject: Subject
    edge: bool
    """The first knows of the second."""
    need: bool
    """The second knows of the first."""
    source: Record | None
    dependent: Record | None
    has_source: bool
    """There is a record of the first, readable or not."""
    needs: int
    """How many tasks the second is listed to wait for."""
    ending: bool | None
    """The end of the first is still to be told; None when that cannot be told at once."""
    abroad: bool
    """One of the two is in another queue."""


@attrs.frozen
class LanePicture:
    """A limit key, '' for the tasks without one."""

    subject: Subject
    now_ms: int
    fair: bool
    turn_now: int
    """Of the last claim."""
    first: int | None
    """Place of its first pending task; None without one."""
    open: int | None
    """Its score in `lanes`; None when it is not there."""
    shut: float | None
    """When it opens, in ms or infinity; None when it is not shut."""
    turn: int | None
    permits: int
    active: int | None
    """How many tasks of it are active; None where they are too many to be counted at once."""
    limit: Limit | None
    """The one that holds for it; None when that cannot be read."""
    arrival_us: int | None


@attrs.frozen
class KeyPicture:
    """A unique key."""

    subject: Subject
    holder: str | None
    till_ms: int | None
    """When its window ends by time."""
    record: Record | None
    """Of its holder."""
    has_record: bool


@attrs.frozen
class GroupPicture:
    """A group."""

    subject: Subject
    size: int
    rule: GroupRule | None
    """The one that it was given; None for none, or for one that cannot be read."""
    has_rule: bool
    due_ms: int | None
    """When it is listed to become a batch."""
    first: Record | None
    last: Record | None


@attrs.frozen
class SchedulePicture:
    """A schedule."""

    subject: Subject
    schedule: Schedule | None
    has_schedule: bool
    tick_ms: int | None
    revision: int
    """The last that was given."""


@attrs.frozen
class LetterPicture:
    """What goes between queues, and what is left to be told."""

    subject: Subject
    last: int
    """The number of the last that was given."""
    items: tuple[Mail | Ending | int | None, ...]
    """What is there by its number; None for what cannot be read."""
    numbers: tuple[int, ...]
    """What each says its number is."""


Sight = (
    Picture | SeatPicture | TiePicture | LanePicture | KeyPicture | GroupPicture | SchedulePicture
    | LetterPicture
)  # fmt: skip


@attrs.frozen
class Shape:
    """The keys below the queue's own prefix, as a server has them."""

    mortal: tuple[str, ...] = ()
    """Keys of the queue that carry a TTL."""
    strays: tuple[str, ...] = ()
    """Keys that no queue has."""
    odd: tuple[str, ...] = ()
    """Keys that hold another type of value than theirs, with what it is."""
