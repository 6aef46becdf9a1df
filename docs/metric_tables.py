"""The tables of the metrics, from the code."""

from __future__ import annotations

from collections.abc import Sequence

from rediq_trio.web import metric_table
from rediq_trio.web.metric_table import MetricRow


def _table(rows: Sequence[MetricRow]) -> str:
    lines = ["| name | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    for row in rows:
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.text} |")
    return "\n".join(lines)


def attempts() -> str:
    """Make the table of the metrics of attempts."""
    return _table(metric_table.ATTEMPT_METRICS)


def worker() -> str:
    """Make the table of the metrics of the worker."""
    return _table(metric_table.WORKER_METRICS)


def store() -> str:
    """Make the table of the metrics of the worker's calls of Redis."""
    return _table(metric_table.STORE_METRICS)


def queues() -> str:
    """Make the table of the metrics of queues."""
    return _table(metric_table.QUEUE_METRICS)
