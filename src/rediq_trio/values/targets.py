"""The targets of a queue: what its operators expect of it."""

from __future__ import annotations

from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.records import QueueState
from rediq_trio.values.bounds import MAX_DELAY, Duration, check_number, check_seconds, to_seconds
from rediq_trio.values.limits import UNSET, Unset

LEAST_LATENCY = 0.001
"""Seconds of the shortest target."""
LEAST_FAILURES = 0.000_001
"""The lowest share of attempts that may fail."""


@attrs.frozen(kw_only=True)
class QueueTargets:
    """What the operators of a queue expect of it. Nothing is held back; tools alert when it is missed."""

    latency: float | None = None
    """Seconds that a pending task may wait; None for no target."""
    failures: float | None = None
    """The share of ended attempts that may fail, 0.000001 to 1; None for no target."""


NO_TARGETS = QueueTargets()


def pack_targets(
    latency: Duration | Unset | None, failures: float | Unset | None
) -> dict[str, Any]:
    """Return what a store sets; raise `ConfigError` for a bad target."""
    packed: dict[str, Any] = {}
    if latency is not UNSET:
        seconds = None if latency is None else to_seconds(latency)
        if seconds is not None:
            check_seconds("latency", seconds, LEAST_LATENCY, MAX_DELAY)
        packed["target_latency_ms"] = round((seconds or 0) * 1000)
    if failures is not UNSET:
        if failures is not None:
            _check_share("failures", failures)
        packed["target_failures_ppm"] = round((failures or 0) * 1_000_000)
    return packed


def _check_share(field: str, value: object) -> None:
    try:
        check_number(field, value, LEAST_FAILURES, 1)
    except ConfigError:
        raise ConfigError.of(field, value, f"a number from {LEAST_FAILURES:f} to 1") from None


def read_targets(queue: QueueState) -> QueueTargets:
    """Return the targets of a queue."""
    return make_targets(queue.target_latency_ms, queue.target_failures_ppm)


def make_targets(latency_ms: int, failures_ppm: int) -> QueueTargets:
    """Return the targets that are stored so, each 0 for none."""
    return QueueTargets(latency=latency_ms / 1000 or None, failures=failures_ppm / 1_000_000 or None)
