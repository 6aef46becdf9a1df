"""What a history costs the server: microseconds per task, by its own count.

    python -m benchmarks.history [--against FOLDER]

Each figure is the median over the rounds of the time that the server says scripts took
(`INFO commandstats`), which other processes on the machine disturb less than the clock on
the wall. `--against` names the folder of other scripts, as of an older checkout, to be
measured in turns with these.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
import trio

from benchmarks.server import Bench, run_server
from rediq_trio.spec.messages import Completed, NewTask
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import load_scripts
from rediq_trio.store.redis.store import RedisStore
from rediq_trio.tasks.ids import new_id

QUEUE = "q"
KEPT = 10_000


@attrs.frozen
class Variant:
    """Scripts, and how much history they keep."""

    name: str
    lua: Path | None
    kept: int


async def measure(bench: Bench, variant: Variant, size: int, calls: int) -> dict[str, float]:
    """Take tasks through enqueue, claim and complete, `size` in each call; give us per task."""
    keys = Keys("bench")
    found: dict[str, float] = {}
    async with open_gateway(parse_address(bench.url), keys) as gateway:
        store = RedisStore(gateway, load_scripts(variant.lua), keys)
        await gateway.call(b"FLUSHALL")
        if variant.kept:
            await store.arrange(QUEUE, history=variant.kept)
        batches = [
            [NewTask(new_id(), b"e" * 100, retention_ms=0) for _ in range(size)]
            for _ in range(calls)
        ]
        items: list[list[Completed]] = []

        async def enqueue() -> None:
            for batch in batches:
                await store.enqueue(QUEUE, batch)

        async def claim() -> None:
            for n in range(calls):
                claimed = await store.claim(
                    QUEUE, limit=size, lease_ms=60_000, worker="w", nonce=n.to_bytes(8, "big")
                )
                items.append([Completed(lease.fence, b"r") for lease in claimed.leases])

        async def complete() -> None:
            for batch in items:
                await store.settle(QUEUE, batch)

        for step in (enqueue, claim, complete):
            found[step.__name__] = await _timed(bench, step) / (size * calls)
    return found


async def _timed(bench: Bench, step: Callable[[], Awaitable[None]]) -> float:
    bench.raw.config_resetstat()
    await step()
    return sum(
        float(said["usec"]) for name, said in bench.raw.info("commandstats").items()
        if name in ("cmdstat_evalsha", "cmdstat_eval")
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="other scripts")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tasks", type=int, default=4_000, help="in each round")
    parser.add_argument("--sizes", default="1,100", help="tasks in a call")
    parser.add_argument("--server", metavar="PATH")
    given = parser.parse_args()
    variants = [Variant("off", None, 0), Variant(f"on, {KEPT:,}", None, KEPT)]
    if given.against:
        variants.insert(0, Variant("against", given.against, 0))
    with run_server(given.server, unix=True) as bench:
        print(f"{bench.version}, us per task: median (least)")
        for size in map(int, given.sizes.split(",")):
            seen: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
            for number in range(given.rounds):
                # Each in turn goes first: what comes after another may find a warmer machine.
                turn = number % len(variants)
                for variant in variants[turn:] + variants[:turn]:
                    calls = given.tasks // size
                    for step, us in trio.run(measure, bench, variant, size, calls).items():
                        seen[step, variant.name].append(us)
            for (step, name), values in sorted(seen.items(), key=lambda item: item[0][0]):
                median, least = statistics.median(values), min(values)
                print(f"{step:9} by {size:3}  {name:12} {median:7.2f} ({least:.2f})")


if __name__ == "__main__":
    main()
