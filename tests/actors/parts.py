"""What the tests of single actors are put together from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import trio

import rediq_trio as rediq
from rediq_trio import ConnectionLost, MemoryStore, State
from rediq_trio.handlers.context import WorkerServices
from rediq_trio.spec.messages import NewTask
from rediq_trio.spec.records import Record
from rediq_trio.wire.envelope import pack_envelope, pack_value
from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.executor import Executor
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, LeaseTable
from rediq_trio.worker.prefetch import Prefetch
from rediq_trio.worker.progress import ProgressFlusher

Q = "work"
LEASE = 30.0
PLAIN = ("listen", "unconfirmed")
"""What a store has that is not asked for over a connection."""


class Watched:
    """A store that counts its calls, takes its time, and loses the connection, as it is told to.

    Everything that is answered is answered by the MemoryStore behind it.
    """

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.calls: list[str] = []
        self.callers: list[tuple[str, str]] = []
        """Each call again, with the name of the Trio task that made it."""
        self.away = False
        """Calls are refused and change nothing."""
        self.away_queues: set[str] = set()
        """Queues whose calls alone are refused, as those of one node of a Cluster."""
        self.refused_after = 0.0
        """Seconds after which a call is refused."""
        self.delay: Callable[[str], float] = lambda _: 0.0
        """Returns how many seconds the answer to a call takes, by the name of the call."""
        self.deaf = 0
        """So many calls are carried out, and their answers lost."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.store, name)
        if name in PLAIN:
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            self.callers.append((name, trio.lowlevel.current_task().name))
            if self.away or (args and isinstance(args[0], str) and args[0] in self.away_queues):
                await trio.sleep(self.refused_after)
                raise ConnectionLost("away", sent=False)
            answer = await method(*args, **kwargs)
            if name == "with_schedules":
                # As Redis: queues that could not be read are among them.
                answer = tuple(q for q in args[0] if q in answer or q in self.away_queues)
            if seconds := self.delay(name):
                await trio.sleep(seconds)
            if self.deaf:
                self.deaf -= 1
                raise ConnectionLost("the answer was lost")
            return answer

        return call

    def count(self, name: str) -> int:
        return self.calls.count(name)


_numbers = itertools.count()


def new_task(kind: str = "noop", payload: Any = None, **options: Any) -> NewTask:
    """Make a task as a client would."""
    carried: dict[str, Any] = {"timeout": 30.0, "backoff": rediq.Fixed(1.0), "metadata": {}}
    carried["deadline_ms"] = 0
    carried |= {name: options.pop(name) for name in list(options) if name in carried}
    envelope = pack_envelope(kind, pack_value({} if payload is None else payload), **carried)
    return NewTask(options.pop("id", f"t{next(_numbers)}"), envelope, **options)


async def claim(
    store: Any, lease_table: LeaseTable, limit: int = 100, lease: float = LEASE
) -> list[HeldLease]:
    """Claim as the poller does."""
    asked = trio.current_time()
    claimed = await store.claim(
        Q, limit=limit, lease_ms=round(lease * 1000), worker="w", nonce=b"12345678"
    )
    return lease_table.add(Q, claimed.leases, asked_at=asked, length=lease)


async def record(store: Any, task_id: str, queue: str = Q) -> Record:
    (found,) = await store.get(queue, [task_id])
    assert found is not None
    return found


async def states(store: Any) -> dict[str, State]:
    return {r.id: r.state for r in (await store.dump(Q)).records.values()}


class Bench:
    """An executor with the channels around it."""

    def __init__(
        self, app: rediq.App, *, concurrency: int = 10, prefetch: int | None = None
    ) -> None:
        self.store = Watched()
        self.lease_table = LeaseTable()
        self.prefetch = Prefetch(concurrency, prefetch)
        self.flusher = ProgressFlusher(self.store, 0.5)
        self.leases, leases_out = trio.open_memory_channel[list[HeldLease]](math.inf)
        outcomes_in, self.outcomes = trio.open_memory_channel[AttemptOutcome](math.inf)
        attempts = Attempts(
            app,
            WorkerServices(rediq.Client(self.store), self.flusher.add, 5.0),
            512 * 1024,
            trio.CapacityLimiter(10),
        )
        self.executor = Executor(attempts, self.lease_table, self.prefetch, leases_out, outcomes_in)

    async def give(self, *tasks: NewTask) -> list[HeldLease]:
        """Enqueue tasks, claim them and hand them to the executor."""
        await self.store.enqueue(Q, tasks)
        held = await claim(self.store, self.lease_table)
        self.leases.send_nowait(held)
        return held

    def over(self) -> list[AttemptOutcome]:
        """Give the outcomes that are there."""
        found: list[AttemptOutcome] = []
        try:
            while True:
                found.append(self.outcomes.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, under a clock that jumps."""
    while not condition():
        await trio.sleep(0.001)
