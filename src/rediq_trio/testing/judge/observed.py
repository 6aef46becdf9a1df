"""Observations of a run: calls, starts, ends, faults, and the tasks at the end.

Instants are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share, so the order of
two observations is known. For what happened in the server, only bounds are known: a call took effect
between its begin and its answer, a claim before the start that followed, a settlement after the end
of its attempt.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from rediq_trio.store.retrying import RETRY_PAUSE_MIN

BY_HAND = ("sentinel-failover",)
"""Failovers by hand: the old master keeps running."""
FORGETTING = ("sentinel-kill", "cluster-kill", *BY_HAND)
"""Faults with a failover, after which the new master may lack the newest writes."""

Line = Mapping[str, Any]

SECOND = 1_000_000_000
HURRYING = ("retry", "run_now", "reschedule")
"""Operations after which a task may be due earlier than its enqueue said."""
REPEATED = frozenset({"cancel", "delete", "update", "requeue", *HURRYING})
"""Operations that a client repeats by itself when their answer is lost."""
NEVER = math.inf

REFUSALS = (
    "DuplicateTask",
    "QueueFull",
    "TaskNotFound",
    "ConfigError",
    "PayloadError",
    "PayloadTooLarge",
)
"""Names of errors that an operation raises only if it has changed nothing."""
STATE_REFUSALS = ("TaskStateError", "TaskChanged")
"""The same, unless a first call may have been lost and repeated: it may have changed the state."""


@attrs.define(eq=False)
class Observation:
    """An observation of one task, at an instant."""

    id: str
    at: float


@attrs.define(eq=False)
class Call(Observation):
    """One operation of a client."""

    client: str
    number: int
    op: str
    args: Mapping[str, Any]
    back: float | None = None
    """When the answer came; None if there was none, so that its effect is unknown."""
    answer: Any = None
    error: str = ""
    void: bool = False
    """Whether it certainly changed nothing, and its answer says nothing of the task."""

    @property
    def known(self) -> bool:
        """Whether its answer says what it did."""
        return self.back is not None and not self.error

    @property
    def may_be_repeated(self) -> bool:
        """Whether a first call with the same effect may have been lost and repeated by the client."""
        return (
            self.op in REPEATED
            and self.known
            and not self.void
            and self.back is not None
            and self.back - self.at >= RETRY_PAUSE_MIN * SECOND
        )

    @property
    def may_have_happened(self) -> bool:
        return not self.void and (self.back is None or bool(self.error))

    @property
    def created(self) -> bool:
        """Whether its answer says that it created its task."""
        return self.op == "enqueue" and self.known and bool(self.answer["created"])

    @property
    def holder(self) -> str:
        """The task that the answer of an enqueue names; '' for no answer."""
        return str(self.answer["id"]) if self.op == "enqueue" and self.known else ""

    def end(self, line: Line) -> None:
        """Add the line that ends the call."""
        if line["e"] == "return":
            self.back, self.answer = line["t"], line["answer"]
            return
        self.error = line["error"]
        known = line.get("id") if self.error == "DuplicateTask" else None
        if self.op == "enqueue" and known:
            self.back, self.answer, self.error = line["t"], {"created": False, "id": known}, ""
        elif self.op != "enqueue" and self.error == "TaskNotFound":
            self.back, self.error = line["t"], ""
        elif self.error in STATE_REFUSALS:
            self.void = line["t"] - self.at < RETRY_PAUSE_MIN * SECOND
        else:
            sent = line.get("sent")
            self.void = self.error in REFUSALS or (self.error == "ConnectionLost" and sent is False)


@attrs.define(eq=False)
class SeenTask(Observation):
    """A task as it was seen, with its origin."""

    members: tuple[str, ...]
    """The members, if it is a batch."""
    schedule: str
    tick: str
    origin: str
    """The task that it was at first, which may have been moved; '' if that is not recorded."""

    @property
    def moved_from(self) -> str:
        """The task that was moved and is this one now; '' for one that was not moved."""
        return self.origin if self.origin != self.id else ""


@attrs.define(eq=False)
class Start(SeenTask):
    """The start of a handler."""

    fence: int
    attempt: int
    process: str


@attrs.define(eq=False)
class End(Observation):
    """The end of a handler."""

    fence: int
    ended_as: str
    reason: str | None
    process: str
    children: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether its settlement counts the attempt."""
        stopped = self.ended_as == "cancelled" and self.reason in ("timeout", "deadline")
        return self.ended_as in ("raise", "retry", "reject", "timeout") or stopped


@attrs.define(eq=False)
class PlacedFault:
    """A fault, with the time that it lasted."""

    kind: str
    target: str
    begin: float
    end: float = NEVER


@attrs.define(eq=False)
class Process:
    """A process, as its file describes it."""

    name: str
    boot: float
    exit: float | None = None
    stopping: bool = False
    """Whether it was asked to stop, so that it may have released the tasks that it ran."""
    last_start: float = -NEVER


@attrs.define(eq=False)
class Final(SeenTask):
    """A task that existed at the end."""

    state: str
    attempt: int
    deliveries: int
    crashes: int
    snoozes: int


@attrs.define(eq=False)
class ObservedTask:
    """All observations of one task."""

    id: str
    calls: list[Call] = attrs.field(factory=list)
    """The calls with this task's id."""
    held: list[Call] = attrs.field(factory=list)
    """Enqueues of other tasks whose answer named this one as the holder of their unique key."""
    rivals: list[Call] = attrs.field(factory=list)
    """Enqueues of other tasks without an answer, which may have replaced this one under its key."""
    starts: list[Start] = attrs.field(factory=list)
    ends: list[End] = attrs.field(factory=list)
    finals: list[Final] = attrs.field(factory=list)

    @property
    def final(self) -> Final | None:
        return self.finals[0] if self.finals else None

    @property
    def queue(self) -> str:
        return self.id.partition("/")[0]

    def of(self, op: str) -> list[Call]:
        """Return its calls of one operation that may have had an effect."""
        return [call for call in self.calls if call.op == op and not call.void]

    @property
    def enqueues(self) -> list[Call]:
        """The enqueues that may have created it."""
        return [call for call in self.of("enqueue") if not call.known or call.created]

    @property
    def orders(self) -> list[Call]:
        """The enqueues that may have set its options: its own, and those that may have replaced it."""
        return [*self.enqueues, *self.held, *self.rivals]

    @property
    def revived(self) -> bool:
        """Whether a revival may have reset its counters."""
        return bool(self.of("retry"))

    @property
    def hurried(self) -> list[Call]:
        """The calls that may have made it due earlier than its enqueue said."""
        return [call for op in HURRYING for call in self.of(op)]

    @property
    def args(self) -> Mapping[str, Any]:
        """The arguments of its enqueue; empty for a task that no client enqueued."""
        for call in (*self.enqueues, *self.of("enqueue")):
            return call.args
        return {}


@attrs.define(eq=False)
class Setup:
    """The configuration of a run."""

    limits: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict[str, Mapping[str, Any]])
    schedules: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    lease: float = 30.0
    durability: str = "memory"
    server: str = "plain"


@attrs.define(eq=False)
class Observed:
    """All observations of a run."""

    setup: Setup = attrs.field(factory=Setup)
    tasks: dict[str, ObservedTask] = attrs.field(factory=dict)
    faults: list[PlacedFault] = attrs.field(factory=list)
    processes: dict[str, Process] = attrs.field(factory=dict)
    queues: list[Line] = attrs.field(factory=list)
    complete: bool = False
    """Whether the state at the end was recorded."""
    begun: float = NEVER
    ended: float = 0.0

    def task(self, task_id: str) -> ObservedTask:
        """Return the observations of a task, empty for a new one."""
        found = self.tasks.get(task_id)
        if found is None:
            found = self.tasks[task_id] = ObservedTask(task_id)
        return found

    @property
    def forgetful(self) -> bool:
        """Whether a failover may have lost writes.

        What a failover may lose is documented. Whether replicas had confirmed a worker's claims and
        outcomes is not observed.
        """
        return any(fault.kind in FORGETTING for fault in self.faults)

    @property
    def confirmed(self) -> bool:
        """Whether every enqueue that returned must survive the failovers of the run.

        A failover by hand, while the old master keeps running, may lose what one replica confirmed.
        """
        by_hand = any(fault.kind in BY_HAND for fault in self.faults)
        return self.setup.durability == "replicated" and not by_hand
