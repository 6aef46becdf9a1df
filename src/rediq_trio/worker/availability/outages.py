"""Outages: which queues the store does not answer for, since when, and which are stopped.

A call that fails concerns its own queue only: the other queues may be on a node of the Cluster
that answers. So each actor records here, by queue, how its calls end, and goes on with the other
queues. Two kinds of failure are kept apart:

- An *outage* (`ConnectionLost`, and `ServerRefused`) passes. The call is repeated, with pauses
  that grow with the age of the outage.
- Any other error of a call is our own mistake, or damaged data, and would come again. The queue is
  stopped in this worker, and the log and the worker's health say so.

One outage makes one warning within seconds, one a minute while it lasts, and one when it is over.
It is over once calls were answered and none has failed for `OUTAGE_QUIET` seconds, so that a server
that answers some calls and refuses others is one outage.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping

import attrs
import trio

from rediq_trio._errors import ConnectionLost, ServerRefused, name_some
from rediq_trio.values.chance import uniform
from rediq_trio.worker.auto_reset_event import AutoResetEvent
from rediq_trio.worker.availability.log_limiter import LogLimiter

log = logging.getLogger("rediq_trio")

WORKER_RECORD = "the worker's record"
PARTITION_TABLE = "the numbers of partitions"
"""Recorded in the place of a queue for what belongs to none."""
OUTAGE_TOLD_AFTER = 2.0
"""Seconds after which an outage is logged; a shorter one is not."""
OUTAGE_QUIET = 5.0
"""Seconds without a failed call after which an outage is over; longer than `OUTAGE_PAUSE_MAX`."""
OUTAGE_REMINDER = 60.0
"""Seconds between two records of an outage that lasts."""
OUTAGE_PAUSE_MIN, OUTAGE_PAUSE_MAX = 0.1, 1.0
"""Bounds, in seconds, of the pause before a call of a queue is repeated."""
REPEATS_PER_SECOND = 50
"""Target rate of repeated calls of one actor, when very many queues are away."""
_REPORT_INTERVAL = 0.5
_QUEUES_NAMED = 5


@attrs.define(eq=False)
class Outage:
    """One queue that the store did not answer for. Times are on Trio's clock."""

    since: float
    failed_at: float
    error: Exception
    answered_at: float = -math.inf
    logged: bool = False
    """Whether a record of its beginning was logged, of its own or together with others."""

    def is_over(self, now: float) -> bool:
        return self.answered_at > self.failed_at and now - self.failed_at >= OUTAGE_QUIET

    def lasts(self, now: float) -> bool:
        """Return whether it is long enough to be logged."""
        end = now if self.failed_at >= self.answered_at else self.failed_at
        return end - self.since >= OUTAGE_TOLD_AFTER


@attrs.define(eq=False)
class Outages:
    """What the actors of one worker record. Another thread may read it: fields are replaced."""

    count_leases: Callable[[Collection[str]], int] = attrs.field(default=lambda _: 0)
    """Returns how many leases of some queues the worker holds."""
    failing: frozenset[str] = frozenset()
    """Queues whose last call failed."""
    stopped: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """The queues that are stopped in this worker, each with the reason."""
    limiter: LogLimiter = attrs.field(factory=lambda: LogLimiter(log))
    _outages: Mapping[str, Outage] = attrs.field(factory=dict[str, Outage])
    _begun: AutoResetEvent = attrs.field(factory=AutoResetEvent)
    _recovery: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _recovered_at: float = -math.inf
    _answered_at: float = -math.inf
    """When any call was last answered during an outage."""
    _logged_at: float = -math.inf
    _ended: dict[str, Outage] = attrs.field(factory=dict[str, Outage])
    """Outages whose end is not logged yet."""
    _ended_at: float = math.inf

    def record_failure(self, queue: str, error: Exception) -> None:
        """Record that a call of a queue was lost or refused."""
        if queue in self.stopped:
            return
        now = trio.current_time()
        outage = self._outages.get(queue)
        if outage is None or (outage.is_over(now) and not outage.logged):
            self._outages = {**self._outages, queue: Outage(now, now, error)}
            self._begun.set()
        else:
            outage.failed_at, outage.error = now, error
        if queue not in self.failing:
            self.failing |= {queue}

    def record_answer(self, queue: str) -> None:
        """Record that a call of a queue was answered."""
        if not self._outages:
            return
        now = self._answered_at = trio.current_time()
        outage = self._outages.get(queue)
        if outage is None:
            return
        outage.answered_at = now
        if queue in self.failing:
            self.failing -= {queue}
            if now - self._recovered_at >= 1.0:
                # Others probably come back with it.
                self._recovered_at = now
                self._recovery.unpark_all()

    def failed_at(self, queue: str) -> float:
        """Return when a call of a queue last failed, on Trio's clock; -inf for never."""
        outage = self._outages.get(queue)
        return -math.inf if outage is None else outage.failed_at

    def stop(self, queue: str, error: Exception) -> None:
        """Stop a queue in this worker, because of an error that would come again."""
        if queue in self.stopped:
            return
        reason = f"{type(error).__name__}: {error}"[:500]
        self.stopped = {**self.stopped, queue: reason}
        self.failing -= {queue}
        self._outages = {name: one for name, one in self._outages.items() if name != queue}
        log.error(
            "%s is stopped in this worker: %s. Its other queues go on. Look for damage with `rediq check`, "
            "and restart the worker", _named((queue,)), reason, exc_info=error, extra={"queue": queue},
        )  # fmt: skip

    def pause(self, queue: str) -> float:
        """Return the seconds to wait before a call of a queue is repeated."""
        outage = self._outages.get(queue)
        age = 0.0 if outage is None else trio.current_time() - outage.since
        if queue in self.stopped:
            age = math.inf
        longest = min(OUTAGE_PAUSE_MAX, max(OUTAGE_PAUSE_MIN, age / 4))
        longest = max(longest, len(self.failing) / REPEATS_PER_SECOND)
        return longest * uniform(0.5, 1.0)

    async def wait_pause(self, queue: str) -> None:
        """Wait before a call of a queue is repeated; less if another queue comes back."""
        with trio.move_on_after(self.pause(queue)):
            await self._recovery.park()

    def reasons(self, now: float, longer_than: float) -> Iterator[str]:
        """Yield why queues are not served, each as a sentence. Callable from any thread."""
        for queue, reason in self.stopped.items():
            yield f"{_named((queue,))} is stopped: {reason}"
        by_what: dict[str, list[str]] = {}
        longest = 0.0
        for queue, outage in self._outages.items():
            if now - outage.since > longer_than and outage.lasts(now):
                longest = max(longest, now - outage.since)
                by_what.setdefault(_what(outage.error), []).append(queue)
        for what, queues in by_what.items():
            yield f"Redis {what} {_named(queues)} for {longest:.0f} s"

    async def run(self) -> None:
        """Log the outages, until cancelled."""
        while True:
            await self._begun.wait()
            while self._outages or self._ended:
                await trio.sleep(_REPORT_INTERVAL)
                self._report(trio.current_time())
            self.limiter.log_counts()

    def _report(self, now: float) -> None:
        logged_before = any(outage.logged for outage in self._outages.values())
        over = {queue: one for queue, one in self._outages.items() if one.is_over(now)}
        if over:
            self._outages = {q: one for q, one in self._outages.items() if q not in over}
            ended = {queue: one for queue, one in over.items() if one.logged}
            if ended and not self._ended:
                self._ended_at = now
            self._ended |= ended
        lasting = {queue: one for queue, one in self._outages.items() if one.lasts(now)}
        new = [queue for queue, one in lasting.items() if not one.logged]
        for queue in new:
            lasting[queue].logged = True
        # As long as nothing at all is answered, queues that join belong to the same outage.
        if new and not (logged_before and self._answered_at < self._logged_at):
            self._logged_at = now
            self._warn(
                "Redis %s %s for %.0f s, and the worker tries again: %s. Leases in hand: %d", new
            )
        elif lasting and now - self._logged_at >= OUTAGE_REMINDER:
            self._logged_at = now
            self._warn("Redis still %s %s for %.0f s: %s. Leases in hand: %d", lasting)
        if self._ended and (not lasting or now - self._ended_at >= OUTAGE_QUIET):
            longest = max(one.answered_at - one.since for one in self._ended.values())
            text = "Redis answers again for %s, after %.0f s"
            self.limiter.warning(text, _named(self._ended), longest)
            self._ended = {}

    def _warn(self, text: str, queues: Collection[str]) -> None:
        outages = [self._outages[queue] for queue in queues]
        longest = max(outages, key=lambda one: trio.current_time() - one.since)
        self.limiter.warning(
            text,
            _what(longest.error),
            _named(queues),
            trio.current_time() - longest.since,
            str(longest.error)[:500],
            self.count_leases(queues),
            extra={"queues": tuple(queues)},
        )


def _what(error: Exception) -> str:
    if isinstance(error, ServerRefused):
        return "has refused commands for"
    if isinstance(error, ConnectionLost):
        return "has not answered for"
    return f"has failed ({type(error).__name__}) for"


def _named(queues: Collection[str]) -> str:
    """Return a few of the queues by name, and the number of the others."""
    some = sorted({*queues} - {WORKER_RECORD, PARTITION_TABLE})
    if not some:
        return " and ".join(sorted(queues))
    return f"{'queue' if len(some) == 1 else 'queues'} {name_some(some, _QUEUES_NAMED)}"
