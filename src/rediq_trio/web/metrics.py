"""Metrics of a worker and of its queues, in Prometheus' format.

The names are tables, because dashboards and alerts depend on them. The number of series is bounded
by the queues that the worker serves; no label comes from a task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import attrs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rediq_trio.spec.lifecycle import State
from rediq_trio.values.task import QueueStats
from rediq_trio.web.queue_stats import StatsByQueue
from rediq_trio.worker.health import Health
from rediq_trio.worker.settler import OutcomeCounts
from rediq_trio.worker.worker import Worker


@attrs.frozen
class Scrape:
    """The values of one scrape."""

    health: Health
    worker: Worker | None
    """None until it has started."""
    stats: StatsByQueue | None
    """None when they could not be read."""


HEALTH_GAUGES: Mapping[str, tuple[str, Callable[[Health], float]]] = MappingProxyType(
    {
        "rediq_worker_alive": ("1 unless a restart would help the worker.", lambda h: h.alive),
        "rediq_worker_ready": ("1 when the worker does its work now.", lambda h: h.ready),
        "rediq_worker_connected": ("1 when Redis answered the last call.", lambda h: h.connected),
        "rediq_worker_last_poll_age_seconds": (
            "Seconds since the poller got an answer, or had no room for more.", lambda h: h.last_poll,
        ),
        "rediq_worker_last_beat_age_seconds": (
            "Seconds since the leases were renewed and the worker's record written.",
            lambda h: h.last_beat,
        ),
        "rediq_worker_loop_blocked_seconds": (
            "Seconds for which the event loop has been blocked by now; 0 when it runs.",
            lambda h: 0.0 if h.blocked is None else h.blocked.seconds,
        ),
    }
)  # fmt: skip
"""Gauges of every worker, by name."""

WORKER_GAUGES: Mapping[str, tuple[str, Callable[[Worker], float]]] = MappingProxyType(
    {
        "rediq_worker_running": ("Attempts that run now.", lambda w: w.executor.running()),
        "rediq_worker_held": ("Leases in hand: claimed, not yet settled.", lambda w: len(w.lease_table)),
        "rediq_worker_concurrency": ("Attempts that may run at once.", lambda w: w.settings.concurrency),
        "rediq_worker_stuck": (
            "Attempts that run on although their timeout and cleanup_grace are over.", lambda w: w.stuck.count,
        ),
    }
)  # fmt: skip
"""Gauges of a worker that has started, by name."""

OUTCOMES = tuple(OutcomeCounts().by_name())
"""The labels of `rediq_worker_outcomes_total`."""

QUEUE_GAUGES: Mapping[str, tuple[str, Callable[[QueueStats], float]]] = MappingProxyType(
    {
        "rediq_queue_paused": ("1 when the queue is paused.", lambda s: s.paused),
        "rediq_queue_oldest_pending_age_seconds": (
            "Seconds that the longest-waiting ready task has waited; 0 for none.",
            lambda s: s.oldest_pending_age,
        ),
    }
)  # fmt: skip
"""Gauges of each queue that the worker serves, by name."""

QUEUE_COUNTERS: Mapping[str, tuple[str, Callable[[QueueStats], float]]] = MappingProxyType(
    {
        "rediq_queue_enqueued_total": ("Tasks enqueued.", lambda s: s.enqueued),
        "rediq_queue_completed_total": ("Tasks completed.", lambda s: s.completed_total),
        "rediq_queue_failed_total": ("Attempts failed, retried or not.", lambda s: s.failed_total),
        "rediq_queue_dead_total": ("Tasks that went to dead.", lambda s: s.dead_total),
    }
)
"""Counters of each queue that the worker serves, by name. Every worker reports the same values."""


@attrs.frozen(eq=False)
class _ScrapeCollector(Collector):
    """Passes the values of one scrape to a registry."""

    _scraped: Scrape

    def collect(self) -> Iterator[Metric]:
        scraped = self._scraped
        for name, (text, value) in HEALTH_GAUGES.items():
            yield GaugeMetricFamily(name, text, float(value(scraped.health)))
        text = "Times that the event loop was blocked for longer than a third of the lease."
        yield CounterMetricFamily("rediq_worker_loop_blocks_total", text, scraped.health.blocks)
        if scraped.worker is not None:
            yield from _worker(scraped.worker)
        text = "1 when any queue's numbers could be read; without them, they are left out."
        yield GaugeMetricFamily("rediq_queues_read", text, float(scraped.stats is not None))
        if scraped.stats is not None:
            yield from _queues(scraped.stats)


def _worker(worker: Worker) -> Iterator[Metric]:
    for name, (text, value) in WORKER_GAUGES.items():
        yield GaugeMetricFamily(name, text, float(value(worker)))
    text = "Outcomes that this worker has settled; stale ones were refused."
    outcomes = CounterMetricFamily("rediq_worker_outcomes_total", text, labels=("outcome",))
    for outcome, count in worker.outcome_counts.by_name().items():
        outcomes.add_metric((outcome,), count)
    yield outcomes
    text = "Tasks of enqueue_after whose ids or unique keys were taken."
    refused = worker.outcome_counts.children_refused
    yield CounterMetricFamily("rediq_worker_children_refused_total", text, refused)
    text = "Attempts that ran on although their timeout and cleanup_grace were over."
    yield CounterMetricFamily("rediq_worker_stuck_attempts_total", text, worker.stuck.total)
    text = "Writes that were made, and not confirmed as durability asks for."
    yield CounterMetricFamily("rediq_worker_unconfirmed_total", text, worker.store.unconfirmed)


def _queues(queue_stats: StatsByQueue) -> Iterator[Metric]:
    tasks = GaugeMetricFamily("rediq_queue_tasks", "Tasks by state.", labels=("queue", "state"))
    for queue, stats in queue_stats.items():
        for state in State:
            tasks.add_metric((queue, str(state)), getattr(stats, state.value))
    yield tasks
    for kind, table in ((GaugeMetricFamily, QUEUE_GAUGES), (CounterMetricFamily, QUEUE_COUNTERS)):
        for name, (text, value) in table.items():
            family = kind(name, text, labels=("queue",))
            for queue, stats in queue_stats.items():
                family.add_metric((queue,), float(value(stats)))
            yield family


def exposition(scraped: Scrape) -> bytes:
    """Return a scrape in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_ScrapeCollector(scraped))
    return generate_latest(registry)
