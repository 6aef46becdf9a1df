"""Alerts: rules over a view, as data, so that every tool gives the same alarm in the same words."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator

import attrs

from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import counted, duration, share, shown

LATE = 60.0
"""Seconds that the oldest pending task may wait before an alert, in a queue without a target."""


class Severity(enum.StrEnum):
    """How soon somebody has to look."""

    WARN = "warn"
    """Something will go wrong, or goes wrong for a few."""
    CRITICAL = "critical"
    """Tasks do not run, or nothing can be said."""


@attrs.frozen
class Alert:
    """What a rule found of one thing."""

    rule: str
    severity: Severity
    subject: str
    """The queue, the worker or the server that it is about."""
    text: str
    """What is wrong, in one sentence."""
    next_step: str
    """What to look at or to do."""


SubjectTexts = Iterable[tuple[str, str]]


@attrs.frozen
class AlertRule:
    """A rule over a view."""

    name: str
    severity: Severity
    means: str
    """What it finds, in the words of the documentation."""
    next_step: str
    """What to do; `{}` stands for the subject."""
    find: Callable[[FleetView], SubjectTexts]
    """Returns what is wrong: subjects, each with a sentence."""


def _away(view: FleetView) -> Iterator[tuple[str, str]]:
    if view.away is not None:
        yield "redis", f"Redis cannot be read: {view.away}"


def _unread(view: FleetView) -> Iterator[tuple[str, str]]:
    yield from ((name, f"it cannot be read: {why}") for name, why in view.unread.items())


def _unserved(view: FleetView) -> Iterator[tuple[str, str]]:
    for queue in view.queues:
        if queue.waiting and not queue.workers:
            some = counted(queue.waiting, "waiting task")
            yield queue.name, f"no live worker serves it, and it has {some}"


def _late(view: FleetView) -> Iterator[tuple[str, str]]:
    for queue in view.queues:
        age, target = queue.stats.oldest_pending_age, queue.stats.targets.latency
        if age > (target or LATE) and queue.workers and not queue.stats.paused:
            bound = f", its target is {duration(target)}" if target else ""
            yield queue.name, f"its oldest pending task has waited for {duration(age)}{bound}"


def _failing(view: FleetView) -> Iterator[tuple[str, str]]:
    for queue in view.queues:
        target, failures = queue.stats.targets.failures, queue.failures
        if target and failures is not None and failures > target:
            some = f"{share(failures)} of the last attempts failed"
            yield queue.name, f"{some}, its target is {share(target)}"


def _paused(view: FleetView) -> Iterator[tuple[str, str]]:
    for queue in view.queues:
        if queue.stats.paused and queue.stats.pending:
            yield queue.name, f"it is paused with {counted(queue.stats.pending, 'pending task')}"


def _dead(view: FleetView) -> Iterator[tuple[str, str]]:
    for queue in view.queues:
        if queue.stats.dead:
            yield queue.name, f"it has {counted(queue.stats.dead, 'dead task')}"


def _stuck(view: FleetView) -> Iterator[tuple[str, str]]:
    for worker in view.workers:
        if worker.stuck:
            some = counted(len(worker.stuck), "attempt")
            yield worker.id, f"{some} ran on after its timeout: {shown(worker.stuck[0], 60)}"


RULES: tuple[AlertRule, ...] = (
    AlertRule(
        "redis-away", Severity.CRITICAL, "Redis cannot be read.",
        "start Redis, or name another server with --url", _away,
    ),
    AlertRule(
        "queue-unread", Severity.CRITICAL, "A queue cannot be read: its shard is away, or refuses.",
        "look at the server of its slot: rediq queue show {}", _unread,
    ),
    AlertRule(
        "no-worker", Severity.CRITICAL, "A queue has waiting tasks, and no live worker serves it.",
        "start one: rediq run module:app --queues {}", _unserved,
    ),
    AlertRule(
        "late", Severity.WARN,
        f"The oldest pending task has waited for longer than the target of its queue, or {LATE:g} s.",
        "add workers, or look at what runs: rediq worker list", _late,
    ),
    AlertRule(
        "failing", Severity.WARN, "More attempts fail than the target of their queue allows.",
        "rediq dead list {}", _failing,
    ),
    AlertRule(
        "paused", Severity.WARN, "A paused queue has pending tasks.",
        "rediq queue resume {}", _paused,
    ),
    AlertRule(
        "dead", Severity.WARN, "A queue has dead tasks.",
        "rediq dead list {}", _dead,
    ),
    AlertRule(
        "stuck", Severity.WARN, "A handler runs on after its timeout, and cannot be cancelled.",
        "restart the worker {}", _stuck,
    ),
)  # fmt: skip
"""Every rule, the most severe first."""


def alerts_of(view: FleetView) -> tuple[Alert, ...]:
    """Return what the rules find in a view, the most severe first."""
    return tuple(
        Alert(rule.name, rule.severity, subject, text, rule.next_step.replace("{}", subject))
        for rule in RULES
        for subject, text in rule.find(view)
    )
