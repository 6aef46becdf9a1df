"""Health: what a probe is told, and by what it is judged.

Two questions are kept apart. *Ready*: does this worker do its work now? While Redis
is away it does not, and no restart would help. *Alive*: would it do its work if the
world let it? An actor that hangs, or a loop that stands still past its lease, is
what a restart mends.

An actor is judged by its pace: it says when it will get on at the latest, and a full
worker, a paused queue or an empty one are as good as work. Everything here is read
only, so it may be asked from another thread, which still answers while the loop is
blocked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import trio

from rediq_trio.worker.heartbeat import Heartbeat
from rediq_trio.worker.pace import Pace
from rediq_trio.worker.watchdog import BlockedLoop, Watchdog

POLLED_WITHIN = 15.0
"""Seconds within which a worker with room must have got an answer to a claim; it asks every 6 s."""
AWAY = 10.0
"""Seconds that Redis may be away from a worker that is ready."""
HANGS = 30.0
"""Seconds by which an actor may be late; each wait for an answer is shorter."""


@attrs.frozen(kw_only=True)
class Health:
    """How a worker is. For probes: `alive` for a liveness probe, `ready` for a readiness probe."""

    alive: bool
    """Whether it works as far as Redis lets it: False is what a restart would mend."""
    ready: bool
    """Whether it is alive, started, not stopping, and in touch with Redis."""
    reasons: tuple[str, ...] = ()
    """Why it is not ready, each a sentence; empty when it is."""
    last_poll: float = 0.0
    """Seconds since the poller got an answer to a claim, or saw that there was no room for more."""
    last_beat: float = 0.0
    """Seconds since all leases were renewed and the worker's record was written."""
    connected: bool = False
    """Whether Redis answered when it was last asked."""
    last_answer: float = 0.0
    """Seconds since Redis last answered the poller, the heartbeat, the settler or the keeper."""
    blocked: BlockedLoop | None = None
    """What blocks the event loop now."""
    last_blocked: BlockedLoop | None = None
    """What blocked it last, over or not."""
    blocks: int = 0
    """How often it was blocked for longer than a third of the lease."""

    @property
    def healthy(self) -> bool:
        """Whether it is alive and ready."""
        return self.alive and self.ready


NOT_STARTED = Health(alive=True, ready=False, reasons=("the worker has not started",))


@attrs.define(eq=False)
class Examiner:
    """Judges a worker's health by its actors. Changes nothing, keeps nothing."""

    lease: float
    poller: Pace
    heartbeat: Heartbeat
    settler: Pace
    keeper: Pace
    watchdog: Watchdog
    stopping: trio.Event
    finished: trio.Event
    clock: trio.abc.Clock = attrs.field(factory=trio.lowlevel.current_clock)

    def examine(self) -> Health:
        """Judge; callable from any thread."""
        now = self.clock.current_time()
        blocked = self.watchdog.blocked()
        actors = self._actors()
        answered = max(pace.answered for pace in actors.values())
        connected = answered >= max(pace.refused for pace in actors.values())
        polled = max(self.poller.answered, self.poller.content)
        wrong = list(self._wrong(now, blocked, actors))
        hindered = list(self._hindered(now, polled, now - answered, connected, blocked))
        return Health(
            alive=not wrong,
            ready=not wrong and not hindered,
            reasons=(*wrong, *hindered),
            last_poll=max(0.0, now - polled),
            last_beat=max(0.0, now - self.heartbeat.last_beat),
            connected=connected,
            last_answer=max(0.0, now - answered),
            blocked=blocked,
            last_blocked=blocked or self.watchdog.last,
            blocks=self.watchdog.count,
        )

    def _actors(self) -> Mapping[str, Pace]:
        found = {"heartbeat": self.heartbeat.pace, "settler": self.settler, "keeper": self.keeper}
        # It ends when the worker begins to stop; the others see the attempts out.
        return found if self.stopping.is_set() else {"poller": self.poller} | found

    def _wrong(
        self, now: float, blocked: BlockedLoop | None, actors: Mapping[str, Pace]
    ) -> Iterator[str]:
        """Tell what a restart would mend."""
        if self.finished.is_set():
            return
        if blocked is not None:
            # Actors that could not run are not late by their own fault.
            if blocked.seconds > self.lease:
                yield f"the event loop has been blocked for longer than the lease, {_culprit(blocked)}"
            return
        for name, pace in actors.items():
            late = now - max(pace.due, self.watchdog.resumed)
            if late > HANGS:
                yield f"the {name} has not got on for {late:.0f} s"

    def _hindered(
        self, now: float, polled: float, away: float, connected: bool, blocked: BlockedLoop | None
    ) -> Iterator[str]:
        """Tell what keeps it from its work and no restart would mend."""
        if self.stopping.is_set():
            yield f"the worker {'has stopped' if self.finished.is_set() else 'is stopping'}"
            return
        if blocked is not None and blocked.seconds <= self.lease:
            yield f"the event loop has been blocked for {blocked.seconds:.1f} s, {_culprit(blocked)}"
        if not connected and away > AWAY:
            yield f"Redis has not answered for {away:.0f} s"
        if now - polled > POLLED_WITHIN:
            yield f"the poller has had no answer for {now - polled:.0f} s"
        if now - self.heartbeat.last_beat > self.lease:
            yield f"the heartbeat has not succeeded for {now - self.heartbeat.last_beat:.1f} s, a lease or longer"


def _culprit(blocked: BlockedLoop) -> str:
    if blocked.handler is None:
        return f"at {blocked.where}"
    return f"by the handler {blocked.handler} (task {blocked.task}) at {blocked.where}"
