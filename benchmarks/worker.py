"""The worker of the benchmarks, in a process of its own.

    python -m benchmarks.worker URL --concurrency 100 --until 20000
    python -m benchmarks.worker URL --listen

With `--observed PORT` each task logs a record, formatted as `rediq run --log-format json` does
it, and metrics are served at that port. With `--bare` it logs the same as plain text, and
keeps neither series nor statistics by type: no setting turns these off, so functions are
replaced.

It says `ready` on a line when it serves. With `--until` it ends when that many
tasks are settled; else when its standard input closes. Then it says, as JSON, when
the last settlement was seen, what CPU it used and when each handler started, all by
`time.perf_counter`, which the processes of one machine share.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import logging
import os
import resource
import sys
import time

import trio

import rediq_trio as rediq
from rediq_trio.cli.process.log_format import JsonFormatter
from rediq_trio.spec.messages import Due
from rediq_trio.telemetry import OpenTelemetry
from rediq_trio.worker.keeping.sampler import Sampler
from rediq_trio.worker.reporting.attempt_times import AttemptTimes

LOOK = 0.002
"""Seconds between looks at the worker's tally."""

app = rediq.App()
starts: dict[int, float] = {}


async def noop(i: int) -> None:
    pass


async def logged(i: int) -> None:
    logging.getLogger("bench").info("task %d", i)


@app.task("stamp")
async def stamp(i: int) -> None:
    starts[i] = time.perf_counter()


@app.task("bytes")
async def take_bytes(data: bytes) -> None:
    pass


def log_to(formatter: logging.Formatter, *filters: logging.Filter) -> None:
    """Format each record, and keep none."""
    handler = logging.StreamHandler(open(os.devnull, "w"))  # noqa: SIM115  # as long as the process
    handler.setFormatter(formatter)
    for each in filters:
        handler.addFilter(each)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def strip() -> None:
    """Keep nothing of what attempts took, and no series."""

    async def idle(self: Sampler) -> Due:
        return Due(0, None)

    def forget(self: AttemptTimes, *_: object) -> None: ...

    Sampler.step = idle  # type: ignore[method-assign]
    AttemptTimes.add = forget  # type: ignore[method-assign]


def trace_some() -> OpenTelemetry:
    """Return telemetry that samples a trace in a hundred, and exports in batches to nobody."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.01)))
    provider.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
    return OpenTelemetry(provider)


async def run(
    url: str, concurrency: int, prefetch: str, until: int, port: int | None
) -> dict[str, object]:
    ahead = prefetch if prefetch == "auto" else int(prefetch)
    options = {"queues": ["bench"], "concurrency": concurrency, "prefetch": ahead}
    if port is not None:
        options["metrics_port"] = port
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
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--observed", type=int, metavar="PORT", help="with all that is kept and served"
    )
    ways.add_argument("--bare", action="store_true", help="without it")
    parser.add_argument("--traced", action="store_true", help="with traces, sampled at 1 %%")
    parser.add_argument("--profile", metavar="FILE", help="write a cProfile there")
    given = parser.parse_args()
    if given.observed is not None:
        log_to(JsonFormatter(), rediq.logging_filter())
    if given.bare:
        log_to(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        strip()
    app.task("noop")(noop if given.observed is None and not given.bare else logged)
    if given.traced:
        app.telemetry = trace_some()
    profile = cProfile.Profile() if given.profile else None
    if profile is not None:
        profile.enable()
    said = trio.run(run, given.url, given.concurrency, given.prefetch, given.until, given.observed)
    if profile is not None:
        profile.disable()
        profile.dump_stats(given.profile)
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
