"""The keeper: does what becomes due by time alone. Any number may run at once, none is needed.

It promotes tasks whose time has come, reclaims expired leases, moves expired tasks to dead, notifies
dependents, carries messages to other queues, makes batches of groups, ticks schedules, purges finished
tasks and samples the queue's numbers. Each answer says when the duty is next due, and the keeper sleeps
until then, but not too long, because the leases and tasks of other workers come without a signal.

A queue is *idle* when it is empty and none of its duties has work. Every new task sends a signal, so an
idle queue is only checked for being empty now and then, with one call instead of eight. Each queue is
kept by itself: one that is away delays none of the others.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import attrs
import trio

from rediq_trio._errors import ConnectionLost, StoreError
from rediq_trio.spec.messages import Death, Due
from rediq_trio.spec.records import GroupRule
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.port import Store
from rediq_trio.store.relay import ReceiverAway, ReportRefused, log_refused, relay_some
from rediq_trio.values.chance import uniform
from rediq_trio.worker.availability.liveness import Liveness
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.keeping.batcher import Batcher
from rediq_trio.worker.keeping.sampler import FIRST_SAMPLE_AFTER, SAMPLE_EVERY, Sampler
from rediq_trio.worker.keeping.ticker import Ticker
from rediq_trio.worker.keeping.trimmer import Trimmer

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
RELAY_PATIENCE = 1.0
"""Seconds for which the other duties of a queue wait for its messages to be received by others."""
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
    needs_others: bool = False
    """Whether it also calls other queues, which may be away while this one is not."""
    had_work: bool = True
    """Whether it moved a task when it was last done, or will at a known time."""
    running: bool = False
    """Whether it is being done, next to the other duties."""
    idle_sleep: float = IDLE_MAX_SLEEP
    """Maximum sleep, in seconds, in an idle queue."""

    def due_within(self, max_sleep: float) -> None:
        """Make it due in at most `max_sleep` seconds, less up to a fifth at random."""
        self.due_at = min(self.due_at, trio.current_time() + max_sleep * uniform(0.8, 1.0))


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
    running: bool = False
    """Whether its duties are being done."""
    paused_until: float = -math.inf
    """When to go on after a failed call, on Trio's clock."""

    def update_due(self) -> None:
        """Recompute when this queue is next due. Call it after any change."""
        due = [duty.due_at for duty in self.duties.values() if not duty.running]
        due_at = min(self.recheck_at, *due)
        self.due_at = math.inf if self.running else max(self.paused_until, due_at)

    def enter_idle(self, every: float) -> None:
        """Mark the queue as idle, to be checked again in about `every` seconds."""
        self.recheck_at = trio.current_time() + every * uniform(0.8, 1.0)
        if not self.is_idle:
            self.is_idle = True
            for duty in (each for each in self.duties.values() if each.idle_sleep < math.inf):
                duty.due_at = math.inf
                duty.due_within(duty.idle_sleep)

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
    outages: Outages = attrs.field(factory=Outages)
    report_refused: ReportRefused = log_refused
    """Reports a task of `enqueue_after` that its queue, another one, refused."""
    report_deaths: Callable[[str, Sequence[Death]], object] = lambda _queue, _deaths: None
    """Reports tasks of a queue that have gone to dead, by time alone or because of another."""
    ticker: Ticker = attrs.Factory(lambda self: Ticker(self.store), takes_self=True)
    trimmer: Trimmer = attrs.Factory(lambda self: Trimmer(self.store), takes_self=True)
    _turns: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(QUEUES_AT_ONCE))
    _away_turns: trio.Semaphore = attrs.field(factory=lambda: trio.Semaphore(QUEUES_AT_ONCE))
    _sleep: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    """The sleep of `run`, which ends early when a queue has become due."""
    _nursery: trio.Nursery = attrs.field(init=False)
    _batchers: dict[str, Batcher] = attrs.field(init=False)
    _samplers: dict[str, Sampler] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._batchers = {q: Batcher(self.store, q, self.rules) for q in self.queues}
        self._samplers = {q: Sampler(self.store, q, self.trimmer.add) for q in self.queues}

    async def run(self) -> None:
        """Do the duties until cancelled."""
        all_duties = {queue: _QueueDuties(queue, self._duties(queue)) for queue in self.queues}
        for queue in self.schedule_queues:
            all_duties[queue] = _QueueDuties(queue, {"tick": self._tick_duty(queue)})
        with self.store.listen([(queue, "") for queue in all_duties]) as signals:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self.trimmer.run)
                while True:
                    self._start_due(all_duties.values())
                    due_at = min(queue_duties.due_at for queue_duties in all_duties.values())
                    sleep = max(0.0, due_at - trio.current_time())
                    self.liveness.rest(sleep)
                    with trio.move_on_after(sleep) as self._sleep:
                        while not self._handle_signal(await signals.receive(), all_duties):
                            pass
                        with suppress(trio.WouldBlock):
                            while True:  # every signal that has come is handled in one round
                                self._handle_signal(signals.receive_nowait(), all_duties)

    def _handle_signal(self, signal: Signal, all_duties: Mapping[str, _QueueDuties]) -> bool:
        """Make the duties of a signal due; return whether there is anything to do."""
        if signal.queue in self._batchers:
            self._batchers[signal.queue].handle_signal(signal)
            self._samplers[signal.queue].handle_signal(signal)
        queue_duties = all_duties[signal.queue]
        was_idle = queue_duties.leave_idle()
        due_now = queue_duties.duties.keys() & {*_DUTIES_OF_SIGNAL.get(signal.kind, ())}
        for duty in due_now:
            queue_duties.duties[duty].due_at = 0.0
        queue_duties.update_due()
        return was_idle or bool(due_now)

    def _duties(self, queue: str) -> dict[str, _Duty]:
        store, most = self.store, TASKS_PER_STEP
        keep = {"dead_retention_ms": round(self.dead_retention * 1000), "max_dead": self.max_dead}
        return {
            "promote": _Duty(lambda: store.promote(queue, limit=most), UNSIGNALLED_MAX_SLEEP),
            "reclaim": _Duty(lambda: store.reclaim(queue, limit=most), RECLAIM_MAX_SLEEP),
            "expire": _Duty(lambda: store.expire(queue, limit=most), UNSIGNALLED_MAX_SLEEP),
            "unblock": _Duty(lambda: store.unblock(queue, limit=most), SIGNALLED_MAX_SLEEP),
            "relay": _Duty(lambda: self._relay(queue), SIGNALLED_MAX_SLEEP, needs_others=True),
            "tick": self._tick_duty(queue),
            "batch": _Duty(self._batchers[queue].step, UNSIGNALLED_MAX_SLEEP),
            "purge": _Duty(lambda: store.purge(queue, limit=most, **keep), UNSIGNALLED_MAX_SLEEP),
            "sample": _Duty(self._samplers[queue].step, SAMPLE_EVERY, trio.current_time() + FIRST_SAMPLE_AFTER,
                            had_work=False, idle_sleep=math.inf),
        }  # fmt: skip

    def _relay(self, queue: str) -> Awaitable[Due]:
        most, refused, deaths = TASKS_PER_STEP, self.report_refused, self.report_deaths
        return relay_some(self.store, queue, limit=most, report=refused, report_deaths=deaths)

    def _tick_duty(self, queue: str) -> _Duty:
        return _Duty(lambda: self.ticker.tick(queue), SIGNALLED_MAX_SLEEP)

    def _start_due(self, all_duties: Iterable[_QueueDuties]) -> None:
        """Start what is due, in each queue by itself."""
        now = trio.current_time()
        for queue_duties in all_duties:
            if queue_duties.due_at <= now:
                queue_duties.running = True
                queue_duties.update_due()
                self._nursery.start_soon(self._keep, queue_duties)

    async def _keep(self, queue_duties: _QueueDuties) -> None:
        """Do what is due in one queue, when it is its turn."""
        queue = queue_duties.queue
        # The turns of queues that are away are of their own: they take long, and end in nothing.
        turns = self._away_turns if queue in self.outages.failing else self._turns
        try:
            async with turns:
                if queue in self.outages.stopped:
                    queue_duties.paused_until = math.inf
                    return
                await self._do_queue(queue_duties)
        except ConnectionLost as lost:
            self.outages.record_failure(queue, lost)
            self.liveness.record_failure()
            queue_duties.paused_until = trio.current_time() + self.outages.pause(queue)
        except Exception as error:
            self._stop_duties(queue_duties, error)
        else:
            self.outages.record_answer(queue)
        finally:
            self.liveness.end_call(queue)
            queue_duties.running = False
            self._update_due(queue_duties)

    def _update_due(self, queue_duties: _QueueDuties) -> None:
        """Recompute when a queue is due, and end the sleep of `run` by then."""
        queue_duties.update_due()
        if queue_duties.due_at < self._sleep.deadline:
            self._sleep.deadline = queue_duties.due_at
            self.liveness.rest(max(0.0, queue_duties.due_at - trio.current_time()))

    def _stop_duties(self, queue_duties: _QueueDuties, error: Exception) -> None:
        """Stop the queue in which an error would come again."""
        damaged = (error.queue if isinstance(error, StoreError) else "") or queue_duties.queue
        self.outages.stop(damaged, error)
        if damaged == queue_duties.queue:
            queue_duties.paused_until = math.inf

    async def _do_queue(self, queue_duties: _QueueDuties) -> None:
        """Do what is due in one queue."""
        recheck = queue_duties.recheck_at <= trio.current_time()
        if recheck and not await self._enter_idle_if_empty(queue_duties):
            queue_duties.leave_idle()
        for duty in queue_duties.duties.values():
            while duty.due_at <= trio.current_time() and not duty.running:
                max_sleep = duty.idle_sleep if queue_duties.is_idle else duty.max_sleep
                if duty.needs_others:
                    await self._do_patiently(queue_duties, duty, max_sleep)
                else:
                    await self._do(queue_duties.queue, duty, max_sleep)
        had_work = any(duty.had_work or duty.running for duty in queue_duties.duties.values())
        may_idle = (
            not had_work and not queue_duties.is_idle and queue_duties.queue in self._batchers
        )
        if had_work and queue_duties.is_idle:
            queue_duties.leave_idle()
        if may_idle and not await self._enter_idle_if_empty(queue_duties):
            queue_duties.mark_all_due()

    async def _do_patiently(
        self, queue_duties: _QueueDuties, duty: _Duty, max_sleep: float
    ) -> None:
        """Do a duty for which other queues are needed; if they take long, go on without it."""
        ended = trio.Event()
        duty.running = True
        self._nursery.start_soon(self._do_aside, queue_duties, duty, max_sleep, ended)
        with trio.move_on_after(RELAY_PATIENCE):
            await ended.wait()

    async def _do_aside(
        self, queue_duties: _QueueDuties, duty: _Duty, max_sleep: float, ended: trio.Event
    ) -> None:
        queue = queue_duties.queue
        try:
            await self._do(queue, duty, max_sleep, aside=True)
        except ConnectionLost as lost:
            away = lost.receiver if isinstance(lost, ReceiverAway) else queue
            if away in self._batchers:
                self.outages.record_failure(away, lost)
            else:  # a queue of other workers: no call here would end its outage
                self.outages.limiter.warning(
                    "messages from queue %s to queue %s wait: %s", queue, away, lost
                )
            duty.due_at = trio.current_time() + self.outages.pause(away)
        except Exception as error:
            # A message to a damaged queue is tried again.
            duty.due_at = trio.current_time() + UNSIGNALLED_MAX_SLEEP
            self._stop_duties(queue_duties, error)
        finally:
            self.liveness.end_call(f"relay of {queue}")
            duty.running = False
            ended.set()
            self._update_due(queue_duties)

    async def _do(self, queue: str, duty: _Duty, max_sleep: float, *, aside: bool = False) -> None:
        self.liveness.begin_call(f"relay of {queue}" if aside else queue)
        # A signal that comes while the step is under way makes the duty due once more.
        duty.due_at = math.inf
        try:
            due = await duty.step()
        except BaseException:
            duty.due_at = 0.0
            raise
        self.liveness.record_answer()
        if due.deaths:
            self.report_deaths(queue, due.deaths)
        duty.had_work = due.moved > 0 or due.next_in_ms is not None
        # 1 ms more, so that the store's clock has passed the instant.
        delay = math.inf if due.next_in_ms is None else (due.next_in_ms + 1) / 1000
        # A step that moved its maximum leaves more tasks that are due.
        delay = 0.0 if due.moved >= TASKS_PER_STEP else delay
        duty.due_at = min(duty.due_at, trio.current_time() + delay)
        duty.due_within(max_sleep)

    async def _enter_idle_if_empty(self, queue_duties: _QueueDuties) -> bool:
        self.liveness.begin_call(queue_duties.queue)
        stats = await self.store.stats(queue_duties.queue)
        self.liveness.record_answer()
        if any(stats.sizes.values()):
            return False
        queue_duties.enter_idle(max(RECLAIM_MAX_SLEEP, min(IDLE_RECHECK_MAX, self.lease)))
        return True
