"""The tallier: passes what a worker has counted of its attempts to their queues, once a beat.

One call for each queue in which attempts ended since the last one. A call that was not answered is made
again with the same number, by which the queue knows that it has it already; what was counted
meanwhile is in the next. Statistics never hold up tasks: nothing waits for them but the last call of
a worker that stops, for a moment.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.history.type_counts import TYPES_KEPT, WAITS_AT, TypeCounts
from rediq_trio.store.port import Store
from rediq_trio.values.chance import entropy
from rediq_trio.worker.availability.outages import Outages
from rediq_trio.worker.reporting.attempt_times import AttemptTimes


@attrs.frozen
class _Tally:
    """What is passed on in one call."""

    number: int
    counts: dict[str, TypeCounts]


@attrs.define(eq=False)
class Tallier:
    """The tallies of one worker."""

    store: Store
    times: AttemptTimes
    interval: float
    """Seconds between two calls for a queue."""
    outages: Outages = attrs.field(factory=Outages)
    _worker: bytes = attrs.field(factory=lambda: entropy(8))
    _numbers: dict[str, int] = attrs.field(factory=dict[str, int])
    """The number of the last tally of each queue."""
    _unanswered: dict[str, _Tally] = attrs.field(factory=dict[str, _Tally])
    _calling: set[str] = attrs.field(factory=set[str])

    async def run(self) -> None:
        """Pass counts on until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(self.interval)
                for queue in self._queues():
                    if queue not in self._calling:
                        self._calling.add(queue)
                        nursery.start_soon(self._pass_on, queue)

    async def finish(self) -> None:
        """Pass the rest on, after `run` has ended."""
        async with trio.open_nursery() as nursery:
            for queue in self._queues():
                nursery.start_soon(self._finish_queue, queue)

    def _queues(self) -> Iterable[str]:
        """Return the queues with counts to pass on."""
        return dict.fromkeys((*self._unanswered, *self.times.moved()))

    async def _finish_queue(self, queue: str) -> None:
        # The call that was cut off first, if there is one.
        for _ in range(1 + (queue in self._unanswered)):
            await self._pass_on(queue)

    async def _pass_on(self, queue: str) -> None:
        tally = self._unanswered.get(queue)
        if tally is None:
            number = self._numbers.get(queue, 0) + 1
            tally = _Tally(number, _at_most(self.times.take(queue), TYPES_KEPT))
            self._unanswered[queue], self._numbers[queue] = tally, number
        try:
            if tally.counts:
                await self.store.tally(
                    queue, worker=self._worker, number=tally.number, counts=tally.counts
                )
        except ConnectionLost:
            return  # the next beat calls again
        except Exception as error:
            # Only numbers are lost by it, so the queue is served on.
            self.outages.limiter.warning(
                "queue %s: its statistics by type were not written: %s", queue, error,
                extra={"queue": queue},
            )  # fmt: skip
        finally:
            self._calling.discard(queue)
        del self._unanswered[queue]


def _at_most(counts: dict[str, TypeCounts], most: int) -> dict[str, TypeCounts]:
    """Return the counts of the busiest types, with the sum of the others as ''."""
    if len(counts) <= most:
        return counts
    busiest = sorted(counts, key=lambda name: (not name, -sum(counts[name][:WAITS_AT]), name))
    rest = [counts[name] for name in busiest[most:]]
    return {name: counts[name] for name in busiest[:most]} | {
        "": tuple(map(sum, zip(*rest, strict=True)))
    }
