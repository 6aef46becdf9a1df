"""Alerts: rules over a view, as data, so that every tool gives the same alarm in the same words.

The rules for Prometheus are made of the same data: where the metrics of workers can say what a rule
finds, it has an expression, and where they cannot, the reason. Long, because each rule says what to do.
"""

from __future__ import annotations

import enum
import shlex
from collections.abc import Callable

import attrs

from rediq_trio.observe import finders
from rediq_trio.observe.finders import (
    BLOCKED_PART,
    FAILING_FACTOR,
    FAILING_LEAST,
    LATE,
    MEMORY_USED_MAX,
    SubjectTexts,
)
from rediq_trio.observe.views import FAILURES_LEAST, FleetView
from rediq_trio.observe.words import percent, shown

__all__ = ["LATE", "RULES", "Alert", "AlertRule", "Severity", "alerts_of"]


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


@attrs.frozen
class PromQuery:
    """The expression of a rule for Prometheus."""

    expression: str
    """What is there while something is wrong, over the metrics of `web.metric_table`."""
    label: str
    """The label that names the subject: `queue`, `instance`, or "" for the whole fleet."""
    lasting: str = "0s"
    """For how long it must be there before it is an alert, in Prometheus' words."""


@attrs.frozen(kw_only=True)
class AlertRule:
    """A rule over a view."""

    name: str
    severity: Severity
    means: str
    """What it finds, in the words of the documentation."""
    next_step: str
    """What to do; `{}` stands for the subject."""
    runbook: str
    """What it is a sign of, and where to look next, in two or three sentences."""
    find: Callable[[FleetView], SubjectTexts]
    """Returns what is wrong: subjects, each with a sentence."""
    prometheus: PromQuery | str
    """The same for Prometheus, or why it cannot be said with the metrics of workers."""


_WARN, _CRITICAL = Severity.WARN, Severity.CRITICAL
_WAITING = 'state=~"pending|scheduled|retry|blocked|grouped"'
_PAUSED = "max by (queue) (rediq_queue_paused) == 1"
_OLDEST_AGE = "max by (queue) (rediq_queue_oldest_pending_age_seconds)"
_FAILED_LATELY = "max by (queue) (increase(rediq_queue_failed_total[10m]))"
_ATTEMPTS = f"({_FAILED_LATELY} + max by (queue) (increase(rediq_queue_completed_total[10m])))"
_JUDGED = "completed|failed|timed out"


def _of_types(outcomes: str, lately: str) -> str:
    return f'sum by (queue, type) (increase(rediq_attempts_total{{outcome=~"{outcomes}"}}[{lately}]))'


def _failed_share(lately: str) -> str:
    return f"{_of_types('failed|timed out', lately)}\n  / {_of_types(_JUDGED, lately)}"



RULES: tuple[AlertRule, ...] = (
    AlertRule(
        name="redis-away", severity=_CRITICAL, find=finders.away,
        means="Redis cannot be read.",
        next_step="start Redis, or name another server with --url",
        runbook="No worker gets an answer. Look at the server's own log, and at the network; rediq doctor "
        "says what it finds on the way. Workers go on by themselves once it answers, and nothing is lost.",
        prometheus=PromQuery("max(rediq_worker_connected) == 0", "", "1m"),
    ),
    AlertRule(
        name="queue-unread", severity=_CRITICAL, find=finders.unread,
        means="A queue cannot be read: its shard is away, or refuses.",
        next_step="look at the server of its slot: rediq queue show {}",
        runbook="The other queues answer. In a Cluster, look at the node of its slot; for a user "
        "without rights the message names the right that is missing.",
        prometheus="workers leave out a queue that they cannot read; see `no-worker`",
    ),
    AlertRule(
        name="no-worker", severity=_CRITICAL, find=finders.unserved,
        means="A queue has waiting tasks, and no live worker serves it.",
        next_step="start one: rediq run module:app --queues {}",
        runbook="Its workers have ended, are quiet, or do not name the queue. Look at their logs and at "
        "rediq worker list. Prometheus knows the queue for an hour after its last worker.",
        prometheus=PromQuery(
            "sum by (queue) (\n  max by (queue, state) (\n"
            f"    last_over_time(rediq_queue_tasks{{{_WAITING}}}[1h])\n  )\n) > 0\n"
            "unless on (queue) max by (queue) (rediq_queue_paused)\n"
            "unless on () (max(rediq_worker_connected) == 0)",
            "queue", "2m",
        ),
    ),
    AlertRule(
        name="late", severity=_WARN, find=finders.late,
        means=f"The oldest pending task has waited for longer than the target of its queue, or {LATE:g} s.",
        next_step="add workers, or look at what runs: rediq worker list; rediq queue show {}",
        runbook="More comes in than is done, or something holds the tasks: a limit, long attempts, a pool "
        "that is full. rediq task why says it for one task; the page 'A queue is slow' goes through it.",
        prometheus=PromQuery(
            f"{_OLDEST_AGE}\n> on (queue) (\n  max by (queue) (rediq_queue_target_latency_seconds)\n"
            f"  or on (queue) ({_OLDEST_AGE} * 0 + {LATE:g})\n)\nunless on (queue) ({_PAUSED})",
            "queue",
        ),
    ),
    AlertRule(
        name="failing", severity=_WARN, find=finders.failing,
        means="More attempts fail than the target of their queue allows.",
        next_step="rediq failures {}",
        runbook="The kinds of failure say what fails, since when and where in your code. A kind that is new "
        "came with a deployment; one that is old has a cause outside.",
        prometheus=PromQuery(
            f"({_FAILED_LATELY} / {_ATTEMPTS}\n> on (queue) max by (queue) (rediq_queue_target_failures))\n"
            f"and on (queue) ({_ATTEMPTS} >= {FAILURES_LEAST})",
            "queue",
        ),
    ),
    AlertRule(
        name="type-failing", severity=_WARN, find=finders.failing_types,
        means=f"Of the attempts of a type, at least {FAILING_LEAST} in the last 10 minutes, more than "
        f"{FAILING_FACTOR:g} times as many fail as in a day.",
        next_step="rediq failures {}",
        runbook="One type of task fails more than it used to, while the queue as a whole may look well. "
        "rediq stats compares the types, and the kinds of failure name the place in your code.",
        prometheus=PromQuery(
            f"max by (queue) (\n  {_failed_share('10m')}\n  > {FAILING_FACTOR:g} * ({_failed_share('1d')})\n"
            f"  and {_of_types(_JUDGED, '10m')} >= {FAILING_LEAST}\n)",
            "queue",
        ),
    ),
    AlertRule(
        name="dead-growing", severity=_WARN, find=finders.dead_growing,
        means="Tasks died in the last 10 minutes.",
        next_step="rediq failures {}",
        runbook="These have used up their retries, or must not be tried again. Once the cause is fixed, "
        "rediq failures retry brings back those of one kind.",
        prometheus=PromQuery("max by (queue) (increase(rediq_queue_dead_total[10m])) > 0", "queue"),
    ),
    AlertRule(
        name="new-failure", severity=_WARN, find=finders.new_failure,
        means="A kind of failure was first seen within the hour.",
        next_step="rediq failures {}",
        runbook="Something fails that did not fail so before. Compare when it was first seen with the last "
        "deployment.",
        prometheus="kinds of failure are no metric, as each bug would be a new series",
    ),
    AlertRule(
        name="paused", severity=_WARN, find=finders.paused,
        means="A paused queue has pending tasks.",
        next_step="rediq queue resume {}",
        runbook="rediq queue show says who paused it, when and why. Its tasks wait until it is resumed.",
        prometheus=PromQuery(
            f'max by (queue) (rediq_queue_tasks{{state="pending"}}) > 0\nand on (queue) ({_PAUSED})',
            "queue", "10m",
        ),
    ),
    AlertRule(
        name="dead", severity=_WARN, find=finders.dead,
        means="A queue has dead tasks.",
        next_step="rediq failures {}",
        runbook="They stay until someone retries or deletes them, or dead_retention is over.",
        prometheus=PromQuery('max by (queue) (rediq_queue_tasks{state="dead"}) > 0', "queue"),
    ),
    AlertRule(
        name="missed-tick", severity=_WARN, find=finders.missed_tick,
        means="A schedule is overdue by more than a minute.",
        next_step="start a worker for its queue, and look at its log: rediq schedule list; "
        "rediq run module:app --queues {}",
        runbook="Workers of its queue make its ticks. None runs, or the queue is full or cannot be written.",
        prometheus="schedules are no metric",
    ),
    AlertRule(
        name="memory", severity=_WARN, find=finders.memory,
        means=f"A server of Redis uses more than {percent(MEMORY_USED_MAX)} of its maxmemory.",
        next_step="raise maxmemory, or shorten retention and dead_retention: rediq doctor",
        runbook="When its memory is full, Redis refuses enqueues. Look for a queue that grows, large payloads "
        "and results, and tasks that are kept for long.",
        prometheus="workers do not ask servers for their memory: use `redis_memory_used_bytes` and "
        "`redis_memory_max_bytes` of an exporter of Redis",
    ),
    AlertRule(
        name="loop-blocked", severity=_WARN, find=finders.loop_blocked,
        means=f"The event loop of a worker was blocked for longer than 1/{BLOCKED_PART} of its lease.",
        next_step="look for the stack in its log, and move the call to a thread: rediq worker show {}",
        runbook="A handler computes, or calls what blocks. All attempts of the worker stand still meanwhile, and "
        "its leases may be lost. The watchdog logs the stack of the block.",
        prometheus=PromQuery("increase(rediq_worker_loop_blocks_total[10m]) > 0", "instance"),
    ),
    AlertRule(
        name="leases-lost", severity=_WARN, find=finders.leases_lost,
        means="A worker lost leases in the last 10 minutes, so tasks may have run twice.",
        next_step="look at its loop delay, its clock and the way to Redis: rediq worker show {}",
        runbook="Its leases were over before its outcomes were written: its event loop was blocked, its process "
        "stood still, or Redis was away for longer than the lease.",
        prometheus=PromQuery("increase(rediq_leases_lost_total[10m]) > 0", "instance"),
    ),
    AlertRule(
        name="unconfirmed", severity=_WARN, find=finders.unconfirmed,
        means="Writes of a worker were not confirmed as its durability asks for, in the last 10 minutes.",
        next_step="look at the replicas, or at the disk, of the server: rediq doctor; rediq worker show {}",
        runbook="The writes were made. A failover, or a crash of the server, now may lose them.",
        prometheus=PromQuery("increase(rediq_worker_unconfirmed_total[10m]) > 0", "instance"),
    ),
    AlertRule(
        name="stuck", severity=_WARN, find=finders.stuck,
        means="A handler runs on after its timeout, and cannot be cancelled.",
        next_step="restart the worker {}",
        runbook="It is shielded from cancellation, or is in a thread. rediq worker stacks says where. It keeps "
        "its slot until it ends.",
        prometheus=PromQuery("rediq_worker_stuck > 0", "instance", "1m"),
    ),
)  # fmt: skip
"""Every rule, the most severe first."""


def alerts_of(view: FleetView) -> tuple[Alert, ...]:
    """Return what the rules find in a view, the most severe first.

    A next step can be typed into a shell, whatever the subject is named.
    """
    return tuple(
        Alert(rule.name, rule.severity, subject, text, step_of(rule, subject))
        for rule in RULES
        for subject, text in rule.find(view)
    )


def step_of(rule: AlertRule, subject: str) -> str:
    """Return what to do about a subject."""
    return rule.next_step.replace("{}", shlex.quote(shown(subject)))
