"""The manifests of the page *Scaling* ask for what a worker answers, and take the number as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from rediq_trio.web.metric_table import METRICS

DEPLOY = Path(__file__).resolve().parents[2] / "examples" / "deploy"
METRIC = "rediq_queue_desired_workers"


def documents(name: str) -> dict[str, Any]:
    """Return the documents of a file by their kinds."""
    found = yaml.safe_load_all((DEPLOY / name).read_text("utf-8"))
    return {document["kind"]: document for document in found}


@pytest.mark.parametrize("name", ["keda-metrics-api.yaml", "keda-prometheus.yaml"])
def test_keda_scales_to_the_number_itself(name: str) -> None:
    scaled = documents(name)["ScaledObject"]
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    spec = scaled["spec"]
    assert 1 == spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down == {"stabilizationWindowSeconds": 0}
    (trigger,) = spec["triggers"]
    # The number of pods is the value divided by 1: an average over pods, not a value to reach.
    assert trigger["metricType"] == "AverageValue"
    target = "targetValue" if trigger["type"] == "metrics-api" else "threshold"
    assert trigger["metadata"][target] == "1"


def test_keda_asks_the_endpoint_of_a_worker() -> None:
    found = documents("keda-metrics-api.yaml")
    (trigger,) = found["ScaledObject"]["spec"]["triggers"]
    url = urlsplit(trigger["metadata"]["url"])
    service = found["Service"]
    assert url.hostname is not None
    assert url.hostname.split(".")[0] == service["metadata"]["name"]
    assert [url.port] == [port["port"] for port in service["spec"]["ports"]]
    assert url.path == "/scale/default"
    assert trigger["metadata"]["valueLocation"] == "desired_workers"


def test_the_metric_of_the_other_manifests_is_one_of_ours() -> None:
    assert METRIC in {row.name for row in METRICS}
    (trigger,) = documents("keda-prometheus.yaml")["ScaledObject"]["spec"]["triggers"]
    assert f"sum(max by (queue) ({METRIC}" in trigger["metadata"]["query"]
    spec = documents("hpa.yaml")["HorizontalPodAutoscaler"]["spec"]
    (metric,) = spec["metrics"]
    external = metric["external"]
    assert external["metric"]["name"] == METRIC
    assert external["target"] == {"type": "AverageValue", "averageValue": "1"}
    assert spec["minReplicas"] == 1
    values = yaml.safe_load((DEPLOY / "prometheus-adapter.yaml").read_text("utf-8"))
    (rule,) = values["rules"]["external"]
    assert rule["seriesQuery"] == METRIC
