from __future__ import annotations

from typing import Any

import pytest

from rediq_trio import ConfigError
from rediq_trio.settings import Settings, read_setting, settle_settings


def test_a_keyword_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIQ_CONCURRENCY", "7")
    monkeypatch.setenv("REDIQ_LEASE", "12.5")
    monkeypatch.setenv("REDIQ_THREADS", "")
    settings = settle_settings({"concurrency": 3})
    assert (settings.concurrency, settings.lease, settings.threads) == (3, 12.5, 40)


def test_a_worker_renews_three_times_in_a_lease_unless_it_is_told_otherwise() -> None:
    assert Settings(lease=30.0).beat == 10.0
    assert Settings(lease=30.0, heartbeat=2.0).beat == 2.0
    assert Settings(lease=30.0, heartbeat=15.0).beat == 15.0
    with pytest.raises(ConfigError, match=r"heartbeat=15\.1.*at most half the lease, 15"):
        Settings(lease=30.0, heartbeat=15.1)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("queues", "a, b", ["a", "b"]),
        ("queues", "a=3, b=0.5", {"a": 3.0, "b": 0.5}),
        ("burst", "Yes", True),
        ("burst", "no", False),
        ("allow_eviction", "off", False),
        ("prefetch", "auto", "auto"),
        ("prefetch", "5", 5),
        ("labels", "zone=b, rack = 4", {"zone": "b", "rack": "4"}),
        ("labels", "", {}),
    ],
)
def test_a_setting_is_read_from_text(name: str, text: str, value: object) -> None:
    assert read_setting(name, text) == value


@pytest.mark.parametrize(
    "bad",
    [
        {"prefetch": -1}, {"prefetch": 1001}, {"queues": {"a": 0}}, {"queues": ("a", "a")},
        {"queues": "a"}, {"queues": ()}, {"durability": "replicated", "replicas": 0},
        {"durability": "some"}, {"replicas": 1}, {"labels": ["a"]}, {"labels": {"a b": "x"}},
        {"labels": {"a": 1}}, {"labels": {"a": "x" * 129}}, {"labels": {"a": "x,y"}},
        {"labels": {str(n): "" for n in range(17)}}, {"labels": {"a": "x\n"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_out_of_its_bounds_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings(**bad)


@pytest.mark.parametrize("text", ["zone", "a=1,a=2"])
def test_text_that_is_no_list_of_labels_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="must be readable: labels as zone=b,rack=4"):
        read_setting("labels", text)


def test_labels_are_a_copy_that_nobody_can_change() -> None:
    given = {"zone": "b"}
    settings = Settings(labels=given)
    given["zone"] = "c"
    assert settings.labels == {"zone": "b"}
    with pytest.raises(TypeError):
        settings.labels["zone"] = "c"  # type: ignore[index]


def test_a_setting_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'colour'; there are queues, "):
        settle_settings({"colour": 1})
