"""The rules for Prometheus, as promtool reads and evaluates them on recorded series."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from docs import grafana_board, prometheus_rules
from docs.prometheus_rules import RECORDS, alert_name
from rediq_trio.observe.alerts import RULES, AlertRule, PromQuery
from rediq_trio.web.metric_table import METRICS, MetricKind
from tests.servers import require_promtool

RULES_FILE = Path(__file__).parents[2] / "examples" / "deploy" / "prometheus-rules.yml"
QUERIES = {rule.name: rule.prometheus for rule in RULES if isinstance(rule.prometheus, PromQuery)}
AT = "20m"
Series = dict[str, str]
"""Values each minute, in promtool's words, by the series."""


def tasks(state: str, values: str) -> Series:
    return {f'rediq_queue_tasks{{queue="q", state="{state}", instance="a"}}': values}


def queue(metric: str, values: str) -> Series:
    return {f'rediq_queue_{metric}{{queue="q", instance="a"}}': values}


def at_a(metric: str, values: str) -> Series:
    return {f'rediq_{metric}{{instance="a"}}': values}


def failed(each: str, *, target: str | None = "0.4") -> Series:
    found = queue("failed_total", f"0+{each}x20") | queue("completed_total", f"0+{each}x20")
    return found if target is None else found | queue("target_failures", f"{target}x20")


def attempts(completed: str, failed: str) -> Series:
    counts = {"completed": completed, "failed": failed}
    return {
        f'rediq_attempts_total{{queue="q", type="t", outcome="{outcome}", instance="a"}}': values
        for outcome, values in counts.items()
    }


GONE = queue("paused", "0x5 stale") | tasks("retry", "2x5 stale") | tasks("pending", "0x5 stale")
FIRES: dict[str, Sequence[Series]] = {
    "redis-away": [at_a("worker_connected", "1 0x20")],
    "no-worker": [GONE, GONE | {'rediq_worker_connected{instance="b"}': "1x20"}],
    "late": [
        queue("oldest_pending_age_seconds", "61x20") | queue("paused", "0x20"),
        queue("oldest_pending_age_seconds", "31x20") | queue("target_latency_seconds", "30x20"),
    ],
    "failing": [failed("10")],
    "type-failing": [attempts("0+100x10 1000+10x10", "0x10 0+10x10")],
    "dead-growing": [queue("dead_total", "4+1x20")],
    "paused": [tasks("pending", "1x20") | queue("paused", "1x20")],
    "dead": [tasks("dead", "1x20")],
    "loop-blocked": [at_a("worker_loop_blocks_total", "0x15 1x5")],
    "leases-lost": [at_a("leases_lost_total", "0x15 1x5")],
    "unconfirmed": [at_a("worker_unconfirmed_total", "0x15 1x5")],
    "stuck": [at_a("worker_stuck", "1x20")],
}
"""Series on which just this rule is firing after 20 minutes."""
SILENT: dict[str, Sequence[Series]] = {
    "redis-away": [at_a("worker_connected", "0x20") | {'rediq_worker_connected{instance="b"}': "1x20"}],
    "no-worker": [
        tasks("retry", "2x20") | queue("paused", "0x20"),
        queue("paused", "0x5 stale") | tasks("dead", "2x5 stale") | tasks("pending", "0x5 stale"),
        GONE | at_a("worker_connected", "0x20"),
    ],
    "late": [
        queue("oldest_pending_age_seconds", "60x20"),
        queue("oldest_pending_age_seconds", "99x20") | queue("target_latency_seconds", "100x20"),
        queue("oldest_pending_age_seconds", "99x20") | queue("paused", "1x20"),
    ],
    "failing": [failed("10", target="0.6"), failed("10", target=None), failed("0.5")],
    "type-failing": [
        attempts("0+10x20", "0+10x20"), attempts("0+100x10 1000+1x10", "0x10 0+0.8x10"),
    ],
    "dead-growing": [queue("dead_total", "4x20"), queue("dead_total", "4 5x20")],
    "paused": [
        tasks("pending", "0x20") | queue("paused", "1x20"),
        tasks("pending", "1x20") | queue("paused", "0x15 1x5"),
    ],
    "dead": [tasks("dead", "0x20")],
    "loop-blocked": [at_a("worker_loop_blocks_total", "0 1x20")],
    "leases-lost": [at_a("leases_lost_total", "0 1x20")],
    "unconfirmed": [at_a("worker_unconfirmed_total", "0 1x20")],
    "stuck": [at_a("worker_stuck", "0x20"), at_a("worker_stuck", "0x19 1")],
}  # fmt: skip
"""The nearest series on which it is not."""


def expression(query: str, *samples: tuple[str, float]) -> dict[str, Any]:
    found = [{"labels": labels, "value": value} for labels, value in samples]
    return {"expr": query, "eval_time": AT, "exp_samples": found}


def case(series: Series, *expected: dict[str, Any]) -> dict[str, Any]:
    """Return a test of promtool."""
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": "1m", "input_series": inputs, "promql_expr_test": [*expected]}


def run(folder: Path, *tests: dict[str, Any]) -> str:
    """Run tests of promtool; return what it said if they fail."""
    (folder / "tests.yml").write_text(  # JSON is YAML
        json.dumps({"rule_files": [str(RULES_FILE)], "tests": [*tests]}), "utf-8"
    )
    command = [require_promtool(), "test", "rules", str(folder / "tests.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def firing(name: str) -> tuple[str, float]:
    rule = next(rule for rule in RULES if rule.name == name)
    label = QUERIES[name].label
    about = {"queue": ', queue="q"', "instance": ', instance="a"', "": ""}[label]
    severity = {"warn": "warning", "critical": "critical"}[rule.severity]
    labels = (
        f'alertname="{alert_name(rule)}", alertstate="firing", rule="{name}", severity="{severity}"'
    )
    return f"ALERTS{{{labels}{about}}}", 1


def test_every_rule_has_a_query_or_says_why_not_and_each_query_is_tested() -> None:
    assert [*QUERIES] == [*FIRES] == [*SILENT]
    for rule in RULES:
        if not isinstance(rule.prometheus, PromQuery):
            assert len(rule.prometheus.split()) > 3
        assert rule.runbook.endswith(".")


def test_promtool_accepts_the_rules() -> None:
    command = [require_promtool(), "check", "rules", "--lint-fatal", str(RULES_FILE)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(QUERIES) + len(RECORDS)} rules found" in ended.stdout


@pytest.mark.parametrize("name", QUERIES)
def test_an_alert_fires_where_it_should_and_only_there(name: str, tmp_path: Path) -> None:
    every, this = 'ALERTS{alertstate="firing"}', f'ALERTS{{alertstate="firing", rule="{name}"}}'
    fires = [case(series, expression(every, firing(name))) for series in FIRES[name]]
    silent = [case(series, expression(this)) for series in SILENT[name]]
    assert run(tmp_path, *fires, *silent) == ""


@pytest.mark.parametrize("name", QUERIES)
def test_these_tests_can_fail(name: str, tmp_path: Path) -> None:
    this = f'ALERTS{{alertstate="firing", rule="{name}"}}'
    assert "FAILED" in run(tmp_path, case(FIRES[name][0], expression(this)))
    assert "FAILED" in run(tmp_path, case(SILENT[name][0], expression(this, firing(name))))


def test_an_alert_names_its_queue_in_what_it_says_and_in_what_to_do(tmp_path: Path) -> None:
    rule = next(rule for rule in RULES if rule.name == "dead")
    expected = {
        "exp_labels": {"severity": "warning", "rule": "dead", "queue": "q"},
        "exp_annotations": {
            "summary": "q: A queue has dead tasks.", "next_step": "rediq failures 'q'",
            "runbook": rule.runbook,
        },
    }  # fmt: skip
    alert = {"eval_time": AT, "alertname": "RediqDead", "exp_alerts": [expected]}
    assert run(tmp_path, case(tasks("dead", "1x20")) | {"alert_rule_test": [alert]}) == ""


def test_records_are_what_they_are_called(tmp_path: Path) -> None:
    buckets = {
        f'rediq_task_{part}_seconds_bucket{{queue="q", type="t", outcome="completed", le="{le}"}}': values
        for part in ("wait", "run")
        for le, values in (("1.0", "0+50x20"), ("2.0", "0+100x20"), ("+Inf", "0+100x20"))
    }
    others = {
        'rediq_attempts_total{queue="q", type="t", outcome="failed", instance="a"}': "0+60x20",
        'rediq_worker_running{job="j", instance="a"}': "3x20",
        'rediq_worker_concurrency{job="j", instance="a"}': "10x20",
    }
    values = {
        "rediq:attempts:rate5m": ('{queue="q", type="t", outcome="failed"}', 1.0),
        "rediq:slots:used": ('{job="j"}', 0.3),
    }
    for part in ("wait", "run"):
        for of, value in (("p50", 1.0), ("p95", 1.9), ("p99", 1.98)):
            values[f"rediq:task_{part}_seconds:{of}"] = ('{queue="q"}', value)
    assert {*values} == {row.name for row in RECORDS}
    expected = [
        expression(f"round({name}, 0.001)", (labels, value))
        for name, (labels, value) in values.items()
    ]
    assert run(tmp_path, case(buckets | others, *expected)) == ""


# What queries name


@attrs.frozen
class Used:
    """The metrics that a query names, and those that are not there."""

    names: frozenset[str]

    @classmethod
    def of(cls, query: str) -> Used:
        return cls(frozenset(re.findall(r"\brediq_[a-z_]+", query)))

    @property
    def unknown(self) -> frozenset[str]:
        known = {row.name for row in METRICS}
        for row in METRICS:
            if row.kind is MetricKind.HISTOGRAM:
                known |= {f"{row.name}_{part}" for part in ("bucket", "sum", "count")}
        return self.names - known


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_an_alert_asks_only_for_metrics_that_workers_have(rule: AlertRule) -> None:
    if isinstance(rule.prometheus, PromQuery):
        assert Used.of(rule.prometheus.expression).names
        assert not Used.of(rule.prometheus.expression).unknown


def test_a_record_asks_only_for_metrics_that_workers_have() -> None:
    for row in RECORDS:
        assert Used.of(row.expression).names
        assert not Used.of(row.expression).unknown
    assert Used.of("sum(rediq_no_such_total)").unknown == {"rediq_no_such_total"}


def test_the_board_asks_only_for_metrics_that_workers_have_and_each_panel_has_a_unit() -> None:
    board = grafana_board.board()
    assert len({panel["title"] for panel in board["panels"]}) == len(board["panels"]) > 9
    for panel in board["panels"]:
        assert panel["fieldConfig"]["defaults"]["unit"] in {"s", "short", "ops", "percentunit"}
        assert panel["description"].endswith(".")
        assert panel["targets"]
        for target in panel["targets"]:
            assert Used.of(target["expr"]).names
            assert not Used.of(target["expr"]).unknown
            assert target["legendFormat"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len({*places}) == len(places)
    (variable,) = [each for each in board["templating"]["list"] if each["name"] == "queue"]
    assert not Used.of(variable["query"]["query"]).unknown


def test_promtool_can_read_each_query_of_the_board(tmp_path: Path) -> None:
    queries = [
        target["expr"].replace("$__rate_interval", "5m").replace("$queue", "q")
        for panel in grafana_board.board()["panels"]
        for target in panel["targets"]
    ]
    assert run(tmp_path, case({"x": "1x20"}, *map(expression, queries))) == ""
    assert run(tmp_path, case({"x": "1x20"}, expression("sum(")))


def test_the_file_is_what_the_table_says() -> None:
    assert RULES_FILE.read_text("utf-8") == prometheus_rules.text()
    board = RULES_FILE.with_name("grafana-board.json").read_text("utf-8")
    assert json.loads(board) == grafana_board.board()
