"""The worker of the benchmarks, in a process of its own.

    python -m benchmarks.worker URL --concurrency 100 --until 20000
    python -m benchmarks.worker URL --listen

It says `ready` on a line when it serves. With `--until` it ends when that many
tasks are settled; else when its standard input closes. Then it says, as JSON, when
the last settlement was seen, what CPU it used and when each handler started, all by
`time.perf_counter`, which the processes of one machine share.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import resource
import sys
import time

import trio

import rediq_trio as rediq

LOOK = 0.002
"""Seconds between looks at the worker's tally."""

app = rediq.App()
starts: dict[int, float] = {}


@app.task("noop")
async def noop(i: int) -> None:
    pass


@app.task("stamp")
async def stamp(i: int) -> None:
    starts[i] = time.perf_counter()


@app.task("bytes")
async def take_bytes(data: bytes) -> None:
    pass


async def run(url: str, concurrency: int, prefetch: str, until: int) -> dict[str, object]:
    ahead = prefetch if prefetch == "auto" else int(prefetch)
    options = {"queues": ["bench"], "concurrency": concurrency, "prefetch": ahead}
    async with rediq.serve(app, url, **options) as server:  # type: ignore[arg-type]
        print("ready", flush=True)
        before = time.process_time()
        if until:
            while server.stats().completed < until:  # the tally tells nobody
                await trio.sleep(LOOK)
        else:
            await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        end, cpu = time.perf_counter(), time.process_time() - before
        completed = server.stats().completed
    return {
        "end": end,
        "cpu": cpu,
        "completed": completed,
        "starts": starts,
        "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--prefetch", default="auto")
    parser.add_argument("--until", type=int, default=0)
    parser.add_argument("--listen", action="store_true", help="until standard input closes")
    parser.add_argument("--profile", metavar="FILE", help="write a cProfile there")
    given = parser.parse_args()
    profile = cProfile.Profile() if given.profile else None
    if profile is not None:
        profile.enable()
    said = trio.run(run, given.url, given.concurrency, given.prefetch, given.until)
    if profile is not None:
        profile.disable()
        profile.dump_stats(given.profile)
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
