"""Bytes that Redis uses: of a queued task, of the series of queues, of the attempts of a task."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs

import rediq_trio as rediq
from benchmarks.measures import bytes_per_task
from benchmarks.operate.filling import MANY_QUEUES
from benchmarks.operate.rows import Row
from benchmarks.scaling.stage import Stage
from rediq_trio.spec.history.samples import CHUNKS_KEPT, SAMPLE_STEP_MS, STEPS_OF, STEPS_PER_CHUNK
from rediq_trio.spec.history.type_counts import (
    BUCKETS,
    TYPE_OUTCOMES,
    TYPES_KEPT,
    TYPES_STEP_MS,
    TYPES_STEPS,
    TypeCounts,
)
from rediq_trio.spec.messages import NewTask
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import load_scripts
from rediq_trio.store.redis.store import RedisStore
from rediq_trio.tasks.ids import new_id

BUSY_SHARE = 0.05
"""The share of the queues that are busy; the others were used for an hour."""
TYPICAL, MOST = 3, 100
"""Failed attempts of a task: as many as by default, and very many."""
NO_WAIT = rediq.Fixed(0.001)
PREFIX = "rediq"
KIB, MIB = 2**10, 2**20


@attrs.define
class Clock:
    """The time that the scripts are told, in ms."""

    now: int = attrs.field(factory=lambda: time.time_ns() // 1_000_000)

    def __call__(self) -> int:
        return self.now


@asynccontextmanager
async def _store(stage: Stage, clock: Clock) -> AsyncGenerator[RedisStore]:
    keys = Keys(PREFIX)
    async with open_gateway(parse_address(stage.bench.url), keys) as gateway:
        yield RedisStore(gateway, load_scripts(), keys, clock)


async def tasks(stage: Stage) -> list[Row]:
    """Measure a queued task with a payload of 100 bytes."""
    count = 10_000 if stage.quick else 50_000
    figure = await bytes_per_task(stage.bench, count)
    return [Row("queued task, 100-byte payload", figure.value, "bytes", 400)]


async def series(stage: Stage) -> list[Row]:
    """Measure the series of a queue, and those of many of which few are busy."""
    stage.empty()
    clock = Clock()
    end = clock.now
    many = 50 if stage.quick else MANY_QUEUES
    busy = max(1, round(many * BUSY_SHARE))
    async with _store(stage, clock) as store:
        # What is kept of a month, each level at the steps that are left of it.
        for level in (2, 1, 0):
            steps = STEPS_PER_CHUNK * (CHUNKS_KEPT[level] + 1)
            if stage.quick:
                steps //= 10
            for back in range(steps, 0, -1):
                clock.now = end - back * STEPS_OF[level] * SAMPLE_STEP_MS
                await _sampled(store, "one")
            stage.say(f"series: level {level} sampled")
        one = _bytes(stage, "one")
        for n in range(many):
            if n < busy:
                _copied(stage, "one", f"many{n}")
                continue
            for back in range(360, 0, -60):
                clock.now = end - back * SAMPLE_STEP_MS
                await _sampled(store, f"many{n}")
        stage.say("series: types")
        await _tallied(
            store, clock, end, "one", steps=TYPES_STEPS // 10 if stage.quick else TYPES_STEPS
        )
        with_types = await store.series_bytes("one")
        all_bytes = sum(_bytes(stage, f"many{n}") for n in range(many))
    return [
        Row("series of a queue", one / KIB, "KB", 350),
        Row("series of a queue with 200 busy types", with_types / MIB, "MB", 2),
        Row(f"series of {many:,} queues of which {many - busy:,} are idle", all_bytes / MIB, "MB",
            64),
    ]  # fmt: skip


async def _sampled(store: RedisStore, queue: str) -> None:
    """Change the numbers of a queue, and sample them."""
    await store.enqueue(queue, [NewTask(new_id(), b"e")])
    await store.sample(queue, known=-1, unseen_ms=0)


async def _tallied(store: RedisStore, clock: Clock, end: int, queue: str, *, steps: int) -> None:
    """Pass on the counts of 200 types, each with some hundred attempts a step, for a day."""
    chance = random.Random(7)
    for back in range(steps, -1, -1):
        clock.now = end - back * TYPES_STEP_MS
        counts = {f"app.tasks:type_{n}": _counts(chance) for n in range(TYPES_KEPT)}
        await store.tally(queue, worker=b"bench", number=steps - back + 1, counts=counts)


def _counts(chance: random.Random) -> TypeCounts:
    """Return how 100 to 1,000 attempts went: most in few buckets, as times are."""
    attempts = chance.randrange(100, 1_000)
    failed = attempts // 50
    outcomes = [attempts - failed, failed, *[0] * (len(TYPE_OUTCOMES) - 2)]
    return (*outcomes, *_spread(chance, attempts), *_spread(chance, attempts))


def _spread(chance: random.Random, attempts: int) -> list[int]:
    counts, middle = [0] * BUCKETS, chance.randrange(3, BUCKETS - 3)
    for away, share in ((3, 0.01), (-3, 0.02), (2, 0.05), (-2, 0.08), (1, 0.16), (-1, 0.2)):
        counts[middle + away] = round(attempts * share * chance.uniform(0.5, 1.5))
    counts[middle] = attempts - sum(counts)
    return counts


def _key(queue: str) -> bytes:
    (key,) = Keys(PREFIX).of(queue, ("series",))
    return key


def _bytes(stage: Stage, queue: str) -> int:
    used: int | None = stage.bench.raw.memory_usage(_key(queue), samples=0)
    return used or 0


def _copied(stage: Stage, queue: str, other: str) -> None:
    stage.bench.raw.copy(_key(queue), _key(other))


async def attempts(stage: Stage) -> list[Row]:
    """Measure what is kept of the attempts of a task that fails."""
    app = rediq.App()

    @app.task("plain", max_retry=TYPICAL - 1, backoff=NO_WAIT)
    async def plain() -> None:
        raise ConnectionError("mail.example.com did not answer within 10 s")

    @app.task("long", max_retry=MOST - 1, backoff=NO_WAIT)
    async def long() -> None:
        try:
            _deep(200)
        except RecursionError as error:
            raise ValueError("no" * 10_000) from error

    logging.getLogger("rediq_trio").setLevel(logging.CRITICAL)  # it fails on purpose
    kept: list[float] = []
    (key,) = Keys(PREFIX).of("fails", ("attempts",))
    for name in ("plain", "long"):
        stage.empty()
        async with rediq.serve(app, stage.bench.url, queues=["fails"]) as server:
            handle = await server.client.enqueue(rediq.Task(name, {}, queue="fails"))
            await handle.wait()
        (field,) = stage.bench.raw.hkeys(key)
        kept.append(stage.bench.raw.hstrlen(key, field) / KIB)
    return [
        Row(f"attempts of a failed task, {TYPICAL} of them", kept[0], "KB", 1),
        Row(f"attempts of a failed task, {MOST} of them with long texts", kept[1], "KB", 80),
    ]


def _deep(left: int) -> None:
    if not left:
        raise RecursionError("too deep " * 1_000)
    _deep(left - 1)
