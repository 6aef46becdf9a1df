"""Health: what a probe reads about a worker, and how it is judged.

Two questions are kept apart. *Ready*: does this worker do its work now? While Redis is
away it does not, and no restart would help. *Alive*: would it work if Redis answered? A
hanging actor, or an event loop that is blocked for longer than the lease, is repaired by
a restart.

Each actor records its `Liveness`: when it will go on at the latest. Waiting because the
worker is full, or because the queues are paused or empty, counts as going on. Everything
here only reads, so a probe may ask from another thread while the event loop is blocked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import trio

from rediq_trio.worker.availability.liveness import Liveness
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.heartbeat import Heartbeat
from rediq_trio.worker.outcomes.stuck import StuckAttempts
from rediq_trio.worker.watchdog import BlockedLoop, Watchdog

POLL_OVERDUE = 15.0
"""Seconds without an answer to a claim after which the poller is overdue; it claims every 6 s."""
REDIS_AWAY_MAX = 10.0
"""Seconds for which Redis may be away while the worker stays ready."""
ACTOR_OVERDUE = 30.0
"""Seconds by which an actor may be late; each wait for an answer is shorter."""


@attrs.frozen(kw_only=True)
class Health:
    """The health of a worker: `alive` for a liveness probe, `ready` for a readiness probe."""

    alive: bool
    """False if a restart would help: an actor hangs, or the event loop is blocked."""
    ready: bool
    """Whether it is alive, started, not stopping, and connected to Redis."""
    reasons: tuple[str, ...] = ()
    """Why it is not ready, each a sentence; empty when it is."""
    last_poll: float = 0.0
    """Seconds since the poller got an answer to a claim, or had no room for more tasks."""
    last_beat: float = 0.0
    """Seconds since all leases were renewed and the worker's record was written."""
    connected: bool = False
    """Whether Redis answered the last call of each queue."""
    last_answer: float = 0.0
    """Seconds since Redis last answered the poller, the heartbeat, the settler or the keeper."""
    blocked: BlockedLoop | None = None
    """The block of the event loop that is under way; None while it runs."""
    last_blocked: BlockedLoop | None = None
    """The last block of the event loop, over or not."""
    blocks: int = 0
    """How often the event loop was blocked for longer than a third of the lease."""

    @property
    def healthy(self) -> bool:
        """Whether it is alive and ready."""
        return self.alive and self.ready


NOT_STARTED = Health(alive=True, ready=False, reasons=("the worker has not started",))


@attrs.define(eq=False)
class HealthJudge:
    """Judges a worker's health by its actors. Only reads."""

    lease: float
    poller: Liveness
    heartbeat: Heartbeat
    settler: Liveness
    keeper: Liveness
    watchdog: Watchdog
    stopping: trio.Event
    finished: trio.Event
    stuck: StuckAttempts
    concurrency: int
    outages: Outages
    clock: trio.abc.Clock = attrs.field(factory=trio.lowlevel.current_clock)

    def judge(self) -> Health:
        """Return the health now; callable from any thread."""
        now = self.clock.current_time()
        blocked = self.watchdog.blocked()
        actors = self._actors()
        answered = max(liveness.answered_at for liveness in actors.values())
        connected = answered >= max(liveness.failed_at for liveness in actors.values())
        polled = max(self.poller.answered_at, self.poller.idle_at)
        fatal = list(self._fatal(now, blocked, actors))
        degraded = list(self._degraded(now, polled, now - answered, connected, blocked))
        return Health(
            alive=not fatal,
            ready=not fatal and not degraded,
            reasons=(*fatal, *degraded),
            last_poll=max(0.0, now - polled),
            last_beat=max(0.0, now - self.heartbeat.last_beat),
            connected=connected and not self.outages.failing,
            last_answer=max(0.0, now - answered),
            blocked=blocked,
            last_blocked=blocked or self.watchdog.last,
            blocks=self.watchdog.count,
        )

    def _actors(self) -> Mapping[str, Liveness]:
        found = {
            "heartbeat": self.heartbeat.liveness,
            "settler": self.settler,
            "keeper": self.keeper,
        }
        # The poller ends when the worker begins to stop; the others run until the attempts ended.
        return found if self.stopping.is_set() else {"poller": self.poller} | found

    def _fatal(
        self, now: float, blocked: BlockedLoop | None, actors: Mapping[str, Liveness]
    ) -> Iterator[str]:
        """Yield the reasons that a restart would remove."""
        if self.finished.is_set():
            return
        if blocked is not None:
            # Actors cannot run while the loop is blocked, so they are not judged.
            if blocked.seconds > self.lease:
                yield f"the event loop has been blocked for longer than the lease, {_blocked_by(blocked)}"
            return
        for name, liveness in actors.items():
            late = now - max(liveness.due, self.watchdog.resumed)
            if late > ACTOR_OVERDUE:
                yield f"the {name} has made no progress for {late:.0f} s"

    def _degraded(
        self, now: float, polled: float, away: float, connected: bool, blocked: BlockedLoop | None
    ) -> Iterator[str]:
        """Yield the reasons that a restart would not remove."""
        if self.stopping.is_set():
            yield f"the worker {'has stopped' if self.finished.is_set() else 'is stopping'}"
            return
        if blocked is not None and blocked.seconds <= self.lease:
            yield f"the event loop has been blocked for {blocked.seconds:.1f} s, {_blocked_by(blocked)}"
        if self.stuck.count >= self.concurrency:
            yield (
                f"all {self.concurrency} slots are taken by attempts that run on after their timeout, "
                f"such as {self.stuck.ids()[0]}"
            )
        if not connected and away > REDIS_AWAY_MAX:
            yield f"Redis has not answered for {away:.0f} s"
        else:
            yield from self.outages.reasons(now, REDIS_AWAY_MAX)
        if now - polled > POLL_OVERDUE:
            yield f"the poller has had no answer for {now - polled:.0f} s"
        if now - self.heartbeat.last_beat > self.lease:
            yield f"the heartbeat has not succeeded for {now - self.heartbeat.last_beat:.1f} s, a lease or longer"


def _blocked_by(blocked: BlockedLoop) -> str:
    if blocked.handler is None:
        return f"at {blocked.where}"
    return f"by the handler {blocked.handler} (task {blocked.task}) at {blocked.where}"
