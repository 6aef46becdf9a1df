"""Whether a seed replays to the byte: `python -m tests.testing.determinism --seeds 200`.

A storm is three servers and a client that use all that a queue can do, while servers are killed, frozen, cut off
and deployed, and Redis fails over. Four processes with two hash seeds play the same storms, and must come to the
same digests. With `--play FILE` it is one of these processes: it prints a line for each seed, and writes to the
file what happened.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from rediq_trio.testing.simulation import Simulation

ROOT = Path(__file__).parents[2]
HASH_SEEDS = ("1", "2")
HORIZON = 40.0
"""Simulated seconds of a storm."""
SERVERS = ("w0", "w1", "w2")
QUEUES = {"default": 3.0, "mail": 1.0, "wide": 1.0, "fair": 1.0}


def make_app() -> rediq.App[dict[str, int]]:
    """Return an app that uses all that there is."""
    app = rediq.App[dict[str, int]]("storm")

    @app.lifespan
    async def shared() -> AsyncGenerator[dict[str, int]]:
        yield {}

    @app.task("plain")
    async def plain(n: int) -> int:
        await trio.sleep(n % 3 / 4)
        return n

    @app.task("threaded", queue="mail")
    def threaded(n: int) -> str:
        return rediq.current_task().type * n

    @app.task("flaky", max_retry=3, backoff=rediq.Exponential(first=0.5, cap=4, jitter=0.5))
    async def flaky(n: int) -> int:
        if rediq.current_task().attempt <= n % 3:
            raise ConnectionError(f"{n} is away")
        return n

    @app.task("steps", timeout=5)
    async def steps(n: int) -> int:
        task = rediq.current_task()
        for part in range(3):
            await task.once(f"part {part}", trio.sleep, 0.3)
            task.progress(part * 33, f"part {part}")
        for each, queue in enumerate(("mail", "default", "fair")):
            task.enqueue_after(plain.options(queue=queue).task(n + each))
        return n

    @app.task("slow", timeout=3, max_retry=1)
    async def slow(n: int) -> None:
        await trio.sleep(2 + n % 4)

    @app.task("sum")
    async def add(n: int) -> int:
        found = await rediq.current_task().results()
        return n + sum(value or 0 for value in found.values())

    @app.task("member")
    async def member(n: int) -> None: ...

    @app.aggregator("group:*", max_size=3, grace_period=1, max_delay=4)
    async def join(tasks: list[rediq.Task[Any]]) -> rediq.Task[Any]:
        return plain.task(len(tasks))

    app.schedule("ticks", rediq.Every(3), plain.task(1))
    return app


def works(app: rediq.App[Any], draw: random.Random) -> Iterable[rediq.Task[Any]]:
    """Yield the tasks of a storm."""
    for n in range(40):
        name = draw.choice(["plain", "threaded", "flaky", "steps", "slow", "plain", "member"])
        options: dict[str, Any] = {"id": f"{name}-{n}"}
        if name == "member":
            options["group"] = f"group:{draw.randrange(3)}"
        elif draw.random() < 0.3:
            options |= {"queue": "fair", "limit_key": f"customer {draw.randrange(4)}"}
        elif draw.random() < 0.2:
            options |= {"unique": rediq.Unique(key=f"k{n % 3}", on_conflict="return")}
        elif draw.random() < 0.2:
            options |= {"queue": "wide"}
        if draw.random() < 0.2 and name != "member":
            options["delay"] = draw.uniform(0, 10)
        yield rediq.Task(name, {"n": n}, **options)


def play(seed: int, *, noise: bool) -> Simulation:
    """Play a storm to its end and return the simulation, closed."""
    draw, app = random.Random(seed), make_app()
    settings = {"queues": QUEUES, "lease": 4, "concurrency": 3, "history": 500, "shutdown_grace": 2}
    with Simulation(app, servers=3, seed=seed, noise=noise, settings=settings) as sim:
        client = sim.client
        sim.do(client.queue("fair").limit, concurrency=4, fair_by="limit_key")
        sim.do(client.queue("fair").limit, key="customer 1", concurrency=1)
        sim.do(client.queue("wide").partition, 3)
        sim.do(client.queue("mail").limit, rate=rediq.Rate(20, per=1))
        for task in works(app, draw):
            handle = sim.enqueue(task)
            if draw.random() < 0.1:
                handle.cancel()
            sim.advance(draw.uniform(0, 0.8))
            if draw.random() < 0.15:
                strike(sim, draw)
        needs = [sim.enqueue(rediq.Task[Any]("plain", {"n": n})).id for n in range(3)]
        sim.enqueue(rediq.Task[Any]("sum", {"n": 1}, depends_on=needs))
        sim.advance(HORIZON)
        return sim


def strike(sim: Simulation, draw: random.Random) -> None:
    """Let a fault befall a server."""
    name, kind = draw.choice(SERVERS), draw.randrange(5)
    if sim.server[name].state == "dead":
        sim.start(name)
    elif kind == 0:
        sim.kill(name)
    elif kind == 1:
        sim.freeze(name, draw.uniform(0.5, 6))
    elif kind == 2:
        sim.cut(name, draw.uniform(0.5, 5), hangs=draw.random() < 0.5)
    elif kind == 3:
        sim.deploy(name)
    else:
        sim.failover(lost=draw.uniform(0, 1))


def play_all(first: int, seeds: int, history: Path) -> None:
    """Play storms, print a line for each, and write their effects to a file."""
    logging.disable()
    with history.open("w") as file:
        for seed in range(first, first + seeds):
            sim = play(seed, noise=seed % 2 == 1)
            print(f"seed {seed}: {len(sim.history)} effects, {sim.history.digest}", flush=True)
            file.writelines(f"{seed} {effect}\n" for effect in sim.history)


@attrs.frozen
class Played:
    """What one process came to."""

    lines: list[str]
    history: Path

    def first_difference(self, other: Played) -> str:
        """Return the first effects that differ."""
        texts = (played.history.read_text().splitlines() for played in (self, other))
        found = next((pair for pair in zip(*texts, strict=False) if pair[0] != pair[1]), ())
        return "\n".join(found) or "the same effects; how many there were, or the reads between, differ"


def play_twice(first: int, seeds: int, where: Path) -> list[Played]:
    """Play storms in two processes at once, each with a hash seed of its own."""
    files = [where / f"{first}, hash seed {hash_seed}" for hash_seed in HASH_SEEDS]
    numbers = ["--first", str(first), "--seeds", str(seeds)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.testing.determinism", *numbers, "--play", str(file)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        for hash_seed, file in zip(HASH_SEEDS, files, strict=True)
    ]
    try:
        found = [process.communicate()[0].decode().splitlines() for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
    assert [process.returncode for process in started] == [0] * len(started)
    return [Played(lines, file) for lines, file in zip(found, files, strict=True)]


def compare(first: int, seeds: int, times: int) -> None:
    """Play storms `times` times in two processes; raise `AssertionError` if one differs."""
    with TemporaryDirectory() as folder:
        places = [Path(folder) / str(n) for n in range(times)]
        for place in places:
            place.mkdir()
        one, *others = [each for place in places for each in play_twice(first, seeds, place)]
        assert len(one.lines) == len({*one.lines}) == seeds
        for other in others:
            assert other.lines == one.lines, one.first_difference(other)


def main() -> None:
    """Compare processes, or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--play", type=Path)
    arguments = parser.parse_args()
    if arguments.play is not None:
        play_all(arguments.first, arguments.seeds, arguments.play)
        return
    compare(arguments.first, arguments.seeds, times=2)
    print(f"{arguments.seeds} seeds, each the same in 4 processes with 2 hash seeds")


if __name__ == "__main__":
    main()
