"""What a scrape says of attempts and of the store's calls, compared with what ran."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import httpx
import pytest
import trio
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Exemplar

import rediq_trio as rediq
from rediq_trio.values.histogram import DURATION_BOUNDS
from rediq_trio.web.queue_stats import STATS_MAX_AGE
from rediq_trio.worker.reporting.attempt_times import OTHER_TYPES, TYPES_MAX
from tests.actors.parts import Watched
from tests.servers import Server

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = 'a"b\\c{x="y"} # 1'
app = rediq.App()


@app.task("quick", retention=60)
async def quick() -> None: ...


@app.task("slow", retention=60)
async def slow(seconds: float) -> None:
    await trio.sleep(seconds)


@app.task("fails", max_retry=1, backoff=rediq.Fixed(0))
async def fails() -> None:
    raise ValueError


@app.task("late", max_retry=0, timeout=0.05)
async def late() -> None:
    await trio.sleep_forever()


@app.task("snoozes", retention=60)
async def snoozes() -> None:
    if rediq.current_task().fence == 1:
        raise rediq.Snooze(0)


@app.task(HOSTILE, retention=60)
async def hostile() -> None: ...


@attrs.frozen
class Scraped:
    """A scrape, as a parser of Prometheus reads it."""

    media_type: str
    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]
    exemplars: Mapping[tuple[str, str], Exemplar]
    """By name and bound."""

    def get(self, name: str, **labels: str) -> float:
        return self.values[name, frozenset(labels.items())]

    def labels(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for found, labels in self.values if found == name]


async def scrape(server: rediq.Server, accept: str | None = None) -> Scraped:
    url = f"http://127.0.0.1:{server.metrics_port}/metrics"
    headers = {} if accept is None else {"accept": accept}
    answer = await trio.to_thread.run_sync(lambda: httpx.get(url, headers=headers, timeout=30))
    assert answer.status_code == 200
    assert answer.headers["vary"] == "Accept"
    media_type = answer.headers["content-type"]
    read: Callable[[str], Iterator[Metric]] = (
        read_openmetrics if media_type.startswith("application/openmetrics") else read_text
    )
    samples = [sample for family in read(answer.text) for sample in family.samples]
    keys = Counter((sample.name, frozenset(sample.labels.items())) for sample in samples)
    assert set(keys.values()) == {1}
    return Scraped(
        media_type,
        {(s.name, frozenset(s.labels.items())): s.value for s in samples},
        {(s.name, s.labels["le"]): s.exemplar for s in samples if s.exemplar},
    )


async def run_all(server: rediq.Server, *tasks: rediq.Task[Any]) -> None:
    for handle in await server.client.enqueue_many(tasks):
        await handle.wait(timeout=60)


@pytest.mark.parametrize("accept", [None, "text/plain", OPENMETRICS])
async def test_the_numbers_are_those_of_what_ran(redis_server: Server, accept: str | None) -> None:
    traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    options = {"metrics_port": 0, "queues": ["shop"], "unknown_type_patience": 0.0}
    async with rediq.serve(app, redis_server.url, **options) as server:  # type: ignore[arg-type]
        client = server.client
        await run_all(
            server,
            *(quick.options(queue="shop").task() for _ in range(7)),
            slow.options(queue="shop", metadata=traced).task(0.3),
            fails.options(queue="shop").task(),
            late.options(queue="shop").task(),
            snoozes.options(queue="shop").task(),
            hostile.options(queue="shop").task(),
            rediq.Task("unknown", {}, queue="shop", max_retry=0),
        )
        delayed = await client.enqueue(quick.options(queue="shop", delay=0.3).task())
        await delayed.wait(timeout=60)
        found = await scrape(server, accept)
    assert found.media_type.startswith(
        "application/openmetrics" if accept == OPENMETRICS else "text/plain"
    )
    counts = {
        ("quick", "completed"): 8, ("slow", "completed"): 1, ("fails", "failed"): 2,
        ("late", "timed out"): 1, ("snoozes", "snoozed"): 1, ("snoozes", "completed"): 1,
        (HOSTILE, "completed"): 1,
    }  # fmt: skip
    for (kind, outcome), count in counts.items():
        labels = {"queue": "shop", "type": kind, "outcome": outcome}
        for name in (
            "rediq_attempts_total",
            "rediq_task_wait_seconds_count",
            "rediq_task_run_seconds_count",
        ):
            assert found.get(name, **labels) == count
        buckets = [
            found.get("rediq_task_run_seconds_bucket", **labels, le=bound)
            for bound in [*map(str, DURATION_BOUNDS), "+Inf"]
        ]
        assert buckets == sorted(buckets)
        assert buckets[-1] == count
    kinds = {(at["type"], at["outcome"]) for at in found.labels("rediq_attempts_total")}
    assert kinds - {*counts} == {(OTHER_TYPES, "failed")}
    slept = {"queue": "shop", "type": "slow", "outcome": "completed"}
    assert 0.3 <= found.get("rediq_task_run_seconds_sum", **slept) < 30
    assert found.get("rediq_task_run_seconds_bucket", **slept, le="0.2") == 0
    # A delayed task waits from when it is due: less than its delay and the enqueue of the others.
    waited = {"queue": "shop", "type": "quick", "outcome": "completed"}
    assert 0 <= found.get("rediq_task_wait_seconds_sum", **waited) < 30
    assert found.get("rediq_leases_lost_total") == 0
    (build,) = found.labels("rediq_build_info")
    assert build["version"] == rediq.__version__
    for script in ("claim", "settle"):
        assert found.get("rediq_store_batch_size_sum", script=script) == sum(counts.values()) + 1
    assert found.get("rediq_store_call_seconds_count", script="claim") >= 1
    assert found.get("rediq_store_call_seconds_sum", script="settle") > 0
    assert found.get("rediq_loop_delay_seconds") >= 0
    if accept == OPENMETRICS:
        ((name, bound),) = [key for key in found.exemplars if key[0].startswith("rediq_task_run")]
        exemplar = found.exemplars[name, bound]
        assert exemplar.labels == {"trace_id": TRACE}
        assert 0.3 <= exemplar.value <= float(bound)
    else:
        assert not found.exemplars


async def test_a_task_waits_from_when_it_is_due() -> None:
    async with rediq.connect("memory://attempt-metrics") as client:
        await client.enqueue(quick.task())
        await client.enqueue(slow.options(delay=0.5).task(0))
        await trio.sleep(1)
        async with rediq.serve(app, "memory://attempt-metrics", metrics_port=0) as server:
            await server.wait_idle()
            await trio.sleep(0.2)
            while server.stats().completed < 2:
                await trio.sleep(0.01)
            found = await scrape(server)
    at = {"queue": "default", "outcome": "completed"}
    assert 1 <= found.get("rediq_task_wait_seconds_sum", **at, type="quick") < 20
    assert 0.5 <= found.get("rediq_task_wait_seconds_sum", **at, type="slow") < 20
    assert found.get("rediq_task_wait_seconds_bucket", **at, type="quick", le="0.5") == 0


async def test_of_many_types_the_first_are_kept_apart() -> None:
    many = rediq.App()
    names = [f"kind-{number}" for number in range(TYPES_MAX + 3)]
    for name in names:

        @many.task(name, retention=60)
        async def noop() -> None: ...

    async with rediq.serve(many, "memory://", metrics_port=0, concurrency=1) as server:
        await run_all(server, *(rediq.Task(name, {}) for name in names))
        found = await scrape(server)
    types = [labels["type"] for labels in found.labels("rediq_attempts_total")]
    assert len(types) == TYPES_MAX + 1
    at = {"queue": "default", "type": OTHER_TYPES, "outcome": "completed"}
    assert found.get("rediq_attempts_total", **at) == 3


async def test_the_series_of_a_partitioned_queue_are_those_of_one_queue() -> None:
    async with rediq.connect("memory://partitioned-metrics") as client:
        await client.queue("default").partition(4)
        async with rediq.serve(app, "memory://partitioned-metrics", metrics_port=0) as server:
            await run_all(server, *(quick.task() for _ in range(20)))
            found = await scrape(server)
    at = {"queue": "default", "type": "quick", "outcome": "completed"}
    assert found.labels("rediq_attempts_total") == [at]
    assert found.get("rediq_attempts_total", **at) == 20


async def test_the_series_of_a_removed_queue_go_until_it_is_used_again() -> None:
    async with rediq.serve(app, "memory://", metrics_port=0, queues=["default", "old"]) as server:
        old = quick.options(queue="old", retention=0).task()
        await run_all(server, quick.task())
        await server.client.enqueue(old)  # nobody waits for it, so nothing is kept of it
        await server.wait_idle()
        before = await scrape(server)
        await server.client.queue("old").remove()
        await trio.sleep(STATS_MAX_AGE)
        gone = await scrape(server)
        await server.client.enqueue(old)
        await trio.sleep(STATS_MAX_AGE * 1.5)
        again = await scrape(server)

    def queues(found: Scraped) -> list[set[str]]:
        names = (
            "rediq_queue_paused",
            "rediq_queue_tasks",
            "rediq_attempts_total",
            "rediq_task_run_seconds_sum",
        )
        return [{labels["queue"] for labels in found.labels(name)} for name in names]

    assert queues(before) == queues(again) == [{"default", "old"}] * 4
    assert queues(gone) == [{"default"}] * 4
    assert gone.get("rediq_queues_read") == 1
    at = {"queue": "old", "type": "quick", "outcome": "completed"}
    assert again.get("rediq_attempts_total", **at) == 1


async def test_a_lost_lease_is_counted_once() -> None:
    store = Watched()
    options = {"metrics_port": 0, "lease": 1.0, "cleanup_grace": 0.5}
    async with rediq.serve(app, store, **options) as server:  # type: ignore[arg-type]
        await server.client.enqueue(slow.options(id="s").task(20))
        while not server.stats().running:
            await trio.sleep(0.01)
        store.away = True
        with trio.fail_after(30):
            while server.stats().running:
                await trio.sleep(0.01)
        store.away = False
        found = await scrape(server)
    at = {"queue": "default", "type": "slow", "outcome": "lost"}
    assert found.get("rediq_attempts_total", **at) == 1
    assert found.get("rediq_leases_lost_total") == 1


async def test_without_the_endpoint_no_calls_are_counted() -> None:
    async with rediq.serve(app, "memory://") as server:
        await run_all(server, quick.task())
        assert server._worker.meter is None
