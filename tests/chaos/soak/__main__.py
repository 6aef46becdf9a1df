"""The soak, from the command line.

    python -m tests.chaos.soak                     an hour
    python -m tests.chaos.soak --minutes 5         what CI runs
    python -m tests.chaos.soak --minutes 0.2 --brief --plant objects,clients

`--brief` is for trying the soak itself: no task is kept for a minute, and what is left is
flushed and not waited for. `--plant` makes leaks, which it has to find.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio

import rediq_trio as rediq
from benchmarks.server import run_server
from tests.chaos.soak.chores import OTHER, QUEUE
from tests.chaos.soak.looking import Look, Looker
from tests.chaos.soak.picture import draw
from tests.chaos.soak.producing import Producer
from tests.chaos.soak.trend import LEAST
from tests.chaos.soak.verdict import LEFT, Row, judge, left_over, table

WARM_UP = 8.0
"""Seconds of work before the first look, so that all that comes once has come."""
STEADY = 3.0
"""Seconds for which nothing changes in Redis once all is purged."""
DRAINS_WITHIN = 150.0
"""Seconds; a task that someone waited for is kept for 60."""
LOOKS_AGAIN = 10
"""How often the end is looked at again while more is left than there was."""
LEAKS = ("objects", "clients")
"""Leaks that can be planted: a handler that keeps objects, clients that are never closed."""
LOOKS = 240
"""Looks at a long run; a short one has some each second."""


@attrs.frozen(kw_only=True)
class Plan:
    """What a soak is to be."""

    minutes: float
    rate: float
    brief: bool = False
    plant: tuple[str, ...] = ()
    server: str | None = None
    json: Path | None = None
    svg: Path | None = None

    @property
    def every(self) -> float:
        """Seconds between looks."""
        return max(0.2, self.minutes * 60 / LOOKS)


@attrs.define
class Result:
    """What a soak came to."""

    looks: list[Look]
    rows: list[Row]
    left: list[str]
    told: int
    visits: int
    grown: tuple[tuple[str, int], ...]

    @property
    def passed(self) -> bool:
        return not self.left and not any(row.wrong for row in self.rows)


Say = Callable[[str], None]


@contextmanager
def run_worker(url: str, *, leaks: bool) -> Iterator[subprocess.Popen[str]]:
    """Run the worker process while the block lasts; raise `RuntimeError` when it does not serve."""
    command = [
        sys.executable,
        "-m",
        "tests.chaos.soak.worker",
        url,
        *(["--leaks"] if leaks else []),
    ]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        if child.stdout.readline() != "ready\n":
            raise RuntimeError("the worker did not start")
        yield child
    finally:
        child.stdin.close()
        try:
            child.wait(60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


async def soak(plan: Plan, say: Say) -> Result:
    """Run it all."""
    with (
        run_server(plan.server) as bench,
        run_worker(bench.url, leaks="objects" in plan.plant) as worker,
    ):
        looker = Looker(bench, worker)
        async with trio.open_nursery() as leaking, rediq.connect(bench.url) as client:
            producer = Producer(bench.url, plan.rate, lingering=not plan.brief)
            say("warming up")
            await _work(producer, client, min(WARM_UP, plan.minutes * 60))
            drain = _flush if plan.brief else _drain
            before = await drain(client, looker, say)
            await looker.look(types=True)
            if "clients" in plan.plant:
                producer.leaks = leaking
            looks = await _soak(plan, producer, client, looker, say)
            after = await _without_passing(looker, before, await drain(client, looker, say, like=before))
            grown = (await looker.look(types=True)).grown
            leaking.cancel_scope.cancel()
    rows = judge(before, looks, after)
    return Result(
        [before, *looks, after],
        rows,
        left_over(before, after),
        producer.told,
        producer.visits,
        grown,
    )


async def _work(producer: Producer, client: rediq.Client, seconds: float) -> None:
    producer.stopping = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(producer.run, client)
        await trio.sleep(seconds)
        producer.stopping = True


async def _soak(
    plan: Plan, producer: Producer, client: rediq.Client, looker: Looker, say: Say
) -> list[Look]:
    looks: list[Look] = []
    await client.schedules().resume("every-second")
    async with trio.open_nursery() as nursery:
        producer.stopping = False
        nursery.start_soon(producer.run, client)
        end = trio.current_time() + plan.minutes * 60
        # On a busy machine a look takes its time, and a trend needs some.
        while (left := end - trio.current_time()) > 0 or len(looks) < 2 * LEAST:
            looks.append(look := await looker.look())
            figures = look.figures
            say(
                f"{max(left, 0) / 60:5.1f} min left, {producer.told:,} stories, worker "
                f"{figures['worker rss_kib'] / 1024:.1f} MiB, {figures['worker objects']:,} objects, "
                f"redis {figures['redis used_kib'] / 1024:.2f} MiB, {figures['redis members']:,} members"
            )
            await trio.sleep(min(plan.every, max(left, 0.1)))
        producer.stopping = True
    return looks


async def _drain(
    client: rediq.Client, looker: Looker, say: Say, *, like: Look | None = None
) -> Look:
    """Wait until nothing is left, or no more than there was before; return the last look."""
    await client.schedules().pause("every-second")
    give_up = trio.current_time() + DRAINS_WITHIN
    since, steady = trio.current_time(), await looker.look()
    while trio.current_time() < give_up:
        look = await looker.look()
        say(
            f"draining: {look.figures['redis members']:,} members in {look.figures['redis keys']} keys"
        )
        if look.holds != steady.holds:
            since, steady = trio.current_time(), look
        enough = trio.current_time() - since > STEADY and not await _tasks(client)
        if enough and (like is None or look.holds == like.holds):
            return look
        await trio.sleep(0.5)
    return await looker.look()


async def _without_passing(looker: Looker, before: Look, after: Look) -> Look:
    """Look again while more is left than before: what leaked stays, and the task of a call passes."""
    for _ in range(LOOKS_AGAIN):
        if not any(after.figures[name] > before.figures[name] + most for name, most in LEFT.items()):
            break
        await trio.sleep(0.5)
        again = await looker.look()
        least = {name: min(after.figures[name], again.figures[name]) for name in LEFT}
        after = attrs.evolve(again, figures={**again.figures, **least})
    return after


async def _flush(
    client: rediq.Client, looker: Looker, say: Say, *, like: Look | None = None
) -> Look:
    """Remove what is left, once nothing comes any more; return the last look."""
    await client.schedules().pause("every-second")
    for _ in range(2):  # what ran meanwhile may have sent something to the other queue
        for name in (QUEUE, OTHER):
            await client.queue(name).flush()
        await trio.sleep(0.5)
    say("flushed")
    return await looker.look()


async def _tasks(client: rediq.Client) -> int:
    """Count the tasks that are there, in any state."""
    count = 0
    for name in (QUEUE, OTHER):
        stats = await client.queue(name).stats()
        count += stats.enqueued - stats.purged - stats.deleted - stats.batched
    return count


def progress() -> Say:
    """Return a function that shows progress: one changing line on a terminal, else some lines."""
    begun, last = time.monotonic(), [-60.0]

    def say(text: str) -> None:
        now = time.monotonic() - begun
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text[:118]:118}\r")
            sys.stderr.flush()
        elif now - last[0] >= 15:
            last[0] = now
            print(f"{now:6.0f} s  {text}", file=sys.stderr, flush=True)

    return say


def parse(arguments: list[str] | None = None) -> Plan:
    """Read the command line, or what is given in its place."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak")
    parser.add_argument("--minutes", type=float, default=60.0, help="of work (60)")
    parser.add_argument("--rate", type=float, default=60.0, help="stories a second (60)")
    parser.add_argument(
        "--brief", action="store_true", help="flush what is left, do not wait for it"
    )
    parser.add_argument("--plant", default="", help="leaks to be found: objects, clients")
    parser.add_argument("--server", help="the redis-server to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all looks there too")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the looks there")
    given = parser.parse_args(arguments)
    if given.minutes <= 0 or given.rate <= 0:
        parser.error("--minutes and --rate: must be above 0")
    given.plant = tuple(filter(None, given.plant.split(",")))
    if unknown := sorted({*given.plant} - {*LEAKS}):
        parser.error(f"--plant {unknown[0]}: must be some of {', '.join(LEAKS)}")
    return Plan(**vars(given))


def main() -> int:
    """Soak, and return the exit status: 1 when something grows or is left."""
    plan = parse()
    result = trio.run(soak, plan, progress())
    before, after = result.looks[0].figures, result.looks[-1].figures
    print(
        f"\n{plan.minutes:g} minutes, {result.told:,} stories, {result.visits:,} clients came and went\n"
    )
    print(table(result.rows))
    print(f"\nleft in Redis: {after['redis members']:,} members in {after['redis keys']} keys, "
          f"and {before['redis members']:,} in {before['redis keys']} before")  # fmt: skip
    for line in result.left:
        print(f"FAILED: left in {line}")
    if not result.passed and result.grown:
        print(
            "objects that became more: "
            + ", ".join(f"{name} {many:,}" for name, many in result.grown)
        )
    if plan.json:
        data = [{"at": look.at, **look.figures} for look in result.looks]
        plan.json.write_text(json.dumps(data, indent=1) + "\n", "utf-8")
    if plan.svg:
        plan.svg.write_text(draw(result.looks[1:-1], result.rows), "utf-8")
    print("passed" if result.passed else "FAILED")
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
