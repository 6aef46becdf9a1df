from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

import rediq_trio as rediq
from rediq_trio.web.metric_table import METRICS, OUTCOMES, MetricKind, MetricRow, Scrape
from rediq_trio.web.metrics import exposition
from rediq_trio.web.queue_stats import SCALING_MAX_AGE, STATS_MAX_AGE
from rediq_trio.worker.health import NOT_STARTED
from tests.actors.parts import Watched

app = rediq.App()
PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@app.task("noop")
async def noop() -> None: ...


@app.task("fails", max_retry=0)
async def fails() -> None:
    raise ValueError


def parsed(text: str) -> Samples:
    """Read a scrape as Prometheus does."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(server: rediq.Server) -> Samples:
    url = f"http://127.0.0.1:{server.metrics_port}/metrics"
    answer = await trio.to_thread.run_sync(httpx.get, url)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return parsed(answer.text)


async def test_the_numbers_are_the_worker_s_and_its_queues() -> None:
    queues = ["default", "other"]
    async with rediq.serve(app, "memory://", metrics_port=0, queues=queues) as server:
        client = server.client
        await client.enqueue_many([noop.task(), noop.task(), fails.task()])
        await client.enqueue(noop.options(queue="other", delay=3600).task())
        await client.queue("other").pause()
        while server.stats().completed + server.stats().failed < 3:
            await trio.sleep(0.01)
        found = await scrape(server)
    both = {name: (("queue", name),) for name in queues}
    assert found["rediq_worker_outcomes_total", (("outcome", "completed"),)] == 2
    assert found["rediq_worker_outcomes_total", (("outcome", "failed"),)] == 1
    assert found["rediq_queue_tasks", (("queue", "default"), ("state", "completed"))] == 2
    assert found["rediq_queue_tasks", (("queue", "default"), ("state", "dead"))] == 1
    assert found["rediq_queue_tasks", (("queue", "other"), ("state", "scheduled"))] == 1
    assert [found["rediq_queue_paused", both[name]] for name in queues] == [0, 1]
    assert [found["rediq_queue_enqueued_total", both[name]] for name in queues] == [3, 1]
    assert [found["rediq_queue_dead_total", both[name]] for name in queues] == [1, 0]
    assert found["rediq_queue_oldest_pending_age_seconds", both["default"]] == 0
    assert found["rediq_worker_ready", ()] == found["rediq_queues_read", ()] == 1


async def test_however_many_scrape_the_queues_are_read_once_a_second_at_most() -> None:
    store, begun = Watched(), trio.current_time()
    async with rediq.serve(app, store, metrics_port=0) as server:
        url = f"http://127.0.0.1:{server.metrics_port}/metrics"
        answers: list[bool] = []

        def scrape_some() -> None:
            for _ in range(20):
                answers.append("rediq_queues_read 1.0" in httpx.get(url).text)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.to_thread.run_sync, scrape_some)
        took = trio.current_time() - begun
        # The keeper reads them too, when it finds nothing to do.
        reads = [call for call, by in store.callers if by.endswith("read_some")]
    assert len(answers) == 100
    assert all(answers)
    assert 1 <= reads.count("stats") <= 2 + took / STATS_MAX_AGE
    assert 1 <= reads.count("series") <= 2 + took / SCALING_MAX_AGE


async def test_while_redis_is_away_the_queues_are_left_out_and_said_to_be() -> None:
    store = Watched()
    async with rediq.serve(app, store, metrics_port=0) as server:
        store.away = True
        found = await scrape(server)
        store.away = False
    assert found["rediq_queues_read", ()] == 0
    assert not [name for name, _ in found if name.startswith("rediq_queue_")]
    assert ("rediq_worker_ready", ()) in found


@pytest.mark.parametrize("refused_after", [0.0, 60.0])
async def test_a_queue_that_is_away_leaves_out_only_its_own_numbers(refused_after: float) -> None:
    store = Watched()
    queues = ["away", "default"]
    async with rediq.serve(app, store, metrics_port=0, queues=queues, cleanup_grace=1) as server:
        store.refused_after = refused_after
        store.away_queues.add("away")
        found = await scrape(server)
        store.away_queues.clear()
    assert found["rediq_queues_read", ()] == 1
    assert found["rediq_queue_paused", (("queue", "default"),)] == 0
    assert ("rediq_queue_paused", (("queue", "away"),)) not in found


def test_before_the_worker_has_started_there_is_its_health_alone() -> None:
    found = parsed(exposition(Scrape(NOT_STARTED, None, None))[0].decode())
    assert (found["rediq_worker_alive", ()], found["rediq_worker_ready", ()]) == (1, 0)
    assert ("rediq_worker_running", ()) not in found


@pytest.mark.parametrize("name", [row.name for row in METRICS])
def test_every_name_is_in_the_documentation(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows.count(name) == 1


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row.name)
def test_names_follow_the_conventions(row: MetricRow) -> None:
    assert re.fullmatch(r"rediq_[a-z_]+", row.name)
    assert row.name.endswith("_total") == (row.kind is MetricKind.COUNTER)
    assert row.name.endswith("_info") == (row.kind is MetricKind.INFO)
    assert not {*row.labels} & {"worker", "task", "task_id", "id", "error", "le", "quantile"}
    assert row.text.endswith(".")


def test_every_outcome_that_is_counted_has_its_label() -> None:
    counted = {
        "running",
        "held",
        "blocked",
        "stuck",
        "stuck_total",
        "unconfirmed",
        "children_refused",
    } | {*OUTCOMES}
    assert {field.name for field in rediq.ServerStats.__attrs_attrs__} == counted
