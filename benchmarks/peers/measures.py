"""What is measured of each peer; every measure has a server, and processes, of its own.

A worker finds its queue full. It has imported and set up all it needs before it is let go. The
clock of a drain runs from the first handler's start, in any of the workers, until Redis holds no
task that is not settled: acknowledged, or for a queue that acknowledges nothing, taken off its
list and done. That is the same for all. The tasks that a worker claims before the first handler
starts are not in its CPU, which is why a drain lasts some seconds.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path

import attrs

from benchmarks.peers.children import AdapterFailed, Child, run_adapter
from benchmarks.peers.looking import (
    count_commands,
    cpu,
    fine_cpu,
    resident,
    session,
    stamps,
    tallied,
    unsettled,
)
from benchmarks.peers.roster import Peer
from benchmarks.server import Bench, run_server

WITHIN = 120.0
"""Seconds that a start, a fill or a drain may take."""
STANDSTILL = 30.0
"""Seconds without a finished task after which a drain has failed."""
PAYLOAD = 100
"""Bytes of payload of the tasks whose memory is measured."""
SETTLING = 3.0
"""Seconds after which an idle worker does only what it does for ever."""
STEADY = 500.0
"""Tasks a second that nearly every peer bears, for a latency at the same load."""
HEADROOM = 1.5
"""How many times as many it has to bear for that."""
FIRST = 1
"""A producer enqueues a task to connect and warm up; it is done with the others."""

Figures = dict[str, float]


@attrs.frozen
class Scale:
    """How long a measurement is to take, in seconds of the roster's rough rates."""

    drain: float
    produce: float
    idle: float
    load: float
    starts: int
    """Tasks whose way from enqueue to start is timed, on an idle worker."""


FULL = Scale(drain=4.0, produce=2.0, idle=20.0, load=5.0, starts=200)
QUICK = Scale(drain=0.8, produce=0.3, idle=3.0, load=1.5, starts=40)


@attrs.frozen(kw_only=True)
class Stage:
    """Where a peer is measured."""

    peer: Peer
    python: Path
    scale: Scale
    server: str | None = None
    seed: int = 1
    seen: Mapping[str, Figures] = attrs.field(factory=dict)
    """What this round has measured of this peer so far."""

    def tasks(self, rate: float, seconds: float) -> int:
        """Give how many tasks take about as long."""
        return max(100, round(rate * seconds))


def produce(
    stage: Stage, bench: Bench, how: str, count: int, *extra: str
) -> tuple[float, float, list[float]]:
    """Let the peer enqueue; give the seconds it took, its CPU, and the instants of `timed`."""
    arguments = ["produce", bench.url, "--how", how, "--count", str(count), *extra]
    with run_adapter(stage.python, stage.peer, *arguments) as child:
        child.listen(WITHIN)
        child.let_go()
        said = child.listen(WITHIN)
    return float(said["seconds"]), float(said["cpu"]), [float(at) for at in said["sent"]]


def enqueue(stage: Stage, how: str, rate: float) -> Figures:
    """Measure tasks a second that one process enqueues."""
    count = stage.tasks(rate, stage.scale.produce)
    with run_server(stage.server) as bench:
        seconds, used, _ = produce(stage, bench, how, count)
    return {"rate": count / seconds, "cpu_us": used / count * 1e6}


@attrs.frozen
class Crew:
    """Workers that are ready."""

    children: Sequence[Child]
    left: Sequence[Sequence[str]]
    folder: Path

    def let_go(self) -> None:
        for child in self.children:
            child.let_go()

    def check(self) -> None:
        for child in self.children:
            child.check()

    def pids(self) -> list[int]:
        return session(child.process.pid for child in self.children)


@contextmanager
def crew(
    stage: Stage, bench: Bench, processes: int = 1, *, results: bool = False, concurrency: int = 0
) -> Iterator[Crew]:
    """Run workers that wait to be let go, while the block lasts."""
    flags = ["--results"] if results else []
    concurrency = concurrency or stage.peer.concurrency
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-"))
        arguments = [
            "work",
            bench.url,
            "--concurrency",
            str(concurrency),
            "--folder",
            folder,
            *flags,
        ]
        children = [
            stack.enter_context(run_adapter(stage.python, stage.peer, *arguments))
            for _ in range(processes)
        ]
        left = [child.listen(WITHIN)["ready"]["left"] for child in children]
        yield Crew(children, left[0], Path(folder))


def wait_settled(bench: Bench, workers: Crew, count: int) -> tuple[float, float, float]:
    """Wait until all is settled; give when it began, when it ended, and the CPU between."""
    began, used, last, moved = 0.0, 0.0, -1, time.monotonic()
    give_up = moved + WITHIN
    while True:
        done, first = tallied(workers.folder)
        if first is not None and not began:
            began, used = first, cpu(workers.pids())
        now = time.monotonic()
        # Redis is only asked once the handlers are through, so that asking costs nobody.
        if done >= count and not unsettled(bench, workers.left):
            return began, time.monotonic(), cpu(workers.pids()) - used
        if done != last:
            last, moved = done, now
        if now > give_up or now - moved > STANDSTILL:
            workers.check()
            held = unsettled(bench, workers.left)
            raise AdapterFailed(
                f"{done:,} of {count:,} tasks were done, {held:,} are not settled, and nothing moves"
                f"{workers.children[0].last_words()}"
                if now <= give_up
                else f"{done:,} of {count:,} tasks were done in {WITHIN:g} s"
            )
        if done < count:
            workers.check()
        time.sleep(0.005 if done < count else 0.001)


def drain(
    stage: Stage, processes: int = 1, *, results: bool = False, naps: bool = False
) -> Figures:
    """Measure tasks a second that worker processes settle, and what each task costs."""
    peer = stage.peer
    concurrency = peer.naps if naps else peer.concurrency
    rate = min(peer.drains, concurrency / 0.01) if naps else peer.drains
    # Two processes do more than one; on few cores four do not do more than two.
    count = stage.tasks(rate * min(processes, 2), stage.scale.drain)
    flags = ["--results"] if results else []
    with run_server(stage.server) as bench:
        produce(stage, bench, "bulk", count, "--task", "nap" if naps else "noop", *flags)
        with crew(stage, bench, processes, results=results, concurrency=concurrency) as workers:
            before = bench.cpu()
            workers.let_go()
            began, ended, used = wait_settled(bench, workers, count + FIRST)
            redis = bench.cpu() - before
            rss = resident(workers.pids())
    count += FIRST
    return {
        "rate": count / (ended - began),
        "cpu_us": used / count * 1e6,
        "redis_cpu_us": redis / count * 1e6,
        "rss_mib": rss,
    }


def commands(stage: Stage) -> Figures:
    """Count the commands that Redis runs for each task, from a full queue to the last settlement."""
    count = stage.tasks(stage.peer.drains, stage.scale.drain / 2)
    with run_server(stage.server) as bench:
        with count_commands(bench) as filling:
            produce(stage, bench, "bulk", count)
        with crew(stage, bench) as workers, count_commands(bench) as seen:
            workers.let_go()
            wait_settled(bench, workers, count + FIRST)
    count += FIRST
    return {
        "sent": seen.sent / count,
        "inside": seen.inside / count,
        "sent_to_enqueue": filling.sent / count,
        "inside_to_enqueue": filling.inside / count,
    }


def share(values: Sequence[float], part: float) -> float:
    """Give the value that this part of the sorted values does not exceed."""
    return values[min(len(values) - 1, int(len(values) * part))]


def gaps(seed: int, count: int) -> list[float]:
    """Give instants 20 to 80 ms apart, in seconds."""
    chance = random.Random(seed)
    return [*accumulate(chance.uniform(0.02, 0.08) for _ in range(count))]


def arrivals(seed: int, rate: float, seconds: float) -> list[float]:
    """Give the instants at which independent callers send, so many a second (a Poisson process)."""
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"{rate} a second for {seconds} s: both must be above 0")
    chance = random.Random(seed)
    found: list[float] = []
    at = chance.expovariate(rate)
    while at < seconds:
        found.append(at)
        at += chance.expovariate(rate)
    return found or [seconds / 2]


def timed(stage: Stage, times: list[float]) -> tuple[list[float], list[float], list[float]]:
    """Send at these instants to an idle worker.

    Give, all by the same clock, when each task was meant to be sent, was sent, and started.
    """
    with run_server(stage.server) as bench, crew(stage, bench) as workers:
        plan = workers.folder / "times.json"
        plan.write_text(json.dumps(times))
        workers.let_go()
        time.sleep(SETTLING / 2)  # until it is idle
        _, _, sent = produce(stage, bench, "timed", 0, "--times", str(plan))
        wait_settled(bench, workers, len(times) + FIRST)
        starts = stamps(workers.folder)
    if missing := len(times) - sum(number in starts for number in range(len(times))):
        raise AdapterFailed(f"{missing:,} of {len(times):,} tasks never started")
    begin, *sent = sent
    return [begin + at for at in times], sent, [starts[number] for number in range(len(times))]


def summed(latencies: list[float]) -> Figures:
    """Give the percentiles of latencies in seconds, in milliseconds."""
    values = sorted(value * 1000 for value in latencies)
    return {f"p{part}": share(values, part / 100) for part in (50, 95, 99)}


def idle_to_start(stage: Stage) -> Figures:
    """Measure from before an enqueue until the handler starts, on an idle worker."""
    _, sent, starts = timed(stage, gaps(stage.seed, stage.scale.starts))
    return summed([start - at for start, at in zip(starts, sent, strict=True)])


def through(stage: Stage) -> Figures:
    """Measure tasks a second that a producer and a worker bear at once.

    All tasks are meant to be sent at the beginning: as many callers as it has send them one
    after another. The clock runs until the last handler starts.
    """
    count = stage.tasks(stage.peer.drains, stage.scale.load / 2)
    meant, _, starts = timed(stage, [0.0] * count)
    return {"rate": count / (max(starts) - meant[0])}


def saturating(seen: Mapping[str, Figures]) -> float:
    """Give the most tasks a second that came all the way through in this round."""
    try:
        return seen["through"]["rate"]
    except KeyError as error:
        raise AdapterFailed(f"no saturating rate: {error.args[0]} was not measured") from None


def load(stage: Stage) -> Figures:
    """Measure latency at half the saturating rate, from when each task was meant to be sent.

    The instants are fixed beforehand and nobody waits for an answer, so a stall counts against
    every task that should have been sent meanwhile.
    """
    return _at_load(stage, saturating(stage.seen) / 2)


def steady(stage: Stage) -> Figures:
    """Measure the same at `STEADY` tasks a second, of a peer that bears more."""
    if (most := saturating(stage.seen)) < HEADROOM * STEADY:
        raise AdapterFailed(f"{STEADY:,.0f} a second are too many: {most:,.0f} saturate it")
    return _at_load(stage, STEADY)


def _at_load(stage: Stage, rate: float) -> Figures:
    meant, _, starts = timed(stage, arrivals(stage.seed, rate, stage.scale.load))
    latencies = [start - at for start, at in zip(starts, meant, strict=True)]
    return {**summed(latencies), "rate": rate}


def memory(stage: Stage) -> Figures:
    """Measure the bytes that Redis uses for each queued task with a payload of 100 bytes."""
    count = stage.tasks(min(stage.peer.bulk, 10_000), stage.scale.produce)
    with run_server(stage.server) as bench:
        produce(stage, bench, "bulk", FIRST, "--payload", str(PAYLOAD))
        before = _memory(bench)
        produce(stage, bench, "bulk", count, "--payload", str(PAYLOAD))
        after = _memory(bench)
    return {"bytes": (after - before) / (count + FIRST)}


def _memory(bench: Bench) -> int:
    time.sleep(0.2)  # until the producer's connections are gone, with their buffers
    return int(str(bench.info("memory")["used_memory"]))


def idle(stage: Stage) -> Figures:
    """Measure what an idle worker costs: its share of a core, and commands a second."""
    with run_server(stage.server) as bench, crew(stage, bench) as workers:
        workers.let_go()
        time.sleep(SETTLING)
        workers.check()
        with count_commands(bench) as seen:
            pids, begin = workers.pids(), time.monotonic()
            before = fine_cpu(pids)
            time.sleep(stage.scale.idle)
            took, used = time.monotonic() - begin, fine_cpu(pids) - before
        workers.check()
    return {"cpu": used / took * 100, "sent": seen.sent / took, "inside": seen.inside / took}


MEASURES: dict[str, Callable[[Stage], Figures]] = {
    "enqueue-single": lambda stage: enqueue(stage, "single", stage.peer.sends),
    "enqueue-together": lambda stage: enqueue(stage, "together", stage.peer.sends * 2),
    "enqueue-bulk": lambda stage: enqueue(stage, "bulk", stage.peer.bulk),
    "drain-1": drain,
    "drain-2": lambda stage: drain(stage, 2),
    "drain-4": lambda stage: drain(stage, 4),
    "results": lambda stage: drain(stage, results=True),
    "naps": lambda stage: drain(stage, naps=True),
    "commands": commands,
    "idle-to-start": idle_to_start,
    "through": through,
    "load": load,
    "steady": steady,
    "memory": memory,
    "idle": idle,
}
"""Every measure, in the order of a round."""
NEEDS = dict.fromkeys(("load", "steady"), ("through",))
"""What a measure takes from others of the same round."""
