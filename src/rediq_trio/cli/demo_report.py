"""What the demo found, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

import rediq_trio as rediq
from rediq_trio.cli.screen import Rows, Screen

SHOWN = 5
"""Lines of a list that may be long."""


@attrs.frozen(kw_only=True)
class Cancellation:
    """How the cancelled task ended."""

    info: rediq.TaskInfo
    took: float | None
    """Seconds from `cancel()` to the handler's `trio.Cancelled`; None when it saw none."""
    reason: str | None


@attrs.frozen(kw_only=True)
class Outcome:
    """What the demo found."""

    stats: rediq.QueueStats
    elapsed: float
    """Seconds from the first enqueue to the last settled outcome."""
    size: int
    """Bytes of all files."""
    completed: Sequence[rediq.TaskInfo]
    dead: Sequence[rediq.TaskInfo]
    trips: Sequence[float]
    """Seconds from enqueue to result, one task at a time."""
    cancellation: Cancellation
    samples: int
    wrong: Sequence[str]
    violations: Sequence[rediq.Violation]

    @property
    def good(self) -> bool:
        """Whether everything is as it must be."""
        cancelled = self.cancellation.info.state is rediq.State.CANCELLED
        seen = self.cancellation.took is not None
        return cancelled and seen and not self.wrong and not self.violations


def report(screen: Screen, outcome: Outcome) -> None:
    """Show it all."""
    screen.table("What happened", _happenings(outcome))
    screen.table("How fast", _speed(outcome))
    screen.table("Is it right", _checks(outcome))


def _happenings(outcome: Outcome) -> Rows:
    stats, cancellation = outcome.stats, outcome.cancellation
    counts = {"completed": stats.completed, "dead": stats.dead, "cancelled": stats.cancelled}
    tries = [info.attempt for info in outcome.completed]
    again = {n: tries.count(n) for n in (2, 3)}
    dead = [f"{info.error} (attempt {info.attempt})" for info in outcome.dead[:SHOWN]]
    if len(outcome.dead) > SHOWN:
        dead.append(f"and {len(outcome.dead) - SHOWN:,} more")
    if cancellation.took is None:
        cancelled = f"{cancellation.info.state}, but its handler saw no trio.Cancelled"
    else:
        cancelled = (
            f"while it ran: trio.Cancelled reached its handler {_ms(cancellation.took)} after "
            f"cancel(), with reason {cancellation.reason!r}"
        )
    return [
        ("states", ", ".join(f"{name} {count:,}" for name, count in counts.items())),
        ("retried", f"{sum(tries) - len(tries):,} attempts failed and were repeated: "
                    f"{again[2]:,} tasks needed 2, {again[3]:,} needed 3"),
        ("dead", "; ".join(dead)),
        ("cancelled", cancelled),
    ]  # fmt: skip


def _speed(outcome: Outcome) -> Rows:
    # Of tasks that were delivered once: with a retry, the time would be the backoff's.
    once = [info for info in outcome.completed if info.deliveries == 1]
    waited = [(i.started_at - i.created_at).total_seconds() for i in once if i.started_at]
    ran = [
        (info.finished_at - info.started_at).total_seconds()
        for info in once
        if info.started_at and info.finished_at
    ]
    files, seconds = len(outcome.completed), outcome.elapsed
    return [
        ("throughput", f"{files / seconds:,.0f} files/s, {outcome.size / seconds / 1e6:,.1f} MB/s "
                       f"({seconds:.2f} s, enqueuing and retries included)"),
        ("in the queue", f"{_percentiles(waited)}  enqueue to start, behind all the others"),
        ("at work", f"{_percentiles(ran)}  start to finish"),
        ("alone", f"{_percentiles(outcome.trips)}  enqueue to result, the queue being empty"),
    ]  # fmt: skip


def _checks(outcome: Outcome) -> Rows:
    right = outcome.samples - len(outcome.wrong)
    hashes = f"{right} of {outcome.samples} hashes agree with hashlib"
    if outcome.wrong:
        hashes += f"; not those of {', '.join(outcome.wrong)}"
    if not outcome.violations:
        invariants = f"all invariants hold (checked on {outcome.stats.enqueued:,} tasks)"
    else:
        some = [str(violation) for violation in outcome.violations[:SHOWN]]
        invariants = f"{len(outcome.violations)} violations: " + "; ".join(some)
    return [("hashes", hashes), ("queue", invariants)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def _percentiles(values: Sequence[float]) -> str:
    """Give p50, p95 and p99 by nearest rank."""
    if not values:
        return "no data"
    ordered = sorted(values)
    named = ((p, ordered[max(0, -(-p * len(ordered) // 100) - 1)]) for p in (50, 95, 99))
    return ", ".join(f"p{p} {_ms(value)}" for p, value in named)
