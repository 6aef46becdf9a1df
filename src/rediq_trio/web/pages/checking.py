"""Checks of queues that go on when their page is closed: one at a time, and the last one of each queue.

A check reads a whole queue in small steps. Several at once would take no less of Redis in all, and
more at each instant.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import deque
from collections.abc import Iterable

import attrs
import trio

from rediq_trio._errors import RediqError
from rediq_trio.client import Client
from rediq_trio.spec.check.findings import Repair, Violation, left_over
from rediq_trio.values.chance import utc_now
from rediq_trio.web.site.page import Shared

log = logging.getLogger("rediq_trio.web")

CHECKS_WAITING = 1_000
"""Queues that wait for their check, at most."""


@attrs.define(eq=False)
class Check:
    """One check of a queue. Owned by `Checks`, which runs it."""

    queue: str
    by: str
    """Who asked for it."""
    client: Client = attrs.field(repr=False)
    """Acts for that person."""
    repairs: bool = False
    """Whether the queue is repaired first, by what the check before it found."""
    before: tuple[Violation, ...] = attrs.field(default=(), repr=False)
    begun_at: dt.datetime | None = None
    """None while it waits for the ones before it."""
    ended_at: dt.datetime | None = None
    looked: int = 0
    of: int = 0
    violations: tuple[Violation, ...] = attrs.field(default=(), repr=False)
    plan: tuple[Repair, ...] = attrs.field(default=(), repr=False)
    made: tuple[Repair, ...] = attrs.field(default=(), repr=False)
    """The repairs that changed something."""
    error: str = ""
    """Why it ended early."""
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope, repr=False)

    @property
    def took(self) -> float:
        """Seconds that it took."""
        if self.begun_at is None or self.ended_at is None:
            return 0.0
        return (self.ended_at - self.begun_at).total_seconds()

    @property
    def sound(self) -> bool:
        """Whether it ended, and found that every invariant holds."""
        return self.ended_at is not None and not self.error and not self.violations

    @property
    def left(self) -> list[Violation]:
        """The violations for which there is no repair."""
        return left_over(self.violations, self.plan)

    async def run(self) -> None:
        """Repair if that is wanted, check, and plan what can be repaired."""
        self.begun_at = utc_now()
        queue = self.client.queue(self.queue)
        if self.repairs:
            self.made = tuple(await queue.repair(await queue.repair_plan(self.before)))
        found = await queue.check(progress=self._note)
        self.plan = tuple(await queue.repair_plan(found))
        self.violations = tuple(found)

    def _note(self, looked: int, of: int) -> None:
        self.looked, self.of = min(looked, of), of


class Checks:
    """The checks of a site: the one that runs, those that wait, and the last one of each queue."""

    def __init__(self, shared: Shared) -> None:
        self._nursery = shared.nursery
        self._line: deque[Check] = deque()
        self._busy = False
        self.under_way: dict[str, Check] = {}
        """Those that run or wait, by queue."""
        self.last: dict[str, Check] = {}
        """Those that ended, by queue."""

    def start(self, queues: Iterable[str], by: str, client: Client, *, repairs: bool = False) -> int:
        """Check queues, one after another; return how many were not under way already."""
        started = 0
        for name in queues:
            if name in self.under_way or len(self._line) >= CHECKS_WAITING:
                continue
            before = self.last[name].violations if repairs and name in self.last else ()
            one = Check(queue=name, by=by, client=client, repairs=repairs, before=before)
            self.under_way[name] = one
            self._line.append(one)
            started += 1
        if started and not self._busy:
            self._busy = True
            self._nursery.start_soon(self._run)
        return started

    def stop(self, queue: str) -> bool:
        """Stop a check; return whether it was under way."""
        one = self.under_way.get(queue)
        if one is not None:
            one.scope.cancel()
        return one is not None

    async def _run(self) -> None:
        try:
            while self._line:
                await self._check(self._line.popleft())
        finally:
            self._busy = False

    async def _check(self, one: Check) -> None:
        try:
            with one.scope:
                await one.run()
        except RediqError as error:
            one.error = " ".join(str(error).split())
        except Exception:
            log.exception("the check of queue %s failed", one.queue)
            one.error = "it failed, for a reason that is in the log of this page"
        finally:
            del self.under_way[one.queue]
            one.ended_at = utc_now()
            if one.scope.cancelled_caught:
                one.error = "it was stopped"
            self.last[one.queue] = one


def checks_of(shared: Shared) -> Checks:
    """Return the checks of a site."""
    found = shared.owned.get("checks")
    if not isinstance(found, Checks):
        found = shared.owned["checks"] = Checks(shared)
    return found
