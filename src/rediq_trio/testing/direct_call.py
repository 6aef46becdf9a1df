"""Handlers called directly, without a worker, as if one ran their task.

The task is a real one: it was enqueued, claimed, and failed as often as was asked, by the rules of the
queue, in a store in memory of its own. So what the handler reads and writes of it answers as in a
worker. Nothing ends the call: no timeout, no lease.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.client import Client
from rediq_trio.handlers.context import CURRENT, CurrentTask, WorkerServices
from rediq_trio.handlers.lifespan import Lifespans
from rediq_trio.handlers.running_attempt import RunningAttempt
from rediq_trio.spec.claim import claim
from rediq_trio.spec.intake import enqueue
from rediq_trio.spec.messages import NO_RELATIONS, Failed, Lease, NewTask
from rediq_trio.spec.records import QueueState
from rediq_trio.spec.settle import settle
from rediq_trio.spec.upkeep import promote
from rediq_trio.store.memory import MemoryStore
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.bounds import MAX_PAYLOAD, check_number
from rediq_trio.values.chance import entropy, wall
from rediq_trio.values.task import Task
from rediq_trio.wire.envelope import Envelope, open_envelope, pack_value
from rediq_trio.wire.structuring import NO_CONVERTERS, Conversions
from rediq_trio.worker.leases import HeldLease, LeaseTable, Reason

R = TypeVar("R")

TESTED_ATTEMPT_MAX = 1000
"""Maximum number of an attempt that is called directly."""
_LEASE_MS = 24 * 3600 * 1000
_CLEANUP_GRACE = 5.0
_NO_STATE = object()


@attrs.frozen(eq=False)
class _GivenState(Lifespans):
    """The state that a test gives, for each app."""

    given: Any = _NO_STATE

    def state_of_task(self, type_name: str, group: str | None) -> Any:
        return self._state()

    def state_of_app(self, app: object, name: str) -> Any:
        return self._state()

    def _state(self) -> Any:
        if self.given is _NO_STATE:
            raise ConfigError("state: the test gave none: call running(task, state=...)")
        return self.given


@attrs.define(eq=False)
class _OpenedTask:
    """The task of a direct call, as its handler sees it."""

    envelope: Envelope
    group: str | None = None
    members: tuple[str, ...] = ()
    conversions: Conversions = NO_CONVERTERS


class DirectTask(CurrentTask):
    """What `current_task()` returns in a direct call, and what its handler did with it."""

    __slots__ = ("children", "reports")

    def __init__(self, services: WorkerServices, attempt: RunningAttempt, task: _OpenedTask) -> None:
        super().__init__(services, attempt, task)
        self.reports: list[tuple[float, str | None]] = []
        """The progress that the handler reported: percent and message, the first first."""
        self.children: list[Task[Any]] = []
        """The tasks of `enqueue_after`, in their order."""

    def enqueue_after(self, task: Task[R]) -> TaskHandle[R]:
        """Note a task that is enqueued with the completion; raise as in a worker."""
        handle = super().enqueue_after(task)
        self.children.append(task)
        return handle

    def _in_loop(self, ask: Callable[[], R]) -> R:
        return ask()  # nothing here is of a loop


@contextmanager
def running(
    task: Task[Any] | None = None,
    *,
    attempt: int = 1,
    state: Any = _NO_STATE,
    results: Mapping[str, Any] | None = None,
    stopping: bool = False,
) -> Generator[DirectTask]:
    """Set the task that `current_task()` returns, so that a handler can be called directly in the block.

        with running(send_mail.task("ada"), attempt=2) as task:
            await send_mail("ada")
        assert task.reports == [(100, None)]

    Works in a plain test and in a `trio.run`; for functions `def` and `async def`, also in a thread that
    Trio started. The attempt has no timeout, so `current_task().deadline` is None. Delay, group and limits of
    the task do not matter.

    `task` is the one that runs; None for one of type "test" without a payload. `attempt` is its number,
    1 to 1,000: those before have failed. `state` is what a lifespan would have yielded. `results` are
    those of the tasks in `depends_on`, by their ids. With `stopping` the worker is about to stop:
    `shutting_down` is True and `cancel_reason` is "shutdown".

    Returns what the handler sees, with what it did: `reports` and `children`. Its `client` is one of a
    `MemoryStore` of its own. Raises `ConfigError` for a value out of these bounds.
    """
    task = Task[Any]("test", {}) if task is None else task
    check_number("attempt", attempt, 1, TESTED_ATTEMPT_MAX, integer=True)
    new = attrs.evolve(
        prepare(task, MAX_PAYLOAD).new,
        delay_ms=0, run_at_ms=0, expires_in_ms=0, expires_at_ms=0, relations=NO_RELATIONS,
        max_retry=max(int(task.max_retry), attempt - 1),
    )  # fmt: skip
    queue, lease = _claimed(new, attempt, _packed(task, results or {}))
    store = MemoryStore()
    store._queues[task.queue] = queue
    store._names.add(task.queue)
    client = Client(store)
    held = HeldLease(
        task.queue, attrs.evolve(lease, max_retry=int(task.max_retry)), math.inf, 0.0,
        (task.queue, new.id), LeaseTable(),
    )  # fmt: skip
    if stopping:
        held.lease_table.shutting_down = True
        held.reason = Reason.SHUTDOWN

    def report(_: RunningAttempt, percent: float, message: str | None) -> None:
        current.reports.append((percent, message))

    services = WorkerServices(
        client, report, _CLEANUP_GRACE, lifespans=_GivenState(given=state), worker="test"
    )
    current = DirectTask(services, held, _OpenedTask(open_envelope(new.envelope)))
    before = CURRENT.set(current)
    try:
        yield current
    finally:
        CURRENT.reset(before)


def _packed(task: Task[Any], results: Mapping[str, Any]) -> tuple[tuple[str, bytes], ...]:
    if unknown := sorted(results.keys() - {*task.depends_on}):
        raise ConfigError.of("results", unknown[0], "an id in the depends_on of the task")
    return tuple((ref, pack_value(value, what="results")) for ref, value in results.items())


def _claimed(
    new: NewTask, attempt: int, inputs: tuple[tuple[str, bytes], ...]
) -> tuple[QueueState, Lease]:
    """Return a queue that has only this task, claimed for so many times, and the last lease."""
    now = round(wall() * 1000)
    queue, _ = enqueue(QueueState(), now, [new])
    record = attrs.evolve(queue.records[new.id], inputs=inputs)
    queue = attrs.evolve(queue, records=queue.records.set(new.id, record))
    while True:
        queue, claimed = claim(
            queue, now, limit=1, lease_ms=_LEASE_MS, worker="test", nonce=entropy(8)
        )
        (lease,) = claimed.leases
        if lease.attempt == attempt:
            return queue, lease
        queue, _ = settle(queue, now, [Failed(lease.fence, "an attempt before the tested one", 0)])
        queue, _ = promote(queue, now, limit=1)
