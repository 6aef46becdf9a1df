"""The metrics of a worker and of its queues: every name, with what it means and where it is read.

Dashboards and alerts depend on these names, and the documentation's tables are made from them. The
number of series is bounded: labels are queues that the worker serves, states, outcomes, scripts, and at most
`TYPES_MAX` types. No label is the name of a worker, a task or an error.
"""

from __future__ import annotations

import enum
import platform
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

import attrs

from rediq_trio import __version__
from rediq_trio.observe.scaling import QueueScaling
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.histogram import Histogram
from rediq_trio.values.targets import QueueTargets
from rediq_trio.values.task import QueueStats
from rediq_trio.web.queue_stats import ScalingByQueue, StatsByQueue
from rediq_trio.worker.health import Health
from rediq_trio.worker.reporting.attempt_times import Times
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
    scaling: ScalingByQueue = attrs.field(factory=dict[str, QueueScaling])
    """How many workers each queue needs; one that could not be read is missing."""


class MetricKind(enum.StrEnum):
    """What a metric counts, in Prometheus' words."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"


MetricSample = tuple[tuple[str, ...], float | Histogram]
"""The values of the labels of one series, and its value."""


@attrs.frozen
class MetricRow:
    """One metric."""

    name: str
    """Its name in a query; of a histogram without `_bucket`, `_sum` and `_count`."""
    kind: MetricKind
    text: str
    """What it means, in one sentence."""
    read: Callable[[Scrape], Iterable[MetricSample]]
    """Returns its series."""
    labels: tuple[str, ...] = ()


def _of_health(value: Callable[[Health], float]) -> Callable[[Scrape], Iterable[MetricSample]]:
    return lambda scraped: [((), float(value(scraped.health)))]


def _of_worker(value: Callable[[Worker], float]) -> Callable[[Scrape], Iterable[MetricSample]]:
    return lambda scraped: [] if scraped.worker is None else [((), float(value(scraped.worker)))]


def _of_queues(value: Callable[[QueueStats], float]) -> Callable[[Scrape], Iterable[MetricSample]]:
    def read(scraped: Scrape) -> Iterator[MetricSample]:
        for queue, stats in (scraped.stats or {}).items():
            yield (queue,), float(value(stats))

    return read


def _of_targets(
    value: Callable[[QueueTargets], float | None],
) -> Callable[[Scrape], Iterable[MetricSample]]:
    def read(scraped: Scrape) -> Iterator[MetricSample]:
        for queue, stats in (scraped.stats or {}).items():
            if (target := value(stats.targets)) is not None:
                yield (queue,), target

    return read


def _desired(scraped: Scrape) -> Iterator[MetricSample]:
    for queue, scaling in scraped.scaling.items():
        yield (queue,), scaling.desired


def _tasks(scraped: Scrape) -> Iterator[MetricSample]:
    for queue, stats in (scraped.stats or {}).items():
        for state in State:
            yield (queue, str(state)), float(getattr(stats, state.value))


def _outcomes(scraped: Scrape) -> Iterator[MetricSample]:
    if scraped.worker is not None:
        for outcome, number in scraped.worker.outcome_counts.by_name().items():
            yield (outcome,), number


def _of_attempts(
    value: Callable[[Times], float | Histogram],
) -> Callable[[Scrape], Iterable[MetricSample]]:
    def read(scraped: Scrape) -> Iterator[MetricSample]:
        if scraped.worker is not None:
            for key, times in scraped.worker.times.series().items():
                yield (key.queue, key.type, key.outcome), value(times)

    return read


def _calls(scraped: Scrape) -> Iterator[MetricSample]:
    if scraped.worker is not None and (meter := scraped.worker.meter) is not None:
        for script, seconds in meter.seconds.copy().items():
            yield (script,), seconds


def _batches(scraped: Scrape) -> Iterator[MetricSample]:
    if scraped.worker is not None and (meter := scraped.worker.meter) is not None:
        for script, sizes in meter.items.copy().items():
            yield (script,), sizes


def _build(_: Scrape) -> Iterator[MetricSample]:
    yield (__version__, platform.python_version(), version("trio")), 1.0


OUTCOMES = tuple(OutcomeCounts().by_name())
"""The labels of `rediq_worker_outcomes_total`."""
ATTEMPT_LABELS = ("queue", "type", "outcome")
"""The labels of what is counted of each attempt."""

_GAUGE, _COUNTER, _HISTOGRAM = MetricKind.GAUGE, MetricKind.COUNTER, MetricKind.HISTOGRAM

WORKER_METRICS: tuple[MetricRow, ...] = (
    MetricRow(
        "rediq_worker_alive", _GAUGE, "1 unless a restart would help the worker.",
        _of_health(lambda h: h.alive),
    ),
    MetricRow(
        "rediq_worker_ready", _GAUGE, "1 when the worker does its work now.",
        _of_health(lambda h: h.ready),
    ),
    MetricRow(
        "rediq_worker_connected", _GAUGE, "1 when Redis answered the last call of each queue.",
        _of_health(lambda h: h.connected),
    ),
    MetricRow(
        "rediq_worker_last_poll_age_seconds", _GAUGE,
        "Seconds since the poller got an answer, or had no room for more.", _of_health(lambda h: h.last_poll),
    ),
    MetricRow(
        "rediq_worker_last_beat_age_seconds", _GAUGE,
        "Seconds since the leases were renewed and the worker's record written.",
        _of_health(lambda h: h.last_beat),
    ),
    MetricRow(
        "rediq_worker_loop_blocked_seconds", _GAUGE,
        "Seconds for which the event loop has been blocked by now; 0 when it runs.",
        _of_health(lambda h: 0.0 if h.blocked is None else h.blocked.seconds),
    ),
    MetricRow(
        "rediq_worker_loop_blocks_total", _COUNTER,
        "Times that the event loop was blocked for longer than a third of the lease.",
        _of_health(lambda h: h.blocks),
    ),
    MetricRow(
        "rediq_loop_delay_seconds", _GAUGE,
        "The most seconds that the event loop took to answer one of the watchdog's last ten checks.",
        _of_worker(lambda w: w.watchdog.loop_delay()),
    ),
    MetricRow(
        "rediq_worker_running", _GAUGE, "Attempts that run now.",
        _of_worker(lambda w: w.executor.running()),
    ),
    MetricRow(
        "rediq_worker_held", _GAUGE, "Leases held: claimed, not yet settled.",
        _of_worker(lambda w: len(w.lease_table)),
    ),
    MetricRow(
        "rediq_worker_concurrency", _GAUGE, "Attempts that may run at once.",
        _of_worker(lambda w: w.settings.concurrency),
    ),
    MetricRow(
        "rediq_worker_stuck", _GAUGE, "Attempts that run on although their timeout and cleanup_grace are over.",
        _of_worker(lambda w: w.stuck.count),
    ),
    MetricRow(
        "rediq_worker_stuck_attempts_total", _COUNTER,
        "Attempts that ran on although their timeout and cleanup_grace were over.",
        _of_worker(lambda w: w.stuck.total),
    ),
    MetricRow(
        "rediq_worker_outcomes_total", _COUNTER,
        "Outcomes that this worker has settled; stale ones were rejected, as their lease was over.",
        _outcomes, ("outcome",),
    ),
    MetricRow(
        "rediq_worker_children_refused_total", _COUNTER,
        "Tasks of enqueue_after whose ids or unique keys were taken.",
        _of_worker(lambda w: w.outcome_counts.children_refused),
    ),
    MetricRow(
        "rediq_leases_lost_total", _COUNTER,
        "Leases that were over before their outcomes were written: another worker may have run the tasks.",
        _of_worker(lambda w: w.lease_table.lost),
    ),
    MetricRow(
        "rediq_build_info", MetricKind.INFO, "1, with the versions of rediq-trio, Python and Trio as labels.",
        _build, ("version", "python", "trio"),
    ),
)  # fmt: skip
"""Metrics of the worker itself."""

ATTEMPT_METRICS: tuple[MetricRow, ...] = (
    MetricRow(
        "rediq_attempts_total", _COUNTER, "Attempts that this worker made.",
        _of_attempts(lambda times: times.run.cumulative()[-1]), ATTEMPT_LABELS,
    ),
    MetricRow(
        "rediq_task_wait_seconds", _HISTOGRAM, "Seconds from when a task was due to the start of its attempt.",
        _of_attempts(lambda times: times.wait), ATTEMPT_LABELS,
    ),
    MetricRow(
        "rediq_task_run_seconds", _HISTOGRAM, "Seconds from the start of an attempt to its end.",
        _of_attempts(lambda times: times.run), ATTEMPT_LABELS,
    ),
)  # fmt: skip
"""Metrics of the attempts that the worker made."""

STORE_METRICS: tuple[MetricRow, ...] = (
    MetricRow(
        "rediq_store_call_seconds", _HISTOGRAM,
        "Seconds from a call of a script to its answer, the wait for the connection included.",
        _calls, ("script",),
    ),
    MetricRow(
        "rediq_store_batch_size", _HISTOGRAM, "Items that one call of a script carried, where it takes several.",
        _batches, ("script",),
    ),
    MetricRow(
        "rediq_worker_unconfirmed_total", _COUNTER,
        "Writes that were made, and not confirmed as durability asks for.",
        _of_worker(lambda w: w.store.unconfirmed),
    ),
)  # fmt: skip
"""Metrics of the worker's calls of Redis."""

QUEUE_METRICS: tuple[MetricRow, ...] = (
    MetricRow(
        "rediq_queues_read", _GAUGE, "1 when any queue could be read; queues that could not are left out.",
        lambda scraped: [((), float(scraped.stats is not None))],
    ),
    MetricRow("rediq_queue_tasks", _GAUGE, "Tasks by state.", _tasks, ("queue", "state")),
    MetricRow(
        "rediq_queue_paused", _GAUGE, "1 when the queue is paused.",
        _of_queues(lambda s: s.paused), ("queue",),
    ),
    MetricRow(
        "rediq_queue_oldest_pending_age_seconds", _GAUGE,
        "Seconds that the longest-waiting ready task has waited; 0 for none.",
        _of_queues(lambda s: s.oldest_pending_age), ("queue",),
    ),
    MetricRow(
        "rediq_queue_desired_workers", _GAUGE,
        "Workers that the queue needs to keep its target of latency; at least 1.", _desired, ("queue",),
    ),
    MetricRow(
        "rediq_queue_enqueued_total", _COUNTER, "Tasks enqueued.",
        _of_queues(lambda s: s.enqueued), ("queue",),
    ),
    MetricRow(
        "rediq_queue_completed_total", _COUNTER, "Tasks completed.",
        _of_queues(lambda s: s.completed_total), ("queue",),
    ),
    MetricRow(
        "rediq_queue_failed_total", _COUNTER, "Attempts failed, retried or not.",
        _of_queues(lambda s: s.failed_total), ("queue",),
    ),
    MetricRow(
        "rediq_queue_dead_total", _COUNTER, "Tasks that went to dead.",
        _of_queues(lambda s: s.dead_total), ("queue",),
    ),
    MetricRow(
        "rediq_queue_target_latency_seconds", _GAUGE,
        "Seconds that a pending task may wait, where the queue has such a target.",
        _of_targets(lambda t: t.latency), ("queue",),
    ),
    MetricRow(
        "rediq_queue_target_failures", _GAUGE,
        "The share of attempts that may fail, 0 to 1, where the queue has such a target.",
        _of_targets(lambda t: t.failures), ("queue",),
    ),
)  # fmt: skip
"""Metrics of each queue that the worker serves. Every worker of a queue reports the same values."""

METRICS: tuple[MetricRow, ...] = WORKER_METRICS + ATTEMPT_METRICS + STORE_METRICS + QUEUE_METRICS
