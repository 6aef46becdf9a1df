"""QueueScan: the tasks in one state of all partitions of a queue, in one order.

Oldest first, one partition comes after the other, as `Queue.tasks` has always listed them. Newest
first, they are merged: a task is returned once no partition can have a newer one. Therefore the
partition whose scan is least far along is read next.
"""

from __future__ import annotations

from collections.abc import Sequence

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Place, Record, place_of
from rediq_trio.store.port import Store
from rediq_trio.store.reads.scan import ALL, SCAN_STEP, Scanned, Where
from rediq_trio.tasks.for_each import naming_lost
from rediq_trio.wire.encrypted_error import why_hidden

Found = tuple[str, Record]
"""A task, with its partition."""


class QueueScan:
    """A scan of all partitions, step by step. A step that is cancelled may be made again."""

    def __init__(
        self,
        store: Store,
        state: State,
        partitions: Sequence[str],
        *,
        newest: bool,
        after: Place | None = None,
        where: Where = ALL,
    ) -> None:
        self._store = store
        self._state = state
        self._newest = newest
        self._where = where
        # Oldest first, the place is one of the first partition.
        self._left = {
            name: after if newest or n == 0 else None for n, name in enumerate(partitions)
        }
        self._waiting: list[Found] = []
        self.looked_at = 0
        self.unreadable = 0
        """How many tasks were left out because this process cannot read their error."""
        self._last: tuple[str, Place] | None = None
        self.last_partition = ""
        """The partition that the last step looked at."""

    @property
    def over(self) -> bool:
        """Whether everything was returned."""
        return not self._left and not self._waiting

    @property
    def place(self) -> tuple[str, Place] | None:
        """The partition and the place up to which everything was returned; None at the end, and before
        that is known."""
        if not self._left:
            return None
        name = self._next_partition()
        place = self._left[name]
        if place is None:
            return None if self._newest else self._last
        return name, place

    async def step(self, limit: int = SCAN_STEP) -> tuple[Scanned, list[Found]]:
        """Look at up to `limit` tasks; return what was read, and the tasks that are next in order."""
        name = self._next_partition()
        with naming_lost(name):
            scanned = await self._store.scan(
                name, self._state, limit=limit, after=self._left[name], newest=self._newest,
                where=self._where,
            )  # fmt: skip
        self.looked_at += scanned.looked_at
        self.last_partition = name
        if scanned.last is not None:
            self._last = name, scanned.last
        if scanned.over:
            del self._left[name]
        else:
            self._left[name] = scanned.last
        self._waiting += [(name, one) for one in scanned.records if self._has_error(one)]
        return scanned, self._ready()

    def _has_error(self, record: Record) -> bool:
        """Return whether the error of a task holds what is looked for: no store tests encrypted ones."""
        part = self._where.error
        if not part:
            return True
        if why_hidden(record.error) is not None:
            self.unreadable += 1
            return False
        return part in record.error

    def _next_partition(self) -> str:
        if not self._newest:
            return next(iter(self._left))
        unread = (name for name, place in self._left.items() if place is None)
        return next(unread, None) or max(self._left, key=self._order_of)

    def _order_of(self, name: str) -> tuple[bytes, int, bytes]:
        place = self._left[name]
        assert place is not None
        return place.order

    def _ready(self) -> list[Found]:
        if not self._newest or not self._left:
            bound = None
        elif None in self._left.values():
            return []
        else:
            bound = max(map(self._order_of, self._left))
        if self._newest:
            self._waiting.sort(key=_order, reverse=True)
        ready = [found for found in self._waiting if bound is None or _order(found) >= bound]
        self._waiting = self._waiting[len(ready) :]
        return ready


def _order(found: Found) -> tuple[bytes, int, bytes]:
    return place_of(found[1]).order
