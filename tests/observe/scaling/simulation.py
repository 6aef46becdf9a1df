"""A queue, its workers and what scales them, simulated with a clock of its own."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

import attrs

from rediq_trio.observe.scaling import QueueNeeds, QueueStep, steady

STEP = 10.0
START_UP = 30.0
"""Seconds from when a worker is asked for until it claims."""
ASKED_EVERY = 15.0
"""Seconds between two questions, as a horizontal pod autoscaler asks."""


@attrs.frozen(kw_only=True)
class Pattern:
    """How tasks arrive, and how long they run."""

    rate: Callable[[float], float]
    """Arrivals per second at an instant."""
    highest: float
    """The highest of these rates."""
    run: Callable[[random.Random], float]
    """Draws the seconds that a task runs."""
    concurrency: int = 4
    steady_from: float | None = None
    """Seconds after which the rate never changes; None if it always does."""


@attrs.frozen
class Moment:
    """What was so at the end of a step."""

    at: float
    arrived: int
    pending: int
    desired: int
    live: int


@attrs.define
class Run:
    """What a simulation found."""

    moments: list[Moment] = attrs.field(factory=list[Moment])
    desired: list[tuple[float, int]] = attrs.field(factory=list[tuple[float, int]])
    """Each answer, with its time."""
    waits: list[tuple[float, float]] = attrs.field(factory=list[tuple[float, float]])
    """When each task arrived, and how long it waited."""

    def p95_by_minute(self) -> dict[int, float]:
        """Return the wait that 95 % of the tasks that arrived in a minute did not exceed."""
        by_minute: dict[int, list[float]] = {}
        for at, waited in self.waits:
            by_minute.setdefault(int(at // 60), []).append(waited)
        return {
            minute: sorted(waits)[math.ceil(0.95 * len(waits)) - 1]
            for minute, waits in sorted(by_minute.items())
        }

    def turns(self) -> list[float]:
        """Return when the number changed its direction."""
        found: list[float] = []
        last, direction = self.desired[0][1], 0
        for at, number in self.desired:
            if number != last:
                new = 1 if number > last else -1
                if direction and new != direction:
                    found.append(at)
                last, direction = number, new
        return found


def arrivals(pattern: Pattern, random_: random.Random, length: float) -> Iterator[float]:
    """Draw the instants of a Poisson process whose rate changes, by thinning."""
    at = 0.0
    while (at := at + random_.expovariate(pattern.highest)) < length:
        if random_.random() * pattern.highest < pattern.rate(at):
            yield at


@attrs.define
class Fleet:
    """The workers, and the tasks that they run."""

    concurrency: int
    live: int = 1
    starting: list[float] = attrs.field(factory=list[float])
    """When each of those that start will claim."""
    ends: list[float] = attrs.field(factory=list[float])
    """When each attempt ends; a heap."""
    pending: deque[float] = attrs.field(factory=deque[float])

    def scale(self, number: int, now: float) -> None:
        """Ask for that many workers: others start, or some go at once and end what they run."""
        while self.live + len(self.starting) > number and self.starting:
            self.starting.pop()
        self.live = min(self.live, number)
        while self.live + len(self.starting) < number:
            self.starting.append(now + START_UP)

    def advance(self, now: float) -> None:
        """Let those start that are ready."""
        while self.starting and self.starting[0] <= now:
            self.starting.pop(0)
            self.live += 1


def simulate(
    pattern: Pattern, seed: int, *, latency: float, length: float, remembers: bool = True
) -> Run:
    """Run a queue for `length` seconds; without `remembers` each need is followed at once."""
    random_ = random.Random(seed)
    coming = arrivals(pattern, random_, length)
    following = next(coming, math.inf)
    fleet, run = Fleet(pattern.concurrency), Run()
    history, needs = QueueNeeds(STEP, latency), list[float]()
    arrived = completed = 0
    next_step, next_question, answer = STEP, ASKED_EVERY, 1

    def start(now: float) -> None:
        while fleet.pending and len(fleet.ends) < fleet.live * fleet.concurrency:
            since = fleet.pending.popleft()
            run.waits.append((since, now - since))
            heappush(fleet.ends, now + pattern.run(random_))

    while True:
        ready = fleet.starting[0] if fleet.starting else math.inf
        ends = fleet.ends[0] if fleet.ends else math.inf
        now = min(following, ends, ready, next_step, next_question)
        if now >= length:
            break
        if now == following:
            arrived += 1
            fleet.pending.append(now)
            following = next(coming, math.inf)
        elif now == ends:
            heappop(fleet.ends)
            completed += 1
        elif now == ready:
            fleet.advance(now)
        elif now == next_step:
            next_step += STEP
            need = history.add(QueueStep(len(fleet.pending), len(fleet.ends), completed))
            needs.append(need.slots / pattern.concurrency)
            run.moments.append(Moment(now, arrived, len(fleet.pending), answer, fleet.live))
            arrived = completed = 0
        else:
            next_question += ASKED_EVERY
            answer = steady(needs if remembers else needs[-1:])
            run.desired.append((now, answer))
            fleet.scale(answer, now)
        start(now)
    run.waits += [(since, length - since) for since in fleet.pending]
    return run


def _short(random_: random.Random) -> float:
    return random_.expovariate(1 / 4)


def _heavy(random_: random.Random) -> float:
    # A Pareto distribution with mean 4.5 and without a variance, cut at 10 minutes.
    return min(600.0, 1.5 * random_.paretovariate(1.5))


def _slow(random_: random.Random) -> float:
    return random_.uniform(120, 360)


PATTERNS = {
    "steady low": Pattern(rate=lambda _: 0.1, highest=0.1, run=_short, steady_from=0),
    "steady high": Pattern(rate=lambda _: 4.0, highest=4.0, run=_short, steady_from=0),
    "ramp": Pattern(
        rate=lambda at: 0.2 + 4.8 * min(1, at / 1800), highest=5.0, run=_short, steady_from=1800
    ),
    "step up": Pattern(
        rate=lambda at: 0.5 if at < 900 else 5.0, highest=5.0, run=_short, steady_from=900
    ),
    "step down": Pattern(
        rate=lambda at: 5.0 if at < 900 else 0.5, highest=5.0, run=_short, steady_from=900
    ),
    "burst": Pattern(
        rate=lambda at: 12.0 if 1200 <= at < 1230 else 1.0, highest=12.0, run=_short,
        steady_from=1230,
    ),
    "daily wave": Pattern(
        rate=lambda at: 2.5 - 2.3 * math.cos(2 * math.pi * at / 2700), highest=4.8, run=_short
    ),
    "on and off": Pattern(
        rate=lambda at: 4.0 if at % 360 < 120 else 0.05, highest=4.0, run=_short
    ),
    "slow tasks": Pattern(
        rate=lambda _: 0.15, highest=0.15, run=_slow, concurrency=5, steady_from=0
    ),
    "heavy tail": Pattern(rate=lambda _: 2.0, highest=2.0, run=_heavy, steady_from=0),
}  # fmt: skip
