"""The tables of the alerts, the records and the panels, from the code."""

from __future__ import annotations

from collections.abc import Sequence

from docs.grafana_board import PANELS
from docs.prometheus_rules import RECORDS, alert_name
from rediq_trio.observe.alerts import RULES, PromQuery


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def steps() -> str:
    """Make the table of the alerts with their runbooks."""
    return _table(
        ("alert", "severity", "what it finds", "what to do", "what it is a sign of"),
        [
            (
                f"`{rule.name}`", rule.severity, _cell(rule.means),
                _cell(rule.next_step.replace("{}", "NAME")), _cell(rule.runbook),
            )
            for rule in RULES
        ],
    )  # fmt: skip


def queries() -> str:
    """Make the list of the alerts' expressions, and of those that have none."""
    parts: list[str] = []
    without: list[tuple[str, str]] = []
    for rule in RULES:
        query = rule.prometheus
        if isinstance(query, PromQuery):
            lasting = f", for {query.lasting}" if query.lasting != "0s" else ""
            parts.append(f"`{alert_name(rule)}` (`{rule.name}`{lasting})\n\n```text\n{query.expression}\n```")
        else:
            without.append((f"`{rule.name}`", _cell(query)))
    return "\n\n".join([*parts, _table(("only in `rediq status`", "because"), without)])


def records() -> str:
    """Make the table of the records."""
    rows = [(f"`{row.name}`", _cell(row.means), f"`{row.expression}`") for row in RECORDS]
    return _table(("record", "meaning", "query"), rows)


def panels() -> str:
    """Make the table of the panels of the board."""
    return _table(("panel", "unit", "what it shows"), [(p.title, p.unit, p.means) for p in PANELS])
