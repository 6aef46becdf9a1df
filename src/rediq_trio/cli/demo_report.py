"""The result of the demo, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

import rediq_trio as rediq
from rediq_trio.cli.demo_tasks import CancellationProbe
from rediq_trio.cli.screen import Rows, Screen

LINES_SHOWN = 5
"""Lines of a long list that are printed."""


@attrs.frozen(kw_only=True)
class DemoResult:
    """The result of the demo."""

    stats: rediq.QueueStats
    elapsed: float
    """Seconds from the first enqueue to the last settled outcome."""
    size: int
    """Bytes of all files."""
    completed: Sequence[rediq.TaskInfo]
    dead: Sequence[rediq.TaskInfo]
    latencies: Sequence[float]
    """Seconds from enqueue to result, one task at a time."""
    cancelled: rediq.TaskInfo
    """The task that was cancelled while it ran."""
    probe: CancellationProbe
    samples: int
    wrong: Sequence[str]
    violations: Sequence[rediq.Violation]

    @property
    def good(self) -> bool:
        """Whether everything is as it must be."""
        cancelled = self.cancelled.state is rediq.State.CANCELLED and self.probe.took is not None
        return cancelled and not self.wrong and not self.violations


def report(screen: Screen, result: DemoResult) -> None:
    """Print the result."""
    screen.table("What happened", _happenings(result))
    screen.table("How fast", _speed(result))
    screen.table("Is it right", _checks(result))


def _happenings(result: DemoResult) -> Rows:
    stats, probe = result.stats, result.probe
    counts = {"completed": stats.completed, "dead": stats.dead, "cancelled": stats.cancelled}
    tries = [info.attempt for info in result.completed]
    again = {n: tries.count(n) for n in (2, 3)}
    dead = [f"{info.error} (attempt {info.attempt})" for info in result.dead[:LINES_SHOWN]]
    if len(result.dead) > LINES_SHOWN:
        dead.append(f"and {len(result.dead) - LINES_SHOWN:,} more")
    if probe.took is None:
        cancelled = f"{result.cancelled.state}, but its handler saw no trio.Cancelled"
    else:
        cancelled = (
            f"while it ran: trio.Cancelled reached its handler {_ms(probe.took)} after "
            f"cancel(), with reason {probe.reason!r}"
        )
    return [
        ("states", ", ".join(f"{name} {count:,}" for name, count in counts.items())),
        ("retried", f"{sum(tries) - len(tries):,} attempts failed and were repeated: "
                    f"{again[2]:,} tasks needed 2, {again[3]:,} needed 3"),
        ("dead", "; ".join(dead)),
        ("cancelled", cancelled),
    ]  # fmt: skip


def _speed(result: DemoResult) -> Rows:
    # Of tasks that were delivered once: with a retry, the time would be the backoff's.
    once = [info for info in result.completed if info.deliveries == 1]
    waited = [(i.started_at - i.created_at).total_seconds() for i in once if i.started_at]
    ran = [
        (info.finished_at - info.started_at).total_seconds()
        for info in once
        if info.started_at and info.finished_at
    ]
    files, seconds = len(result.completed), result.elapsed
    return [
        ("throughput", f"{files / seconds:,.0f} files/s, {result.size / seconds / 1e6:,.1f} MB/s "
                       f"({seconds:.2f} s, enqueuing and retries included)"),
        ("in the queue", f"{_percentiles(waited)}  enqueue to start, after all the others"),
        ("at work", f"{_percentiles(ran)}  start to finish"),
        ("alone", f"{_percentiles(result.latencies)}  enqueue to result, the queue being empty"),
    ]  # fmt: skip


def _checks(result: DemoResult) -> Rows:
    hashes = f"{result.samples - len(result.wrong)} of {result.samples} hashes agree with hashlib"
    if result.wrong:
        hashes += f"; not those of {', '.join(result.wrong)}"
    if not result.violations:
        invariants = f"all invariants hold (checked on {result.stats.enqueued:,} tasks)"
    else:
        some = [str(violation) for violation in result.violations[:LINES_SHOWN]]
        invariants = f"{len(result.violations)} violations: " + "; ".join(some)
    return [("hashes", hashes), ("queue", invariants)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def _percentiles(values: Sequence[float]) -> str:
    """Return p50, p95 and p99 as text, by nearest rank."""
    if not values:
        return "no data"
    ordered = sorted(values)
    named = ((p, ordered[max(0, -(-p * len(ordered) // 100) - 1)]) for p in (50, 95, 99))
    return ", ".join(f"p{p} {_ms(value)}" for p, value in named)
