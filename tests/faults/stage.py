"""The stage: one program with a real client and the parts of a real worker, moved step by step.

`serve` lets a worker's actors run as they like; here each takes its step when it is told to,
one after another, so that what is sent comes in the same order each time. Time is that of a
clock that moves when told to.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from rediq_trio import ConnectionLost, MemoryStore
from rediq_trio.handlers.context import WorkerServices
from rediq_trio.spec.messages import MailKind, WorkerRecord
from rediq_trio.spec.stored_format import ASKS_AGAIN
from rediq_trio.worker.attempt import Attempts
from rediq_trio.worker.heartbeat import Heartbeat
from rediq_trio.worker.keeping.keeper import TASKS_PER_STEP, Keeper
from rediq_trio.worker.leases import AttemptOutcome, HeldLease, LeaseTable, released
from rediq_trio.worker.poller import Poller
from rediq_trio.worker.prefetch import Prefetch
from rediq_trio.worker.progress import ProgressFlusher
from rediq_trio.worker.settler import OutcomeCounts, Settler
from tests.conformance.bench import Clock

QUEUES = ("a", "b")
LEASE = 600.0
"""Seconds, far more than a run takes: on a stage only the clock lets a lease lapse."""
YEAR = 360 * 86_400.0
FAR = 30 * 86_400.0
"""Seconds: beyond what any run lets pass."""
DUTIES = ("reclaim", "promote", "unblock", "relay", "batch", "expire", "purge")


@attrs.define
class Deeds:
    """What handlers did, in whatever program."""

    begun: Counter[str] = attrs.field(factory=Counter)
    """Attempts begun, by task."""
    steps: Counter[str] = attrs.field(factory=Counter)
    batches: set[tuple[str, ...]] = attrs.field(factory=set)
    """The members of each batch that was handled."""

    def first(self) -> bool:
        """Note that a task's attempt begins; say whether it is its first."""
        task = rediq.current_task()
        self.begun[task.id] += 1
        return self.begun[task.id] == 1


def make_app(deeds: Deeds) -> rediq.App:
    """Make the app whose handlers note their deeds."""
    app = rediq.App("stage")

    @app.task("ok")
    async def ok() -> str:
        deeds.first()
        await trio.lowlevel.checkpoint()
        return "ok"

    @app.task("tick")
    async def tick() -> str:
        return await ok()

    @app.task("manual")
    async def manual() -> str:
        return await ok()

    @app.task("flaky")
    async def flaky() -> str:
        if deeds.first():
            raise ValueError("the first time")
        return "at last"

    @app.task("stubborn")
    async def stubborn() -> None:
        deeds.first()
        raise ValueError("each time")

    @app.task("bad")
    async def bad() -> None:
        deeds.first()
        raise rediq.Reject("for good")

    @app.task("sleepy")
    async def sleepy() -> str:
        if deeds.first():
            raise rediq.Snooze(30)
        return "awake"

    @app.task("parent")
    async def parent() -> int:
        deeds.first()
        task = rediq.current_task()

        def step() -> int:
            deeds.steps[task.id] += 1
            return 7

        task.progress(50, "half")
        found = await task.once("step", step)
        for queue in QUEUES:
            task.enqueue_after(rediq.Task("ok", {}, queue=queue, retention=YEAR))
        return found

    @app.task("adder")
    async def adder() -> str:
        deeds.first()
        results = await rediq.current_task().results()
        return ",".join(f"{key}={value}" for key, value in sorted(results.items()))

    @app.aggregator("heap", max_size=3, grace_period=30)
    async def heap(tasks: list[rediq.Task[Any]]) -> rediq.Task[Any]:
        deeds.first()
        deeds.batches.add(tuple(str(task.id) for task in tasks))
        return rediq.Task("ok", {}, queue="a", retention=YEAR)

    return app


@attrs.define(eq=False, slots=False)
class Stage:
    """One program: its client, and its worker's parts."""

    client: rediq.Client
    store: Any
    clock: Clock
    app: rediq.App
    max_dead: int
    claimed: list[HeldLease] = attrs.field(factory=list)
    outcomes: list[AttemptOutcome] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        store, name = self.store, "stage"
        self.lease_table = LeaseTable()
        leases_in, self.leases = trio.open_memory_channel[list[HeldLease]](math.inf)
        _, outcomes_out = trio.open_memory_channel[AttemptOutcome](math.inf)
        flusher = ProgressFlusher(store, 0.01)
        self.attempts = Attempts(
            self.app,
            WorkerServices(self.client, flusher.add, 5.0),
            512 * 1024,
            trio.CapacityLimiter(1),
        )
        flow = Prefetch(1000, 0)
        self.poller = Poller(
            store, QUEUES, name, LEASE, self.lease_table, flow, lambda: len(self.claimed), leases_in
        )
        self.settler = Settler(store, self.lease_table, flusher, outcomes_out, OutcomeCounts())
        self.heartbeat = Heartbeat(
            store, QUEUES, self.lease_table, name, LEASE, LEASE / 3, lambda: b"\x90"
        )
        rules = {name: each.rule for name, each in self.app.aggregators.items()}
        self.keeper = Keeper(store, QUEUES, YEAR, self.max_dead, rules)
        self.duties = {queue: self.keeper._duties(queue) for queue in QUEUES}

    async def claim(self, queue: str = "a") -> int:
        """Claim what there is in a queue."""
        count, _ = await self.poller._claim_now(queue, 1000)
        if count:
            self.claimed += self.leases.receive_nowait()
        return count

    def _take(self, owns: Iterable[str]) -> list[HeldLease]:
        chosen = {*owns}
        taken = [held for held in self.claimed if not chosen or held.fence.id in chosen]
        self.claimed = [held for held in self.claimed if held not in taken]
        return taken

    async def run(self, *owns: str) -> None:
        """Run the attempts of these claimed tasks, or of all, one by one."""
        for held in self._take(owns):
            # In a Trio task of its own, as the executor does: nurseries of the task that are still
            # open when the handler ends are closed.
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run_one, held)

    async def _run_one(self, held: HeldLease) -> None:
        self.outcomes.append(await self.attempts.run(held))

    def give_back(self, *owns: str) -> None:
        """Decide to give these claimed tasks back, or all."""
        self.outcomes += [released(held) for held in self._take(owns)]

    async def settle(self) -> None:
        """Settle the outcomes that there are."""
        if self.outcomes:
            async with trio.open_nursery() as nursery:
                await self.settler._settle(self.outcomes, nursery)
        self.outcomes = []

    async def work(self, queue: str = "a") -> int:
        """Claim, run and settle what there is in a queue; give how many there were."""
        count = await self.claim(queue)
        await self.run()
        await self.settle()
        return count

    async def register(self) -> None:
        """Renew the leases in hand, and say that the worker lives."""
        for queue in QUEUES:
            await self.heartbeat._renew_queue(queue)
        record = WorkerRecord("stage", self.heartbeat.pack_info(), 1000)
        await self.store.register(record)

    async def keep(self, duty: str, queue: str = "a") -> int:
        """Do one of the keeper's duties; give how many tasks moved."""
        return (await self.duties[queue][duty].step()).moved

    async def drain(self, queues: Sequence[str] = QUEUES) -> None:
        """Let time pass, keep and work, until nothing moves any more.

        Tasks that wait for one of another queue ask about it again for ever: that is rest.
        """
        idle = 0
        for _ in range(20):
            self.clock.advance(round((LEASE + 60) * 1000))
            moved = 0
            for queue in queues:
                for duty in DUTIES:
                    asked = await self._asked_again(queue) if duty == "relay" else 0
                    moved += await self.keep(duty, queue) - asked
            moved += sum([await self.work(queue) for queue in queues])
            moved += sum([await self.keep("relay", queue) for queue in queues])
            idle = 0 if moved else idle + 1
            if idle:
                return
        raise AssertionError("it does not come to rest")

    async def _asked_again(self, queue: str) -> int:
        """Count the messages to be relayed that only ask again."""
        mail = await self.store.outbox(queue, limit=TASKS_PER_STEP)
        return sum(one.kind is MailKind.SUBSCRIBE and one.result == ASKS_AGAIN for one in mail)


@asynccontextmanager
async def open_stage(
    where: str | MemoryStore, clock: Clock, deeds: Deeds, *, prefix: str = "p", max_dead: int = 1000
) -> AsyncIterator[Stage]:
    """Open a program on a server or a memory store; connect anew when the connection is lost."""
    async with AsyncExitStack() as stack:
        while True:
            try:
                opening = rediq.connect(where, key_prefix=prefix)
                client = await stack.enter_async_context(opening)
                break
            except ConnectionLost:
                await trio.sleep(0.01)
        store: Any = client._store
        store._clock = clock
        yield Stage(client, store, clock, make_app(deeds), max_dead)
