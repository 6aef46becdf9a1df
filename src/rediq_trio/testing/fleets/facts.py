"""What happened in a fleet so far, as far as the oracles need it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import attrs

from rediq_trio.handlers.context import CurrentTask
from rediq_trio.settings import Settings
from rediq_trio.spec.records import Record
from rediq_trio.testing.fleets.outages import HostOutages
from rediq_trio.values.telemetry.port import AttemptEnd


@attrs.define(eq=False)
class FleetAttempt:
    """An attempt whose handler was called."""

    task_id: str
    type: str
    host: str
    delivery: int
    begun: float
    lease_end: float
    """When its lease ran out by the store's clock, as the store had it when the attempt began."""
    current: CurrentTask
    ended: float | None = None
    end: AttemptEnd | None = None
    """None while it runs, and for one whose host was killed."""
    percent: float | None = None
    """The progress that it last reported."""

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.ended is None


@attrs.frozen
class LapsedLease:
    """A lease that the store took back because it ran out."""

    queue: str
    record: Record
    """The task before that."""
    claimed: float
    ended: float
    at: float


@attrs.frozen
class GracefulStop:
    """A stop of a server that has come to its end."""

    host: str
    begun: float
    at: float
    left: tuple[str, ...]
    """Tasks that the store has as active on this host."""


@attrs.frozen
class AskedCancel:
    """A task that was active when its cancellation was asked for, a while ago."""

    task_id: str
    asked: float
    at: float


@attrs.frozen
class AnsweredWait:
    """The end of a task, and when a client that waited for it heard of it."""

    task_id: str
    client: str
    ended: float
    at: float


@attrs.frozen
class KeptProgress:
    """What the store keeps of the progress of a task that has just completed."""

    attempt: FleetAttempt
    percent: float | None
    at: float


@attrs.frozen
class SettledOutcome:
    """An outcome that a host wrote, and the task before and after that."""

    task_id: str
    host: str
    delivery: int
    nonce: bytes
    before: Record
    after: Record
    held: bool | None
    """Whether the lease was still in the host's table; None if that cannot be known."""


@attrs.frozen
class HostLoad:
    """How much a host has at once."""

    host: str
    leases: int
    """Active tasks of the host in the store, whose claims it has heard of."""
    running: int
    leases_most: int
    running_most: int
    at: float


class FleetFacts:
    """The facts of one run. Only the fleet that runs adds to them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.outages: dict[str, HostOutages] = defaultdict(HostOutages)
        self.stood_still: dict[str, HostOutages] = defaultdict(HostOutages)
        """When hosts were frozen, which are outages too."""
        self.born: dict[str, float] = {}
        """When each host came up."""
        self.servers: dict[str, None] = {}
        """The hosts that are or were servers."""
        self.stopping: dict[str, float] = {}
        """When each host began to stop."""
        self.attempts: dict[str, list[FleetAttempt]] = defaultdict(list)
        """Attempts by task, in the order in which they began."""
        self.by_host: dict[str, dict[FleetAttempt, None]] = defaultdict(dict)
        """The attempts that run on each host."""
        self.failovers: list[float] = []

    def forgotten_since(self, since: float) -> bool:
        """Return whether the store forgot something at any instant from `since` on."""
        return any(at >= since for at in self.failovers)

    def begin(self, attempt: FleetAttempt) -> None:
        """Add an attempt that begins."""
        self.attempts[attempt.task_id].append(attempt)
        self.by_host[attempt.host][attempt] = None

    def end(self, attempt: FleetAttempt, end: AttemptEnd | None, at: float) -> None:
        """Note that an attempt has ended; None if its host was killed."""
        if attempt.ended is None:
            attempt.ended, attempt.end = at, end
            self.by_host[attempt.host].pop(attempt, None)

    def attempt_of(self, task_id: str, delivery: int, host: str) -> FleetAttempt | None:
        """Return the attempt of a delivery on a host; None if it did not begin."""
        for attempt in reversed(self.attempts.get(task_id, ())):
            if attempt.delivery == delivery and attempt.host == host:
                return attempt
        return None

    def healthy_servers(self, since: float, until: float) -> Iterator[str]:
        """Return the servers that were up between two instants, and not out at any."""
        for host in self.servers:
            born, stopping = self.born[host], self.stopping.get(host)
            there = born <= since and (stopping is None or stopping > until)
            if there and not self.outages[host].any_since(since, until):
                yield host
