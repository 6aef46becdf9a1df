"""One run: the ground, the fleet, the faults, the end, the judgement."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Any

import attrs
import trio

from rediq_trio import ConfigError, Rate, connect
from tests.chaos import ground as grounds
from tests.chaos.faults import cause, possible, rounds
from tests.chaos.final import drain, dump
from tests.chaos.ground import LEASE, SPARE, Ground, work_folder
from tests.chaos.kinds import LIMITS, SCHEDULES
from tests.chaos.viewer import keep_histories, viewing

PRODUCERS = 2
WARM_UP = 2.0
"""Seconds of work before the first fault."""
STOP_WITHIN = 30.0
"""Seconds that processes have to stop in good order."""


@attrs.frozen(kw_only=True)
class Plan:
    """What a run is to be."""

    seed: int
    seconds: float
    rate: float = 260.0
    """Tasks that the producers enqueue each second, together."""
    tasks: int | None = None
    """Stop with the faults when so many were enqueued, if that comes first."""
    workers: int = 4
    server: str = "plain"
    program: str | None = None
    durability: str = "memory"
    faults: tuple[str, ...] | None = None
    keep: Path | None = None
    viewer: bool = True
    """Whether someone looks at the queues meanwhile; nobody does where a failover takes steps back."""
    once: bool = False
    """Stop with the faults when each has come once, if that comes first."""
    lease: float = LEASE
    recover_within: float | None = None
    """Seconds in which work has to go on after a fault; None for the lease and `SPARE`."""
    away: float = 60.0
    """Seconds for which the server is away, when it is away for long."""


@attrs.define
class Report:
    """What a run came to."""

    plan: Plan
    seconds: float = 0.0
    tasks: int = 0
    acknowledged: int = 0
    starts: int = 0
    duplicates: int = 0
    """Starts after the first of their task."""
    explained: dict[str, int] = attrs.field(factory=dict)
    """How many of them by what."""
    faults: dict[str, int] = attrs.field(factory=dict)
    views: int = 0
    """How often a queue was looked at."""
    recoveries: dict[str, float] = attrs.field(factory=dict)
    """The longest of each kind of fault, in seconds."""
    allowed: float = 0.0
    violations: list[str] = attrs.field(factory=list)
    judged: str = ""
    """What the judge has to say beyond that."""

    @property
    def passed(self) -> bool:
        return not self.violations

    def as_data(self) -> dict[str, Any]:
        """Return the report as values that JSON can encode."""
        data = attrs.asdict(self)
        data["plan"]["keep"] = str(self.plan.keep) if self.plan.keep else None
        return {**data, "passed": self.passed}


Say = Callable[[str], None]


async def run(plan: Plan, say: Say) -> Report:
    """Run it all; what goes wrong is in the report."""
    report = Report(plan)
    with work_folder(plan.keep) as folder:
        async with open_ground(folder, plan) as ground:
            ground.lease, ground.away = plan.lease, plan.away
            names = _chosen(ground, plan)
            report.allowed = plan.recover_within or ground.lease + SPARE
            await _set_up(ground, plan)
            begun = time.monotonic()
            async with viewing(ground) if _is_viewed(plan) else nullcontext():
                await _work(ground, plan, names, say)
                report.seconds = time.monotonic() - begun
                await _finish(ground, report, say)
        say("judging")
        await trio.to_thread.run_sync(_judge, folder, report)
    return report


def open_ground(folder: Path, plan: Plan) -> AbstractAsyncContextManager[Ground]:
    """Return the context in which the servers of a plan run."""
    if plan.server == "plain":
        if plan.durability != "memory":
            raise ConfigError.of("durability", plan.durability, "memory with a plain server")
        return grounds.plain(folder, plan.seed, plan.program)
    return grounds.several(folder, plan.seed, plan.server, plan.program)


def _is_viewed(plan: Plan) -> bool:
    return plan.viewer and plan.server == "plain"


def _chosen(ground: Ground, plan: Plan) -> list[str]:
    if plan.faults is None:
        return possible(ground, plan.seconds)
    names = possible(ground, math.inf)
    if unknown := sorted({*plan.faults} - {*names}):
        raise ConfigError.of("faults", unknown[0], "one of " + ", ".join(names))
    return [*plan.faults]


async def _set_up(ground: Ground, plan: Plan) -> None:
    ground.observer.note(
        "setup",
        limits=LIMITS,
        schedules=SCHEDULES,
        lease=ground.lease,
        seed=plan.seed,
        durability=plan.durability,
        server=plan.server,
    )
    async with connect(ground.url) as client:
        if _is_viewed(plan):
            await keep_histories(client)
        for key, limit in LIMITS.items():
            if "concurrency" in limit:
                await client.queue("lanes").limit(key=key, concurrency=limit["concurrency"])
            else:
                count, per, burst = limit["rate"]
                await client.queue("lanes").limit(key=key, rate=Rate(count, per, burst=burst))
    told = ("--durability", plan.durability)
    for number in range(plan.workers):
        ground.fleet.hire("worker", f"w{number}", "--lease", str(ground.lease), *told)
    for number in range(PRODUCERS):
        ground.fleet.hire("producer", f"p{number}", "--rate", str(plan.rate / PRODUCERS), *told)


async def _work(ground: Ground, plan: Plan, names: list[str], say: Say) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ground.fleet.tend)
        await ground.fleet.wait_ready()
        await trio.sleep(WARM_UP)
        give_up = trio.current_time() + plan.seconds
        for chosen in rounds(names, ground.rng):
            if trio.current_time() >= give_up or _enough(ground, plan, names):
                break
            say(_progress(ground, give_up - trio.current_time(), chosen))
            await cause(ground, chosen)
        say("draining")
        await ground.fleet.dismiss(ground.fleet.places("producer"), STOP_WITHIN)
        nursery.cancel_scope.cancel()


def _enough(ground: Ground, plan: Plan, names: list[str]) -> bool:
    if plan.once and ground.faults.keys() >= {*names}:
        return True
    return plan.tasks is not None and ground.total >= plan.tasks


def _progress(ground: Ground, left: float, chosen: list[str]) -> str:
    longest = max((one.seconds for one in ground.recoveries), default=0.0)
    done = sum(ground.faults.values())
    return (
        f"{max(left, 0):4.0f} s left, {done} faults, longest recovery {longest:.1f} s, "
        f"{ground.total:,} tasks; now {' and '.join(chosen)}"
    )


async def _finish(ground: Ground, report: Report, say: Say) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ground.fleet.tend)
        left = await drain(ground)
        await ground.fleet.dismiss(ground.fleet.members, STOP_WITHIN)
        nursery.cancel_scope.cancel()
    report.violations += [f"stuck after the end: {count} {what}" for what, count in left.items()]
    report.violations += ground.fleet.unexpected
    report.violations += [
        f"recovery: {one.seconds:.1f} s after {one.kind}, more than {report.allowed:g} s"
        for one in ground.recoveries
        if one.seconds > report.allowed
    ]
    for one in ground.recoveries:
        report.recoveries[one.kind] = max(one.seconds, report.recoveries.get(one.kind, 0.0))
    report.faults = dict(sorted(ground.faults.items()))
    say("writing down what is there")
    report.tasks = await dump(ground)


def _judge(folder: Path, report: Report) -> None:
    # Late: what runs does not depend on who judges it.
    from rediq_trio.testing.judge import judge

    verdict = judge(folder)
    report.acknowledged = verdict.counts["acknowledged"]
    report.starts = verdict.counts["starts"]
    report.views = verdict.counts["views of a queue"]
    report.duplicates = len(verdict.duplicates)
    report.explained = dict(Counter(each.explanation for each in verdict.duplicates))
    report.violations += [str(each) for each in verdict.violations]
    report.judged = verdict.report()
