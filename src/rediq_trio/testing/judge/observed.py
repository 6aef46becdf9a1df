"""What was observed: calls, starts, ends and faults, and what was there at the end.

Instants are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share, so
of two observations it is known which came first. Of what happened inside the server only
bounds are known: a call took effect between its beginning and its answer, a claim before
the start that followed from it, a settlement after the end that it settles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

BY_HAND = ("sentinel-failover",)
"""Faults that put a replica in the place of a master that lives on."""
FORGETTING = ("sentinel-kill", "cluster-kill", *BY_HAND)
"""Faults after which a server goes on that may not have had the newest steps."""

Line = Mapping[str, Any]

SECOND = 1_000_000_000
NEVER = math.inf

REFUSALS = (
    "DuplicateTask",
    "QueueFull",
    "TaskNotFound",
    "ConfigError",
    "PayloadError",
    "PayloadTooLarge",
)
"""What an operation raises when it has changed nothing."""


@attrs.define(eq=False)
class Observation:
    """Something that was seen of a task, at an instant."""

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
    """When it was answered; None while nobody knows what came of it."""
    answer: Any = None
    error: str = ""
    void: bool = False
    """It certainly changed nothing, and told nothing."""

    @property
    def known(self) -> bool:
        """Whether its answer tells what it did."""
        return self.back is not None and not self.error

    @property
    def may_have_happened(self) -> bool:
        return not self.void and (self.back is None or bool(self.error))

    @property
    def created(self) -> bool:
        """Whether it said that it made its task."""
        return self.op == "enqueue" and self.known and bool(self.answer["created"])

    @property
    def holder(self) -> str:
        """The task that an enqueue said to be there; '' when it said nothing."""
        return str(self.answer["id"]) if self.op == "enqueue" and self.known else ""

    def end(self, line: Line) -> None:
        """Take in the line that ends it."""
        if line["e"] == "return":
            self.back, self.answer = line["t"], line["answer"]
            return
        self.error = line["error"]
        known = line.get("id") if self.error == "DuplicateTask" else None
        if self.op == "enqueue" and known:
            self.back, self.answer, self.error = line["t"], {"created": False, "id": known}, ""
        elif self.op != "enqueue" and self.error == "TaskNotFound":
            self.back, self.error = line["t"], ""
        else:
            sent = line.get("sent")
            self.void = self.error in REFUSALS or (self.error == "ConnectionLost" and sent is False)


@attrs.define(eq=False)
class TaskObservation(Observation):
    """A task as it was found, with what tells where it came from."""

    members: tuple[str, ...]
    """Of a batch."""
    schedule: str
    tick: str


@attrs.define(eq=False)
class Start(TaskObservation):
    """A handler that began."""

    fence: int
    attempt: int
    process: str


@attrs.define(eq=False)
class End(Observation):
    """A handler that ended."""

    fence: int
    ended_as: str
    reason: str | None
    process: str
    children: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether its settlement charges the attempt."""
        stopped = self.ended_as == "cancelled" and self.reason in ("timeout", "deadline")
        return self.ended_as in ("raise", "retry", "reject", "timeout") or stopped


@attrs.define(eq=False)
class Fault:
    """A fault, as long as it was in force."""

    kind: str
    target: str
    begin: float
    end: float = NEVER


@attrs.define(eq=False)
class Process:
    """A process, as far as its file tells."""

    name: str
    boot: float
    exit: float | None = None
    stopping: bool = False
    """It was asked to stop in good order, so it may have given back what it ran."""
    last_start: float = -NEVER


@attrs.define(eq=False)
class Final(TaskObservation):
    """A task that was there at the end."""

    state: str
    attempt: int
    deliveries: int
    crashes: int
    snoozes: int


@attrs.define(eq=False)
class ObservedTask:
    """All that was observed of one task."""

    id: str
    calls: list[Call] = attrs.field(factory=list)
    """Those that name it."""
    held: list[Call] = attrs.field(factory=list)
    """Enqueues of others that were told that it holds their unique key."""
    rivals: list[Call] = attrs.field(factory=list)
    """Enqueues of others that were told nothing, and may have taken its place under its key."""
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
        """Give its calls of one kind that may have done something."""
        return [call for call in self.calls if call.op == op and not call.void]

    @property
    def enqueues(self) -> list[Call]:
        """The calls that may have made it: not those that say that they did not."""
        return [call for call in self.of("enqueue") if not call.known or call.created]

    @property
    def orders(self) -> list[Call]:
        """The enqueues that may have said what its options are: its own, and those that may
        have put themselves in its place."""
        return [*self.enqueues, *self.held, *self.rivals]

    @property
    def revived(self) -> bool:
        """Whether a revival may have set its counters back."""
        return bool(self.of("retry"))

    @property
    def args(self) -> Mapping[str, Any]:
        """What its enqueue asked for; nothing for a task that no client has enqueued."""
        for call in (*self.enqueues, *self.of("enqueue")):
            return call.args
        return {}


@attrs.define(eq=False)
class Setup:
    """How the run was set up."""

    limits: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict[str, Mapping[str, Any]])
    schedules: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    lease: float = 30.0
    durability: str = "memory"
    server: str = "plain"


@attrs.define(eq=False)
class Observed:
    """A whole run."""

    setup: Setup = attrs.field(factory=Setup)
    tasks: dict[str, ObservedTask] = attrs.field(factory=dict)
    faults: list[Fault] = attrs.field(factory=list)
    processes: dict[str, Process] = attrs.field(factory=dict)
    queues: list[Line] = attrs.field(factory=list)
    whole: bool = False
    """The state at the end was written down."""
    begun: float = NEVER
    ended: float = 0.0

    def task(self, task_id: str) -> ObservedTask:
        """Give what is known of a task, nothing at first."""
        found = self.tasks.get(task_id)
        if found is None:
            found = self.tasks[task_id] = ObservedTask(task_id)
        return found

    @property
    def forgetful(self) -> bool:
        """Whether a failover may have undone steps: what it may forget is documented, and which
        of a worker's claims and outcomes replicas had confirmed is not observed."""
        return any(fault.kind in FORGETTING for fault in self.faults)

    @property
    def confirmed(self) -> bool:
        """Whether every enqueue that returned outlives the failovers that there were.

        One by hand, while the old master lives on, may take back what one replica has confirmed.
        """
        by_hand = any(fault.kind in BY_HAND for fault in self.faults)
        return self.setup.durability == "replicated" and not by_hand
