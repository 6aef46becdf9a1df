"""The declarer: keeps the schedules of the worker's app in the store as the app declares them.

In a fleet of two versions, the last worker to start must not decide which schedules there are. So a
worker that starts removes nothing. A schedule is removed once no live worker has declared it for
`REMOVAL_GRACE`, as their records say. A worker that finds a schedule of its app gone, or changed
by anyone but an operator, logs a warning and declares it again. If live workers declare it
differently, that of the worker that started last holds: the others leave it alone.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import attrs
import trio

from rediq_trio._errors import ConfigError, ConnectionLost, Unconfirmed
from rediq_trio.schedules.declare import AppSchedules, declare, is_removed
from rediq_trio.spec.messages import Agenda, NewTask, Schedule
from rediq_trio.store.port import Store
from rediq_trio.store.retrying import until_answered
from rediq_trio.tasks.task_info import read_worker_infos
from rediq_trio.values.chance import uniform
from rediq_trio.values.task import WorkerInfo
from rediq_trio.worker.availability.outages import Outages

log = logging.getLogger("rediq_trio")

DECLARE_INTERVAL = 30.0
"""Seconds between two looks at the schedules of a queue, for a small fleet and few queues."""
SECONDS_PER_WORKER, SECONDS_PER_QUEUE = 0.5, 1 / 3
"""Seconds between two looks for each live worker whose record was read, and for each served queue."""
REMOVAL_GRACE = 300.0
"""Seconds for which no live worker has declared a schedule, when it is removed."""


@attrs.define(eq=False)
class Declarer:
    """The declarer's state."""

    store: Store
    app_schedules: AppSchedules
    queues: Sequence[str]
    """The queues that the worker serves, which may have schedules of former versions of the app."""
    me: tuple[dt.datetime, str]
    """When this worker started, and its name, as in its record."""
    outages: Outages = attrs.field(factory=Outages)
    _undeclared: dict[tuple[str, str], float] = attrs.field(factory=dict[tuple[str, str], float])
    """Since when no live worker has declared a schedule of this app, on Trio's clock."""
    _changed: dict[tuple[str, str], int] = attrs.field(factory=dict[tuple[str, str], int])
    """Schedules that were found changed, with their revisions."""
    _reported: dict[tuple[str, str], int] = attrs.field(factory=dict[tuple[str, str], int])
    """Schedules that another live worker declares differently, with their revisions."""
    _fleet: int = 1
    """Live workers, when their records were last read."""
    _served_at: float = 0.0
    """When to look at all served queues again, on Trio's clock."""

    async def run(self) -> None:
        """Look at the schedules until cancelled."""
        while True:
            await until_answered(self.look, pause_max=DECLARE_INTERVAL)
            pause = max(DECLARE_INTERVAL, self._fleet * SECONDS_PER_WORKER)
            await trio.sleep(pause * uniform(0.8, 1.0))

    async def look(self) -> None:
        """Compare the schedules in the store with those of the app, and put right what differs."""
        declared = self.app_schedules.schedules
        chosen = dict.fromkeys(declared)
        if trio.current_time() >= self._served_at:
            chosen |= dict.fromkeys(self.queues)
            wait = max(DECLARE_INTERVAL, len(self.queues) * SECONDS_PER_QUEUE)
            self._served_at = trio.current_time() + wait * 0.8
        lost: ConnectionLost | None = None
        for queue in chosen:
            if queue in self.outages.stopped:
                continue
            try:
                await self._look_at(queue, {each.name: each for each in declared.get(queue, ())})
            except ConnectionLost as error:
                lost = error  # the other queues are looked at all the same
            except Exception as error:
                self.outages.stop(queue, error)
        if lost is not None:
            raise lost

    async def _look_at(self, queue: str, mine: Mapping[str, Schedule]) -> None:
        agenda = await self.store.agenda(queue)
        stored = {each.name: each for each in agenda.schedules}
        gone = mine.keys() - stored.keys() - {*agenda.unreadable}
        changed = {
            name: what
            for name in mine.keys() & stored.keys()
            if (what := _difference(mine[name], stored[name]))
        }
        surplus = [
            each.name
            for each in agenda.schedules
            if each.owner == self.app_schedules.owner and not each.keep and each.name not in mine
        ]
        for key in [key for key in self._undeclared if key[0] == queue and key[1] not in surplus]:
            del self._undeclared[key]
        if not gone and not changed and not surplus:
            return
        live = read_worker_infos(await self.store.workers())
        self._fleet = len(live)
        again = [mine[name] for name in sorted(gone)]
        for name in sorted(gone):
            log.warning("schedule %s of queue %s is gone: it is declared again", name, queue)
        for name, what in sorted(changed.items()):
            if not self._is_seen_again(queue, stored[name]):
                continue  # the record of the worker that declared it may come in a moment
            if self._is_left_to_others(queue, stored[name], live):
                continue
            log.warning(
                "schedule %s of queue %s was changed (%s): it is declared again", name, queue, what
            )
            again.append(mine[name])
        await self._declare(queue, again)
        await self._remove(queue, agenda, surplus, live)

    def _is_seen_again(self, queue: str, stored: Schedule) -> bool:
        """Return whether the last look found the same change of a schedule."""
        before = self._changed.get((queue, stored.name))
        self._changed[queue, stored.name] = stored.revision
        return before == stored.revision

    def _is_left_to_others(self, queue: str, stored: Schedule, live: Iterable[WorkerInfo]) -> bool:
        later = [worker for worker in live if (worker.started_at, worker.id) > self.me]
        if not _is_declared(queue, stored.name, later):
            return False
        if self._reported.get((queue, stored.name)) != stored.revision:
            self._reported[queue, stored.name] = stored.revision
            log.warning(
                "schedule %s of queue %s is not as this worker declares it: a live worker that started "
                "later declares it differently", stored.name, queue,
            )  # fmt: skip
        return True

    async def _declare(self, queue: str, schedules: Sequence[Schedule]) -> None:
        if not schedules:
            return
        try:
            with suppress(Unconfirmed):  # a later look finds it gone if it is lost
                await declare(self.store, queue, schedules)
        except ConfigError as error:
            log.warning("schedules of queue %s are not declared again: %s", queue, error)

    async def _remove(
        self, queue: str, agenda: Agenda, surplus: Iterable[str], live: Sequence[WorkerInfo]
    ) -> None:
        """Remove the schedules that no live worker has declared for the grace."""
        now, over = trio.current_time(), set[str]()
        for name in surplus:
            if _is_declared(queue, name, live):
                self._undeclared.pop((queue, name), None)
            elif now - self._undeclared.setdefault((queue, name), now) >= REMOVAL_GRACE:
                over.add(name)
        if not over:
            return
        # By owner, so that one that another app has declared meanwhile stays.
        kept = [each.name for each in agenda.schedules if each.name not in over]
        owner = self.app_schedules.owner
        with suppress(Unconfirmed):  # a later look removes it again if that is lost
            for name in await self.store.retract_others(queue, owner=owner, names=kept):
                log.info(
                    "schedule %s of queue %s is removed: no live worker has declared it for %g s",
                    name, queue, REMOVAL_GRACE,
                )  # fmt: skip


def _difference(mine: Schedule, stored: Schedule) -> str:
    """Return how a stored schedule differs from the declared one; '' if it may stay as it is.

    What an operator did at run time may stay: a removal, or another schedule of that name.
    """
    if is_removed(stored) or not stored.owner:
        return ""
    differs = {
        "its times": (mine.when, mine.overlap_skip) != (stored.when, stored.overlap_skip),
        "its task": _comparable(mine.template) != _comparable(stored.template),
        "its app": mine.owner != stored.owner,
        "whether it is kept": mine.keep != stored.keep,
    }
    return ", ".join(what for what, differ in differs.items() if differ)


def _comparable(template: NewTask) -> NewTask:
    # An encrypted store keeps only a hash of the unique key.
    unique = "unique" if template.relations.unique else ""
    return attrs.evolve(template, relations=attrs.evolve(template.relations, unique=unique))


def _is_declared(queue: str, name: str, workers: Iterable[WorkerInfo]) -> bool:
    """Return whether one of these workers declares a schedule, or may: it does not say what it declares."""
    full = f"{queue}/{name}"
    return any(worker.schedules is None or full in worker.schedules for worker in workers)
