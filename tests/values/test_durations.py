"""Durations: seconds or a timedelta, wherever one is expected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.handlers.aggregators import make_rule
from rediq_trio.handlers.retry_rules import BadRule, retry_rules
from rediq_trio.settings import Settings
from rediq_trio.values.task import Task, Unique

HALF = dt.timedelta(milliseconds=1500, microseconds=400)
"""A timedelta of 1.5 s, once it is rounded to the millisecond."""

TAKEN: dict[str, Callable[[Any], Any]] = {
    **{
        name: lambda value, name=name: getattr(Task("t", **{name: value}), name)  # type: ignore[misc]
        for name in ("timeout", "delay", "expires", "deadline", "retention")
    },
    **{
        name: lambda value, name=name: getattr(Settings(**{name: value}), name)  # type: ignore[misc]
        for name in (
            "lease", "heartbeat", "shutdown_grace", "cleanup_grace", "progress_interval", "dead_retention"
        )
    },
    "ttl": lambda value: Unique(ttl=value).ttl,
    "first": lambda value: rediq.Exponential(first=value).first,
    "cap": lambda value: rediq.Exponential(cap=value).cap,
    "step": lambda value: rediq.Linear(value).step,
    "cap of Linear": lambda value: rediq.Linear(1, cap=value).cap,
    "seconds": lambda value: rediq.Fixed(value).seconds,
    "per": lambda value: rediq.Rate(1, per=value).per,
    "interval": lambda value: rediq.Every(value).seconds,
    "after": lambda value: rediq.Retry(value).after,
    "snooze": lambda value: rediq.Snooze(value).seconds,
    "retry": lambda value: retry_rules(None, None, lambda e, n: value).delay(ValueError(), 1, 9.0),
    "grace_period": lambda value: make_rule("g", 10, value, 60).grace_ms / 1000,
    "max_delay": lambda value: make_rule("g", 10, 1, value).max_delay_ms / 1000,
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_a_timedelta_is_as_good_as_its_seconds(name: str) -> None:
    assert TAKEN[name](HALF) == TAKEN[name](1.5) == 1.5


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("value", [-dt.timedelta(seconds=5), -5.0, "5"])
def test_a_bad_duration_is_refused_in_seconds(name: str, value: Any) -> None:
    with pytest.raises((rediq.ConfigError, BadRule)) as caught:
        TAKEN[name](value)
    error = caught.value.__cause__ if name == "retry" else caught.value
    assert isinstance(error, rediq.ConfigError)
    assert ": must be a number of seconds " in str(error)
    assert str(error).endswith(", or a timedelta")


def test_the_noise_of_floats_is_no_reason_to_refuse() -> None:
    assert rediq.Every(0.1 + 0.2) == rediq.Every(0.3)
    assert rediq.Every(0.1 * 3 - 0.2).seconds == 0.1
    with pytest.raises(rediq.ConfigError, match=r"seconds=0\.05: "):
        rediq.Every(0.05)


@pytest.mark.mock_clock
async def test_a_wait_takes_a_timedelta_too() -> None:
    handle = await rediq.Client(MemoryStore()).enqueue(Task("t"))
    for wait in (handle.result, handle.wait):
        with pytest.raises(trio.TooSlowError, match=r"after 1.5 s"):
            await wait(HALF)
        with pytest.raises(rediq.ConfigError, match="timeout=-1"):
            await wait(-1)
