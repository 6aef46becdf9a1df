"""The keeper: does what becomes due by time alone. Any number may run at once, none is needed.

It promotes tasks whose time has come, reclaims expired leases, moves expired tasks to
dead, notifies dependents, carries messages to other queues, makes batches of groups,
ticks schedules and purges finished tasks. Each answer says when the duty is next due,
and the keeper sleeps until then. The longest sleeps are bounded, because the leases and
tasks of other workers come without a signal.

A queue is *idle* when it is empty and none of its duties has work. Every new task sends a
signal, so an idle queue is only checked for being empty now and then, with one call
instead of eight: a thousand idle queues cost next to nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.messages import Due
from rediq_trio.spec.records import GroupRule
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.store.relay import relay_some
from rediq_trio.store.retrying import retry_pause
from rediq_trio.worker.keeping.batcher import Batcher
from rediq_trio.worker.keeping.ticker import Ticker
from rediq_trio.worker.liveness import Liveness

TASKS_PER_STEP = 500
"""Maximum number of tasks that one step moves."""
RECLAIM_MAX_SLEEP = 4.0
"""Maximum sleep, in seconds, of the duty that finds expired leases."""
UNSIGNALLED_MAX_SLEEP = 15.0
"""Maximum sleep, in seconds, of duties that no signal announces."""
SIGNALLED_MAX_SLEEP = 30.0
"""Maximum sleep, in seconds, of duties that are always announced by a signal."""
IDLE_RECHECK_MAX = 30.0
"""Maximum seconds between two checks that an idle queue is still empty; a shorter lease lowers it."""
IDLE_MAX_SLEEP = 120.0
"""Maximum sleep, in seconds, of every duty in an idle queue."""
QUEUES_AT_ONCE = 32
"""Queues whose duties are done at the same time."""


_DUTIES_OF_SIGNAL = {
    SignalKind.DUE: ("promote",),
    SignalKind.MAIL: ("unblock", "relay"),
    SignalKind.GROUP: ("batch",),
    SignalKind.TICK: ("tick",),
    SignalKind.RESYNC: ("promote", "unblock", "relay", "batch", "tick"),
}
"""The duties that each kind of signal makes due immediately."""


@attrs.define(eq=False)
class _Duty:
    step: Callable[[], Awaitable[Due]]
    max_sleep: float
    due_at: float = 0.0
    """On Trio's clock."""
    had_work: bool = True
    """Whether it moved a task when it was last done, or will at a known time."""

    def due_within(self, max_sleep: float) -> None:
        """Make it due in at most `max_sleep` seconds, less up to a fifth at random."""
        self.due_at = min(self.due_at, trio.current_time() + max_sleep * random.uniform(0.8, 1.0))


@attrs.define(eq=False)
class _QueueDuties:
    """The duties in one queue."""

    queue: str
    duties: Mapping[str, _Duty]
    is_idle: bool = False
    recheck_at: float = math.inf
    """When to check that the queue is still empty, on Trio's clock; inf unless it is idle."""
    due_at: float = 0.0
    """When the queue is next due: stored, because a worker looks through thousands of queues."""

    def update_due(self) -> None:
        """Recompute when this queue is next due. Call it after any change."""
        self.due_at = min(self.recheck_at, min(duty.due_at for duty in self.duties.values()))

    def enter_idle(self, every: float) -> None:
        """Mark the queue as idle, to be checked again in about `every` seconds."""
        self.recheck_at = trio.current_time() + every * random.uniform(0.8, 1.0)
        if not self.is_idle:
            self.is_idle = True
            for duty in self.duties.values():
                duty.due_at = math.inf
                duty.due_within(IDLE_MAX_SLEEP)

    def leave_idle(self) -> bool:
        """Mark the queue as not idle; return whether it was idle."""
        was_idle, self.is_idle, self.recheck_at = self.is_idle, False, math.inf
        if was_idle:
            self.mark_all_due()
        return was_idle

    def mark_all_due(self) -> None:
        """Require each duty to be done once more before the queue may become idle."""
        for duty in self.duties.values():
            duty.had_work = True
            duty.due_within(duty.max_sleep)


@attrs.define(eq=False)
class Keeper:
    """The keeper's state: when each duty is due, per queue."""

    store: Store
    queues: Sequence[str]
    dead_retention: float
    max_dead: int
    rules: Mapping[str, GroupRule] = attrs.field(factory=dict[str, GroupRule])
    """When groups become batches: for each group, or prefix, that has an aggregator."""
    schedule_queues: Sequence[str] = ()
    """Queues of which it only ticks the schedules."""
    lease: float = math.inf
    """The lease of this worker, in seconds; other workers' are assumed not to be shorter."""
    liveness: Liveness = attrs.field(factory=Liveness)
    _ticker: Ticker = attrs.field(init=False)
    _batchers: dict[str, Batcher] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._batchers = {q: Batcher(self.store, q, self.rules) for q in self.queues}
        self._ticker = Ticker(self.store)

    async def run(self) -> None:
        """Do the duties until cancelled."""
        all_duties = {queue: _QueueDuties(queue, self._duties(queue)) for queue in self.queues}
        for queue in self.schedule_queues:
            all_duties[queue] = _QueueDuties(queue, {"tick": self._tick_duty(queue)})
        with self.store.listen([(queue, "") for queue in all_duties]) as signals:
            while True:
                if await self._do_all_due(all_duties.values()):
                    due_at = min(queue_duties.due_at for queue_duties in all_duties.values())
                    sleep = max(0.0, due_at - trio.current_time())
                else:
                    sleep = retry_pause()
                self.liveness.sleep(sleep)
                with trio.move_on_after(sleep):
                    while not self._handle_signal(await signals.receive(), all_duties):
                        pass
                    try:
                        while True:
                            self._handle_signal(signals.receive_nowait(), all_duties)
                    except trio.WouldBlock:
                        pass  # every signal that has come is handled in one round

    def _handle_signal(self, signal: Signal, all_duties: Mapping[str, _QueueDuties]) -> bool:
        """Make the duties of a signal due; return whether there is anything to do."""
        if signal.queue in self._batchers:
            self._batchers[signal.queue].handle_signal(signal)
        queue_duties = all_duties[signal.queue]
        was_idle = queue_duties.leave_idle()
        due_now = queue_duties.duties.keys() & {*_DUTIES_OF_SIGNAL.get(signal.kind, ())}
        for duty in due_now:
            queue_duties.duties[duty].due_at = 0.0
        queue_duties.update_due()
        return was_idle or bool(due_now)

    def _duties(self, queue: str) -> dict[str, _Duty]:
        store = self.store
        keep = {"dead_retention_ms": round(self.dead_retention * 1000), "max_dead": self.max_dead}
        most = TASKS_PER_STEP
        return {
            "promote": _Duty(lambda: store.promote(queue, limit=most), UNSIGNALLED_MAX_SLEEP),
            "reclaim": _Duty(lambda: store.reclaim(queue, limit=most), RECLAIM_MAX_SLEEP),
            "expire": _Duty(lambda: store.expire(queue, limit=most), UNSIGNALLED_MAX_SLEEP),
            "unblock": _Duty(lambda: store.unblock(queue, limit=most), SIGNALLED_MAX_SLEEP),
            "relay": _Duty(lambda: relay_some(store, queue, limit=most), SIGNALLED_MAX_SLEEP),
            "tick": self._tick_duty(queue),
            "batch": _Duty(self._batchers[queue].step, UNSIGNALLED_MAX_SLEEP),
            "purge": _Duty(lambda: store.purge(queue, limit=most, **keep), UNSIGNALLED_MAX_SLEEP),
        }

    def _tick_duty(self, queue: str) -> _Duty:
        return _Duty(lambda: self._ticker.tick(queue), SIGNALLED_MAX_SLEEP)

    async def _do_all_due(self, all_duties: Iterable[_QueueDuties]) -> bool:
        """Do all that is due, in many queues at once; return whether the store answered."""
        now = trio.current_time()
        due = [queue_duties for queue_duties in all_duties if queue_duties.due_at <= now]
        remaining, answered = iter(due), True

        async def do_some() -> None:
            nonlocal answered
            for queue_duties in remaining:
                try:
                    await self._do_queue(queue_duties)
                except ConnectionLost:
                    # The other queues may be on a node of the Cluster that still answers.
                    self.liveness.record_failure()
                    answered = False
                finally:
                    queue_duties.update_due()

        if len(due) == 1:
            await do_some()
        else:
            async with trio.open_nursery() as nursery:
                for _ in range(min(QUEUES_AT_ONCE, len(due))):
                    nursery.start_soon(do_some)
        return answered

    async def _do_queue(self, queue_duties: _QueueDuties) -> None:
        """Do what is due in one queue."""
        if queue_duties.recheck_at <= trio.current_time():
            if await self._is_empty(queue_duties.queue):
                queue_duties.enter_idle(self._idle_recheck)
            else:
                queue_duties.leave_idle()
        for duty in queue_duties.duties.values():
            while duty.due_at <= trio.current_time():
                await self._do(duty, IDLE_MAX_SLEEP if queue_duties.is_idle else duty.max_sleep)
        had_work = any(duty.had_work for duty in queue_duties.duties.values())
        if had_work and queue_duties.is_idle:
            queue_duties.leave_idle()
        elif not had_work and not queue_duties.is_idle and queue_duties.queue in self._batchers:
            if await self._is_empty(queue_duties.queue):
                queue_duties.enter_idle(self._idle_recheck)
            else:
                queue_duties.mark_all_due()

    async def _do(self, duty: _Duty, max_sleep: float) -> None:
        self.liveness.wake()
        due = await duty.step()
        self.liveness.record_answer()
        duty.had_work = due.moved > 0 or due.next_in_ms is not None
        # 1 ms more, so that the store's clock has passed the instant.
        delay = math.inf if due.next_in_ms is None else (due.next_in_ms + 1) / 1000
        # A step that moved its maximum leaves more tasks that are due.
        duty.due_at = trio.current_time() + (0.0 if due.moved >= TASKS_PER_STEP else delay)
        duty.due_within(max_sleep)

    @property
    def _idle_recheck(self) -> float:
        return max(RECLAIM_MAX_SLEEP, min(IDLE_RECHECK_MAX, self.lease))

    async def _is_empty(self, queue: str) -> bool:
        self.liveness.wake()
        empty = not any((await self.store.stats(queue)).sizes.values())
        self.liveness.record_answer()
        return empty
