"""What is measured, one function each; every one begins with an empty server."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import attrs
import trio

import rediq_trio as rediq
from benchmarks.server import Bench
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys

QUEUE = "bench"
BY = 1000
"""Tasks in one `enqueue_many`."""
CALLERS = 100
"""Concurrent callers of `enqueue`."""
SENT = frozenset({"eval", "evalsha", "ping", "subscribe", "sadd", "hscan", "zscan", "pttl"})
"""Commands that the library's clients send; all others are called inside scripts."""
ASKED = frozenset(
    {"info", "config|resetstat", "config", "hello", "client|setinfo", "client", "command"}
)
"""Commands of the benchmark itself, and of connecting."""


@attrs.frozen
class Figure:
    """One run's outcome."""

    value: float
    notes: dict[str, float] = attrs.field(factory=dict)
    """What else was seen: CPU per task and the like."""


def _tasks(count: int, retention: float = 3600.0) -> list[rediq.Task[Any]]:
    return [rediq.Task("noop", {"i": i}, queue=QUEUE, retention=retention) for i in range(count)]


def _rate(count: int, begin: float, cpu: float, bench: Bench, used: float) -> Figure:
    took = time.perf_counter() - begin
    mine, redis = time.process_time() - cpu, bench.cpu() - used
    return Figure(count / took, {"cpu_us": mine / count * 1e6, "redis_cpu_us": redis / count * 1e6})


async def ping_singly(bench: Bench, count: int) -> Figure:
    """Round trips a second, one after another, that carry a PING: what the crossing to asyncio alone allows."""
    async with open_gateway(parse_address(bench.url), Keys("bench")) as gateway:
        await gateway.call(b"PING")
        begin, cpu, used = time.perf_counter(), time.process_time(), bench.cpu()
        for _ in range(count):
            await gateway.call(b"PING")
        return _rate(count, begin, cpu, bench, used)


async def enqueue_singly(bench: Bench, count: int) -> Figure:
    """Tasks a second that one caller enqueues one after another."""
    bench.raw.flushall()
    tasks = _tasks(count)
    async with rediq.connect(bench.url) as client:
        await client.enqueue(tasks.pop())
        begin, cpu, used = time.perf_counter(), time.process_time(), bench.cpu()
        for task in tasks:
            await client.enqueue(task)
        return _rate(len(tasks), begin, cpu, bench, used)


async def enqueue_together(bench: Bench, count: int, clients: int = 1) -> Figure:
    """Tasks a second that 100 concurrent callers enqueue, each one after another, by one client or by several."""
    bench.raw.flushall()
    tasks = iter(_tasks(count))
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(rediq.connect(bench.url)) for _ in range(clients)]
        for client in opened:
            await client.enqueue(rediq.Task("noop", {"i": 0}, queue=QUEUE))

        async def caller(client: rediq.Client) -> None:
            for task in tasks:
                await client.enqueue(task)

        begin, cpu, used = time.perf_counter(), time.process_time(), bench.cpu()
        async with trio.open_nursery() as nursery:
            for number in range(CALLERS):
                nursery.start_soon(caller, opened[number % clients])
        return _rate(count, begin, cpu, bench, used)


async def enqueue_in_bulk(bench: Bench, count: int, callers: int = 1) -> Figure:
    """Tasks a second by `enqueue_many` of 1,000 tasks made beforehand; each caller calls one after another."""
    bench.raw.flushall()
    tasks = _tasks(count)
    parts = iter([tasks[i : i + BY] for i in range(0, count, BY)])
    async with rediq.connect(bench.url) as client:
        await client.enqueue(rediq.Task("noop", {"i": 0}, queue=QUEUE))

        async def caller() -> None:
            for part in parts:
                await client.enqueue_many(part)

        begin, cpu, used = time.perf_counter(), time.process_time(), bench.cpu()
        async with trio.open_nursery() as nursery:
            for _ in range(callers):
                nursery.start_soon(caller)
        return _rate(count, begin, cpu, bench, used)


@contextmanager
def worker(bench: Bench, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Run a worker process that is ready, while the block lasts."""
    command = [sys.executable, "-m", "benchmarks.worker", bench.url, *flags]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        if child.stdout.readline() != "ready\n":
            raise SystemExit("the worker did not start")
        yield child
    finally:
        child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
        child.stdout.close()


def _last_words(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    said: dict[str, Any] = json.loads(child.stdout.readline())
    return said


def fill(bench: Bench, count: int, retention: float) -> None:
    """Pause the empty queue and put tasks in."""
    bench.raw.flushall()

    async def put() -> None:
        async with rediq.connect(bench.url) as client:
            await client.queue(QUEUE).pause()
            await client.enqueue_many(_tasks(count, retention))

    trio.run(put)


def _resume(bench: Bench) -> float:
    async def let() -> float:
        async with rediq.connect(bench.url) as client:
            begin = time.perf_counter()
            await client.queue(QUEUE).resume()
            return begin

    return trio.run(let)


def _completed(bench: Bench) -> int:
    async def ask() -> int:
        async with rediq.connect(bench.url) as client:
            return (await client.queue(QUEUE).stats()).completed_total

    return trio.run(ask)


def drain(
    bench: Bench, count: int, *, retention: float, concurrency: int, extra: Sequence[str] = ()
) -> Figure:
    """No-op tasks a second that one worker process settles, counted from the `resume` on."""
    fill(bench, count, retention)
    flags = ["--concurrency", str(concurrency), "--until", str(count), *extra]
    with worker(bench, *flags) as child:
        used = bench.cpu()
        begin = _resume(bench)
        said = _last_words(child)
        redis = bench.cpu() - used
    if (settled := _completed(bench)) != count:
        raise SystemExit(f"{settled} of {count} tasks were settled")
    notes = {
        "cpu_us": said["cpu"] / count * 1e6,
        "redis_cpu_us": redis / count * 1e6,
        "rss_mib": said["rss_kib"] / 1024,
    }
    return Figure(count / (said["end"] - begin), notes)


def latency(bench: Bench, count: int) -> list[float]:
    """Milliseconds from before the enqueue to the handler's start, on an idle worker; sorted."""
    bench.raw.flushall()
    chance = random.Random(7)
    sent: dict[int, float] = {}

    async def send() -> None:
        async with rediq.connect(bench.url) as client:
            for i in range(count):
                await trio.sleep(chance.uniform(0.02, 0.08))
                sent[i] = time.perf_counter()
                await client.enqueue(rediq.Task("stamp", {"i": i}, queue=QUEUE, retention=0))
            queue = client.queue(QUEUE)
            while (await queue.stats()).completed_total < count:  # no signal of it
                await trio.sleep(0.01)

    with worker(bench, "--listen") as child:
        time.sleep(0.5)  # until it is idle
        trio.run(send)
        assert child.stdin is not None
        child.stdin.close()
        starts = _last_words(child)["starts"]
    return sorted((float(starts[str(i)]) - begin) * 1000 for i, begin in sent.items())


def idle_commands(bench: Bench, seconds: float) -> Figure:
    """Commands a second that an idle worker sends; those inside its scripts as a note."""
    bench.raw.flushall()
    with worker(bench, "--listen"):
        time.sleep(2)  # until it has connected and looked at everything once
        before = _calls(bench)
        begin = time.perf_counter()
        time.sleep(seconds)
        after = _calls(bench)
        took = time.perf_counter() - begin
    made = {name: calls - before.get(name, 0) for name, calls in after.items()}
    client = {name: calls for name, calls in made.items() if calls and name in SENT}
    every = sum(made.values())
    notes = {name: calls / took for name, calls in client.items()}
    return Figure(sum(client.values()) / took, notes | {"with those inside scripts": every / took})


def _calls(bench: Bench) -> dict[str, int]:
    found = {}
    for name, stats in bench.info("commandstats").items():
        command = name.removeprefix("cmdstat_")
        if command not in ASKED:
            found[command] = int(stats["calls"])  # type: ignore[index]
    return found


async def bytes_per_task(bench: Bench, count: int) -> Figure:
    """Bytes that Redis uses for each queued task with a payload of 100 bytes."""
    bench.raw.flushall()
    async with rediq.connect(bench.url) as client:
        await client.enqueue(rediq.Task("bytes", b"x", queue=QUEUE))
        before = int(str(bench.info("memory")["used_memory"]))
        tasks: list[rediq.Task[Any]] = [
            rediq.Task("bytes", b"x" * 100, queue=QUEUE) for _ in range(count)
        ]
        await client.enqueue_many(tasks)
        after = int(str(bench.info("memory")["used_memory"]))
    return Figure((after - before) / count)
