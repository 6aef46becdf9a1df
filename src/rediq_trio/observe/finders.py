"""What the rules of `alerts` look for: each yields subjects, with a sentence about each.

The words of tasks, workers and schedules in a sentence are escaped by `shown`. What is not known is
not an alert: the view says in `unknown` why.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from rediq_trio.observe.recent import LATELY, NEW, Recent
from rediq_trio.observe.views import FleetView, QueueView
from rediq_trio.observe.words import counted, duration, percent, share, shown, size
from rediq_trio.values.observed.failure_kind import FailureKind

SubjectTexts = Iterator[tuple[str, str]]

LATE = 60.0
"""Seconds that the oldest pending task may wait before an alert, in a queue without a target."""
FAILING_LEAST = 20
"""Attempts of a type in the last minutes below which its failures say nothing."""
FAILING_FACTOR = 2.0
"""How many times its share of a day the failures of a type are before an alert."""
MEMORY_USED_MAX = 0.8
"""The part of `maxmemory` that may be used."""
BLOCKED_PART = 3
"""The event loop may be blocked for the lease divided by this, as the watchdog has it."""
SHOWN_TEXT_MAX = 60
"""Characters of a task's text in a sentence."""

_LATELY, _NEW = duration(LATELY.total_seconds()), duration(NEW.total_seconds())


def away(view: FleetView) -> SubjectTexts:
    if view.away is not None:
        yield "redis", f"Redis cannot be read: {shown(view.away)}"


def unread(view: FleetView) -> SubjectTexts:
    yield from ((name, f"it cannot be read: {shown(why)}") for name, why in view.unread.items())


def unserved(view: FleetView) -> SubjectTexts:
    for queue in view.queues:
        if queue.waiting and not queue.workers:
            some = counted(queue.waiting, "waiting task")
            yield queue.name, f"no live worker serves it, and it has {some}"


def late(view: FleetView) -> SubjectTexts:
    for queue in view.queues:
        age, target = queue.stats.oldest_pending_age, queue.stats.targets.latency
        if age > (target or LATE) and queue.workers and not queue.stats.paused:
            bound = f", its target is {duration(target)}" if target else ""
            yield queue.name, f"its oldest pending task has waited for {duration(age)}{bound}"


def failing(view: FleetView) -> SubjectTexts:
    for queue in view.queues:
        target, failures = queue.stats.targets.failures, queue.failures
        if target and failures is not None and failures > target:
            some = f"{share(failures)} of the last attempts failed"
            yield queue.name, f"{some}, its target is {share(target)}"


def failing_types(view: FleetView) -> Iterator[tuple[str, str]]:
    for queue in view.queues:
        for one in () if queue.failing is None else queue.failing.types:
            recent, day = one.recent.failure_rate or 0.0, one.day.failure_rate or 0.0
            if one.recent.attempts >= FAILING_LEAST and recent > FAILING_FACTOR * day:
                some = f"{share(recent)} of its last attempts of {shown(one.recent.type, 60)}"
                yield queue.name, f"{some} failed, and {share(day)} of those of a day"


def dead_growing(view: FleetView) -> SubjectTexts:
    for queue, recent in _recent(view):
        if recent.deaths:
            yield queue.name, f"{counted(recent.deaths, 'task')} died in the last {_LATELY}"


def new_failure(view: FleetView) -> SubjectTexts:
    for queue, recent in _recent(view):
        if recent.new_kinds:
            newest = max(recent.new_kinds, key=lambda kind: kind.first_seen)
            some = counted(len(recent.new_kinds), "kind")
            was = "was" if len(recent.new_kinds) == 1 else "were"
            what = f"{some} of failure {was} first seen within {_NEW}"
            yield queue.name, f"{what}: {newest.kind}, {_described(newest)}"


def _described(kind: FailureKind) -> str:
    if kind.unreadable is not None:
        return "which cannot be read here"
    what = ": ".join(part for part in (kind.error_type, kind.message) if part)
    return shown(f"{kind.type}: {what}" if what else f"{kind.type}", SHOWN_TEXT_MAX)


def _recent(view: FleetView) -> Iterator[tuple[QueueView, Recent]]:
    for queue in view.queues:
        if queue.recent is not None:
            yield queue, queue.recent


def paused(view: FleetView) -> SubjectTexts:
    for queue in view.queues:
        if queue.stats.paused and queue.stats.pending:
            yield queue.name, f"it is paused with {counted(queue.stats.pending, 'pending task')}"


def dead(view: FleetView) -> SubjectTexts:
    for queue in view.queues:
        if queue.stats.dead:
            yield queue.name, f"it has {counted(queue.stats.dead, 'dead task')}"


def missed_tick(view: FleetView) -> SubjectTexts:
    if view.checked is None:
        return
    overdue: dict[str, list[tuple[dt.datetime, str]]] = {}
    for each in view.checked.overdue or ():
        if each.next_run is not None:
            overdue.setdefault(each.queue, []).append((each.next_run, each.name))
    for queue, some in overdue.items():
        due, name = min(some)
        ago = duration((view.checked.at - due).total_seconds())
        more = f" (and {len(some) - 1} more)" if len(some) > 1 else ""
        yield (
            queue,
            f"the tick of its schedule {shown(name, SHOWN_TEXT_MAX)} was due {ago} ago{more}",
        )


def memory(view: FleetView) -> SubjectTexts:
    servers = None if view.checked is None else view.checked.memory
    for server in servers or ():
        if server.most and server.used > server.most * MEMORY_USED_MAX:
            used = f"{size(server.used)} of {size(server.most)}"
            yield (
                server.server,
                f"{used} of its memory are used ({percent(server.used / server.most)})",
            )


def loop_blocked(view: FleetView) -> SubjectTexts:
    for worker in view.workers:
        lease = (worker.settings or {}).get("lease")
        delay = worker.loop_delay
        if isinstance(lease, int | float) and delay is not None and delay > lease / BLOCKED_PART:
            yield worker.id, f"its event loop was blocked for {duration(delay)}"


def leases_lost(view: FleetView) -> SubjectTexts:
    for worker in view.workers:
        if worker.leases_lost:
            some = counted(worker.leases_lost, "lease")
            yield worker.id, f"it lost {some} in the last {_LATELY}"


def unconfirmed(view: FleetView) -> SubjectTexts:
    for worker in view.workers:
        if worker.unconfirmed:
            some = counted(worker.unconfirmed, "write")
            yield worker.id, f"{some} of it were not confirmed in the last {_LATELY}"


def stuck(view: FleetView) -> SubjectTexts:
    for worker in view.workers:
        if worker.stuck:
            some = counted(len(worker.stuck), "attempt")
            yield (
                worker.id,
                f"{some} ran on after its timeout: {shown(worker.stuck[0], SHOWN_TEXT_MAX)}",
            )
