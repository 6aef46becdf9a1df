"""Where a draining worker, or a bulk producer, spends its time.

    python -m benchmarks.profile_drain [drain | enqueue_many]

cProfile slows Python down by half or more and calls in C by little, so compare the
rows with each other, never with the figures of `benchmarks.core`.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

import trio

from benchmarks import measures
from benchmarks.server import run_server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile_drain")
    parser.add_argument("what", nargs="?", choices=("drain", "enqueue_many"), default="drain")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--results", action="store_true", help="keep results")
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--sort", default="tottime", help="tottime or cumtime")
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--server", metavar="PATH")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, run_server(given.server) as bench:
        kept = Path(folder) / "profile"
        if given.what == "drain":
            measures.drain(
                bench, given.tasks, retention=3600.0 if given.results else 0.0,
                concurrency=given.concurrency, extra=["--profile", str(kept)],
            )  # fmt: skip
        else:
            profile = cProfile.Profile()
            profile.enable()
            trio.run(measures.enqueue_in_bulk, bench, given.tasks)
            profile.disable()
            profile.dump_stats(kept)
        stats = pstats.Stats(str(kept))
        stats.strip_dirs().sort_stats(given.sort).print_stats(given.lines)


if __name__ == "__main__":
    main()
