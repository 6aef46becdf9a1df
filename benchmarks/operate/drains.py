"""What observing costs a worker that drains a queue: with it and without, A B A B in one run."""

from __future__ import annotations

import statistics
import threading
import urllib.request
from collections.abc import Callable
from contextlib import suppress

import trio

from benchmarks import measures
from benchmarks.operate.rows import Row
from benchmarks.scaling.stage import Stage
from benchmarks.server import free_port

ROUNDS = 5
TASKS = 30_000


async def observed(stage: Stage) -> list[Row]:
    """Compare drains with series, statistics by type, fields in the log and metrics with drains without.

    No attempt fails, so nothing is written of attempts in either.
    """
    what = "drain with series, types, log fields and metrics, against without"
    return [await _compared(stage, what, 0.97, _rate_scraped, _rate_bare)]


async def traced(stage: Stage) -> list[Row]:
    """Compare drains whose traces are sampled at 1 % with drains without traces."""
    what = "drain with traces sampled at 1 %, against without"
    return [await _compared(stage, what, 0.93, _rate_traced, _rate)]


async def _compared(stage: Stage, what: str, bound: float, on: Rate, off: Rate) -> Row:
    count, rounds = stage.some(TASKS), 2 if stage.quick else ROUNDS
    rates: dict[Rate, list[float]] = {off: [], on: []}
    for _ in range(rounds):
        for way, found in rates.items():
            found.append(await trio.to_thread.run_sync(way, stage, count))
            stage.say(f"{what}: {len(rates[on])} of {rounds}")
    ratios = [one / other for one, other in zip(rates[on], rates[off], strict=True)]
    with_it, without = (statistics.median(rates[way]) for way in (on, off))
    return Row(what, statistics.median(ratios), "", bound, least=True,
               note=f"{with_it:,.0f}/s, {without:,.0f}/s")  # fmt: skip


Rate = Callable[[Stage, int], float]


def _rate(stage: Stage, count: int, *flags: str) -> float:
    figure = measures.drain(stage.bench, count, retention=0.0, concurrency=100, extra=flags)
    return figure.value


def _rate_bare(stage: Stage, count: int) -> float:
    return _rate(stage, count, "--bare")


def _rate_traced(stage: Stage, count: int) -> float:
    return _rate(stage, count, "--traced")


def _rate_scraped(stage: Stage, count: int) -> float:
    port, over = free_port(), threading.Event()
    scraper = threading.Thread(target=_scrape, args=(port, over))
    scraper.start()
    try:
        return _rate(stage, count, "--observed", str(port))
    finally:
        over.set()
        scraper.join()


def _scrape(port: int, over: threading.Event) -> None:
    """Read the metrics once a second."""
    while not over.wait(1.0):
        # The worker may not listen yet, or no more.
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page,
        ):
            page.read()
