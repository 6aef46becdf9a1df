"""The board for Grafana, from a table of panels."""

from __future__ import annotations

import json
from typing import Any

import attrs

HEIGHT, WIDTH, COLUMNS = 8, 8, 3
"""Units of Grafana's grid that a panel takes, and panels in a row."""
_QUEUE = 'queue=~"$queue"'
_OPEN = ', state!~"completed|dead|cancelled"'
_DONE = ', outcome="completed"'
_FAILED = ', outcome=~"failed|timed out"'
_OTHER = ', outcome!~"completed|failed|timed out"'
_SOURCE = {"type": "prometheus", "uid": "${source}"}


@attrs.frozen
class PanelRow:
    """One panel: what it shows, in which unit, and its queries with their legends."""

    title: str
    means: str
    unit: str
    """Of Grafana's list of units: "s" for seconds, "short" for counts, "ops" for events in a second."""
    queries: tuple[tuple[str, str], ...]
    stacked: bool = False


def _rate(metric: str, also: str = "") -> str:
    return f"rate({metric}{{{_QUEUE}{also}}}[$__rate_interval])"


def _quantiles(part: str) -> tuple[tuple[str, str], ...]:
    buckets = f"sum by (le) ({_rate(f'rediq_task_{part}_seconds_bucket')})"
    return tuple(
        (f"histogram_quantile({of}, {buckets})", name)
        for name, of in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    )


def _largest(metric: str, also: str = "", by: str = "queue") -> str:
    # Every worker of a queue reports the same.
    return f"max by ({by}) ({metric}{{{_QUEUE}{also}}})"


PANELS: tuple[PanelRow, ...] = (
    PanelRow(
        "Finished and failed", "Attempts in a second, of all workers.", "ops",
        (
            (f"sum({_rate('rediq_attempts_total', _DONE)})", "completed"),
            (f"sum({_rate('rediq_attempts_total', _FAILED)})", "failed"),
            (f"sum({_rate('rediq_attempts_total', _OTHER)})", "other"),
        ),
    ),
    PanelRow(
        "Waiting", "Seconds from when a task was due to the start of its attempt.", "s", _quantiles("wait"),
    ),
    PanelRow(
        "Running", "Seconds from the start of an attempt to its end.", "s", _quantiles("run"),
    ),
    PanelRow(
        "Depth by state", "Tasks that are not over, of the chosen queues.", "short",
        ((f"sum by (state) ({_largest('rediq_queue_tasks', _OPEN, 'queue, state')})", "{{state}}"),),
        stacked=True,
    ),
    PanelRow(
        "Oldest pending against its target",
        "Seconds that the oldest pending task of a queue has waited, and what its operators expect.", "s",
        (
            (_largest("rediq_queue_oldest_pending_age_seconds"), "{{queue}}"),
            (_largest("rediq_queue_target_latency_seconds"), "{{queue}} (target)"),
        ),
    ),
    PanelRow(
        "Dead", "Tasks in dead.", "short",
        ((_largest("rediq_queue_tasks", ', state="dead"'), "{{queue}}"),),
    ),
    PanelRow(
        "Workers and slots", "Processes that answer, the attempts that run, and how many may.", "short",
        (
            ("sum(rediq_worker_alive)", "workers"),
            ("sum(rediq_worker_running)", "running"),
            ("sum(rediq_worker_concurrency)", "slots"),
        ),
    ),
    PanelRow(
        "Failed, by type", "The ten types of which most attempts fail.", "ops",
        ((
            f"topk(10, sum by (type) ({_rate('rediq_attempts_total', _FAILED)}))",
            "{{type}}",
        ),),
    ),
    PanelRow(
        "Share of attempts that fail, against its target", "Of the last ten minutes.", "percentunit",
        (
            (
                f"max by (queue) (increase(rediq_queue_failed_total{{{_QUEUE}}}[10m])) / "
                f"(max by (queue) (increase(rediq_queue_failed_total{{{_QUEUE}}}[10m])) + "
                f"max by (queue) (increase(rediq_queue_completed_total{{{_QUEUE}}}[10m])))",
                "{{queue}}",
            ),
            (_largest("rediq_queue_target_failures"), "{{queue}} (target)"),
        ),
    ),
    PanelRow(
        "Enqueued", "Tasks in a second.", "ops",
        ((f"max by (queue) ({_rate('rediq_queue_enqueued_total')})", "{{queue}}"),),
    ),
    PanelRow(
        "Calls of Redis", "Seconds that 99 % of the calls of a script take at most.", "s",
        ((
            "histogram_quantile(0.99, sum by (le, script) "
            "(rate(rediq_store_call_seconds_bucket[$__rate_interval])))",
            "{{script}}",
        ),),
    ),
    PanelRow(
        "Event loop", "The longest delay of each worker's event loop.", "s",
        (("rediq_loop_delay_seconds", "{{instance}}"),),
    ),
    PanelRow(
        "What should not be",
        "Lost leases, unconfirmed writes, blocked loops and stuck attempts, of the last ten minutes.",
        "short",
        (
            ("sum(increase(rediq_leases_lost_total[10m]))", "leases lost"),
            ("sum(increase(rediq_worker_unconfirmed_total[10m]))", "unconfirmed"),
            ("sum(increase(rediq_worker_loop_blocks_total[10m]))", "loop blocked"),
            ("sum(increase(rediq_worker_stuck_attempts_total[10m]))", "stuck"),
        ),
    ),
)  # fmt: skip
"""Every panel, in the order in which it stands on the board."""


def _panel(number: int, row: PanelRow) -> dict[str, Any]:
    line, column = divmod(number, COLUMNS)
    targets = [
        {"refId": chr(ord("A") + n), "datasource": _SOURCE, "expr": query, "legendFormat": legend}
        for n, (query, legend) in enumerate(row.queries)
    ]
    custom: dict[str, Any] = {"fillOpacity": 10, "showPoints": "never"}
    if row.stacked:
        custom |= {"fillOpacity": 50, "stacking": {"mode": "normal", "group": "A"}}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": row.title,
        "description": row.means,
        "datasource": _SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": line * HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": row.unit, "min": 0, "custom": custom}, "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"},
        },
        "targets": targets,
    }  # fmt: skip


_VARIABLES: tuple[dict[str, Any], ...] = (
    {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"},
    {
        "name": "queue", "label": "Queue", "type": "query", "datasource": _SOURCE, "refresh": 2, "sort": 1,
        "query": {"query": "label_values(rediq_queue_tasks, queue)", "refId": "queue"},
        "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    },
)  # fmt: skip


def board() -> dict[str, Any]:
    """Return the board as data."""
    return {
        "uid": "rediq-trio",
        "title": "rediq-trio",
        "tags": ["rediq-trio"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_VARIABLES)},
        "panels": [_panel(number, row) for number, row in enumerate(PANELS)],
    }


def text() -> str:
    """Make the file of the board."""
    return json.dumps(board(), indent=2) + "\n"
