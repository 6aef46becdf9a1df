"""How many workers a queue needs, from what its series and its workers' records say.

The rule is pure, and its state is in the series: whichever process asks gets the same answer in the
same 10 seconds. For each step of the series it computes a need, in slots, where one slot runs one attempt:

- The load is rate of arrivals times running time (Little's law, J. D. C. Little 1961, "A proof for the
  queuing formula L = λW"). With exactly as many slots the queue would grow without end.
- Room for chance: what square-root staffing adds (S. Halfin and W. Whitt 1981), or what keeps 95 % of
  the waits within the target if that is less. The latter is from the tail of the Erlang C model, which is
  exp(-room * target / running time).
- Room to catch up: slots that start all pending tasks within half the target. The other half passes
  until workers have started. The greater of the two rooms counts.
- Tasks that run for longer than the target keep their slots.

The number goes up at once, and down only when it was too high for 5 minutes, with 15 % to spare.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import attrs

from rediq_trio.client import Client
from rediq_trio.observe.alerts import LATE
from rediq_trio.settings import Settings
from rediq_trio.values.chance import utc_now
from rediq_trio.values.limits import QueueLimits
from rediq_trio.values.observed.series import Series
from rediq_trio.values.task import QueueStats, WorkerInfo

DEFAULT_LATENCY = LATE
"""Seconds that a task may wait in a queue without a target: as long as before the alert `late`."""
SERIES_SINCE = dt.timedelta(hours=1)
"""How much of the series is read: as far as the steps of 10 seconds go back."""
STABLE_STEPS = 30
"""Steps for which fewer workers must be enough before the number goes down: 5 minutes."""
SPARE = 1.15
"""By how much the number must be too high to go down: small changes change nothing."""
RATE_STEPS = 12
"""Steps over which arrivals are averaged at least: 2 minutes."""
RATE_RUNS = 2
"""Running times over which arrivals are averaged at least: slow tasks are few, so they need longer."""
JUMP_STEPS = (1, 2, 3, 6)
"""Steps in which more arrivals than chance explains are believed at once: 10 s to 1 minute."""
JUMP_CHANCE = 3.0
"""Standard deviations of a count that chance explains."""
STAFFING = 2.0
"""Standard deviations of the slots in use that there is room for."""
TAIL = math.log(20)
"""The logarithm of one in 20: 95 % of the waits are within the target."""
RUN_STEPS = (30, 90, 360)
"""Steps in which running times are looked for, until there are enough attempts: 5 minutes to 1 hour."""
ENOUGH_ATTEMPTS = 50
UNKNOWN_RUN = 1.0
"""Seconds that an attempt is taken to run in a queue in which none was seen."""
SHORTEST_RUN = 0.001
"""Seconds that an attempt is taken to run at least: the series hardly sees shorter ones."""


@attrs.frozen
class QueueStep:
    """What the rule knows of one step of a queue's series."""

    pending: float
    """Tasks that were pending at its end."""
    active: float
    """Tasks that were active at its end."""
    ended: float
    """Attempts that completed or failed in it."""


@attrs.frozen(kw_only=True)
class QueueNeed:
    """What a queue needed at the end of one step of its series."""

    slots: float
    """Attempts that should be able to run at once."""
    arrivals: float
    """Tasks that became due per second, those that came again included."""
    running_time: float
    """Seconds that an attempt ran."""


@attrs.frozen(kw_only=True)
class QueueScaling:
    """How many workers a queue should have, and from what that was computed."""

    desired: int
    """At least 1: with no worker, nobody would see the tasks that arrive."""
    live: int
    """Workers that serve it, without those that are quiet."""
    concurrency: float
    """Attempts that one of them runs at once, on average; the default setting if there is none."""
    latency: float
    """Seconds that a task may wait."""
    arrivals: float
    """Tasks that become due per second."""
    running_time: float
    """Seconds that an attempt runs."""


@attrs.define
class QueueNeeds:
    """The steps of a queue, added one by one, with the need at the end of the last one."""

    step: float
    """Seconds of a step."""
    latency: float
    """Seconds that a task may wait."""
    _steps: list[QueueStep] = attrs.field(factory=list[QueueStep])
    _ended: list[float] = attrs.field(factory=list[float])
    """Attempts that ended, up to each step: sums, so that a need costs the same however long it looks back."""
    _in_use: list[float] = attrs.field(factory=list[float])
    """Slots in use, times steps, up to each step."""

    def add(self, new: QueueStep) -> QueueNeed:
        """Add a step and return the need at its end."""
        if self._steps:
            self._ended.append(self._ended[-1] + new.ended)
            self._in_use.append(self._in_use[-1] + (self._steps[-1].active + new.active) / 2)
        else:
            self._ended.append(0.0)
            self._in_use.append(0.0)
        self._steps.append(new)
        running_time = self._running_time()
        arrivals = self._arrivals(running_time)
        load = arrivals * running_time
        by_chance = min(STAFFING * math.sqrt(load), TAIL * running_time / self.latency)
        catch_up = min(new.pending, new.pending * running_time / (self.latency / 2))
        slots = load + max(by_chance, catch_up)
        if running_time > self.latency:
            slots = max(slots, new.active)
        return QueueNeed(slots=slots, arrivals=arrivals, running_time=running_time)

    def _running_time(self) -> float:
        """Return for how long slots were in use, for each attempt.

        One that began or ended outside of the time looked at counts half, as it ran there in part.
        """
        known = len(self._steps) - 1
        attempts = in_use = 0.0
        for steps in RUN_STEPS:
            first = -1 - min(steps, known)
            ended = self._ended[-1] - self._ended[first]
            began = ended + self._steps[-1].active - self._steps[first].active
            attempts = (max(0.0, began) + ended) / 2
            in_use = self._in_use[-1] - self._in_use[first]
            if attempts >= ENOUGH_ATTEMPTS or steps >= known:
                break
        if attempts:
            return max(in_use * self.step / attempts, SHORTEST_RUN)
        # Those that run now have run all the time.
        return max(known * self.step, UNKNOWN_RUN) if in_use else UNKNOWN_RUN

    def _arrived(self, steps: int) -> float:
        """Return how many tasks became due in the last steps: those that ended, and more that are left."""
        now, then = self._steps[-1], self._steps[-1 - steps]
        left = now.pending + now.active - then.pending - then.active
        return max(0.0, self._ended[-1] - self._ended[-1 - steps] + left)

    def _arrivals(self, running_time: float) -> float:
        """Return the rate at which tasks become due; more of late counts if chance does not explain it."""
        known = len(self._steps) - 1
        if not known:
            return 0.0
        steps = min(known, max(RATE_STEPS, round(RATE_RUNS * running_time / self.step)))
        rate = self._arrived(steps) / (steps * self.step)
        for short in JUMP_STEPS:
            if short <= known:
                number = self._arrived(short)
                sure = number - JUMP_CHANCE * math.sqrt(number)
                rate = max(rate, sure / (short * self.step))
        return rate


def steady(needs: Sequence[float]) -> int:
    """Return the number of workers after these needs, the oldest first, each in workers.

    It follows a greater need at once. It goes down to what was enough in each of the last
    `STABLE_STEPS` needs, with `SPARE`; as long after that, only a need above `SPARE` makes it go up.
    """
    number, settled = 1, 0
    for n, need in enumerate(needs):
        wanted = _whole(need)
        if wanted > number:
            if n >= settled or need > SPARE * number:
                number, settled = wanted, 0
        elif wanted < number:
            lower = _whole(SPARE * max(needs[max(0, n - STABLE_STEPS) : n + 1]))
            if lower < number:
                number, settled = lower, n + STABLE_STEPS
    return number


def _whole(workers: float) -> int:
    return max(1, math.ceil(workers - 1e-9))


def steps_of(series: Series, stats: QueueStats) -> list[QueueStep]:
    """Return the steps of a series; what happened in a gap is spread evenly over its steps.

    A series that ends with a gap, or has no point, is continued with the numbers of now.
    """
    ends = [
        (one.at, QueueStep(one.pending, one.active, one.completed + one.failed))
        for one in series.points
    ]
    seen_until = max((gap.until for gap in series.gaps), default=None)
    if not ends or (seen_until and seen_until > ends[-1][0]):
        at = seen_until or utc_now()
        ends.append((at, QueueStep(stats.pending, stats.active, 0)))
    steps = [ends[0][1]]
    for (since, before), (until, after) in pairwise(ends):
        count = max(1, round((until - since).total_seconds() / series.step))
        unseen = sum(
            gap.completed + gap.failed for gap in series.gaps if since <= gap.since < until
        )
        for n in range(1, count + 1):
            steps.append(
                QueueStep(
                    pending=before.pending + (after.pending - before.pending) * n / count,
                    active=before.active + (after.active - before.active) * n / count,
                    ended=unseen / count + (after.ended if n == count else 0),
                )
            )
    return steps


def within_limits(need: QueueNeed, limits: QueueLimits) -> float:
    """Return the slots that a need can use: those above the limits of the whole queue would be idle."""
    slots = need.slots
    if limits.concurrency is not None:
        slots = min(slots, limits.concurrency)
    if limits.rate is not None:
        load = limits.rate.count / limits.rate.per * need.running_time
        slots = min(slots, load + STAFFING * math.sqrt(load))
    return slots


def scaling_of(
    series: Series, stats: QueueStats, limits: QueueLimits, workers: Iterable[WorkerInfo]
) -> QueueScaling:
    """Return how many workers a queue should have; `workers` are those that serve it and may claim.

    A queue that is paused needs workers only for what runs.
    """
    sizes = [one.concurrency for one in workers]
    concurrency = sum(sizes) / len(sizes) if sizes else float(Settings().concurrency)
    latency = DEFAULT_LATENCY if stats.targets.latency is None else stats.targets.latency
    history = QueueNeeds(series.step, latency)
    needs = [history.add(one) for one in steps_of(series, stats)]
    if stats.paused:
        desired = _whole(stats.active / concurrency)
    else:
        desired = steady([within_limits(one, limits) / concurrency for one in needs])
    return QueueScaling(
        desired=desired, live=len(sizes), concurrency=concurrency, latency=latency,
        arrivals=needs[-1].arrivals, running_time=needs[-1].running_time,
    )  # fmt: skip


async def read_scaling(
    client: Client, name: str, stats: QueueStats, workers: Iterable[WorkerInfo]
) -> QueueScaling:
    """Read the series and the limits of a queue, and return how many workers it should have.

    `stats` are its statistics and `workers` all live workers, both just read. Raises `ConnectionLost`.
    """
    queue = client.queue(name)
    series, limits = await queue.series(SERIES_SINCE), await queue.limits()
    serving = [one for one in workers if name in one.queues and one.state != "quiet"]
    return scaling_of(series, stats, limits, serving)
