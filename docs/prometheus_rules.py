"""The rules for Prometheus: alerts of the rules of `observe`, and records for boards."""

from __future__ import annotations

from typing import Any

import attrs
import yaml

from rediq_trio.observe.alerts import RULES, AlertRule, PromQuery, Severity

_HEAD = """\
# Written by `python -m docs.generate` from the rules of `rediq status`: change them there.
#
# Load it with `rule_files` of prometheus.yml. If one Prometheus scrapes several fleets, add the label
# by which they differ to each `by (...)` and `on (...)`.
"""
_SEVERITIES = {Severity.CRITICAL: "critical", Severity.WARN: "warning"}
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@attrs.frozen
class RecordRow:
    """A series that Prometheus computes ahead, because boards ask for it often."""

    name: str
    expression: str
    means: str


def _quantile(part: str, of: float) -> str:
    rate = f"rate(rediq_task_{part}_seconds_bucket[5m])"
    return f"histogram_quantile({of:g}, sum by (le, queue) ({rate}))"


RECORDS: tuple[RecordRow, ...] = (
    *(
        RecordRow(
            f"rediq:task_{part}_seconds:{name}", _quantile(part, of),
            f"{of:.0%} of the tasks of a queue {verb} for at most so many seconds.",
        )
        for part, verb in (("wait", "waited"), ("run", "ran"))
        for name, of in _QUANTILES.items()
    ),
    RecordRow(
        "rediq:attempts:rate5m", "sum by (queue, type, outcome) (rate(rediq_attempts_total[5m]))",
        "Attempts in a second.",
    ),
    RecordRow(
        "rediq:slots:used", "sum by (job) (rediq_worker_running) / sum by (job) (rediq_worker_concurrency)",
        "The part of the slots of all workers that is used, 0 to 1.",
    ),
)  # fmt: skip
"""Every record."""


def alert_name(rule: AlertRule) -> str:
    """Return the name of a rule as Prometheus has it: `RediqNoWorker`."""
    return "Rediq" + "".join(part.capitalize() for part in rule.name.split("-"))


def step(rule: AlertRule, query: PromQuery) -> str:
    """Return what to do, for the labels of an alert."""
    # A shell quotes what a queue is named; the name of a worker is not among the labels.
    subject = "'{{ $labels.queue }}'" if query.label == "queue" else "ID"
    return rule.next_step.replace("{}", subject)


def _alert(rule: AlertRule, query: PromQuery) -> dict[str, Any]:
    about = f"{{{{ $labels.{query.label} }}}}: " if query.label else ""
    return {
        "alert": alert_name(rule),
        "expr": query.expression,
        "for": query.lasting,
        "labels": {"severity": _SEVERITIES[rule.severity], "rule": rule.name},
        "annotations": {
            "summary": f"{about}{rule.means}",
            "next_step": step(rule, query),
            "runbook": rule.runbook,
        },
    }


def rules() -> dict[str, Any]:
    """Return the rules as data."""
    alerts = [
        _alert(rule, rule.prometheus) for rule in RULES if isinstance(rule.prometheus, PromQuery)
    ]
    records = [{"record": row.name, "expr": row.expression} for row in RECORDS]
    return {
        "groups": [
            {"name": "rediq-records", "rules": records},
            {"name": "rediq-alerts", "rules": alerts},
        ]
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)


_Dumper.add_representer(str, _text)


def text() -> str:
    """Make the file of the rules."""
    return _HEAD + yaml.dump(rules(), Dumper=_Dumper, sort_keys=False, width=100)
