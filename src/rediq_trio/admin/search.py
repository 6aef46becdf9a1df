"""TaskSearch: the tasks that a filter chooses, found step by step.

A step looks at 250 tasks at most, and at fewer where so many would take Redis a millisecond. Before
the next one it waits until the last has taken less than a tenth of the time that has passed, so that
a search through a million tasks, and several at once, leave Redis to the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import trio

from rediq_trio.admin.filters import TaskFilter
from rediq_trio.admin.reading import QueueReader
from rediq_trio.admin.scanning import QueueScan
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.reads.scan import SCAN_STEP, Scanned
from rediq_trio.tasks.for_each import naming_lost
from rediq_trio.tasks.task_info import make_task_info, pack_cursor
from rediq_trio.values.task import TaskInfo

STEP_SECONDS = 0.001
"""Seconds of Redis that one step may take; the next one is smaller after one that took more."""
SHARE = 0.1
"""The part of Redis's time that a search takes, at most."""
UNREPORTED_SECONDS, UNREPORTED_PART = 0.0002, 0.5
"""What a step may take beyond the CPU time that it reports: Redis also reads the call, writes the reply,
and may not have a core of its own."""
FIRST_STEP = 50
"""Tasks of the first step, when it is not known what one costs."""
LEAST_STEP = 5


class Throttle:
    """How many tasks the next step looks at, and when it begins."""

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self.not_before = 0.0
        """When the next step may begin, on Trio's clock."""
        self.step = FIRST_STEP

    async def wait(self) -> None:
        """Wait until the last step has taken no more than its share of the time since it began."""
        await trio.sleep_until(max(self.not_before, trio.current_time()))

    def note(self, began: float, ended: float, scanned: Scanned) -> None:
        """Take note of what a step cost. It did not take Redis longer than it took here."""
        busy = 0.0
        if scanned.cost:
            most = scanned.cost * (1 + UNREPORTED_PART) + UNREPORTED_SECONDS
            busy = min(ended - began, most)
        self.not_before = began + busy / self._share
        fitting = SCAN_STEP
        if 0 < scanned.looked_at * STEP_SECONDS < SCAN_STEP * scanned.cost:
            fitting = int(scanned.looked_at * STEP_SECONDS / scanned.cost)
        # What one step found says little about the next: it may find many more.
        self.step = max(LEAST_STEP, min(fitting, 2 * self.step, SCAN_STEP))


class TaskSearch:
    """An async iterator of the tasks that `Queue.find` finds.

    It may be left at any point and needs no closing: nothing runs between two steps. When a step is
    cancelled, the search can go on.
    """

    # Not a generator, which would need closing when left early.

    def __init__(
        self,
        reader: QueueReader,
        state: State,
        wanted: TaskFilter,
        *,
        newest: bool,
        after: str | TaskInfo | None = None,
    ) -> None:
        self._reader = reader
        self._after = after
        self._state = state
        self._filter = wanted
        self._newest = newest
        self._throttle = Throttle()
        self._scan: QueueScan | None = None
        self._sizes: dict[str, int] = {}
        self._found: deque[TaskInfo] = deque()
        self._unreadable = 0

    @property
    def unreadable(self) -> int:
        """How many of them this process cannot read, of those where that matters."""
        return self._unreadable + (self._scan.unreadable if self._scan else 0)

    @property
    def cursor(self) -> str | None:
        """The place up to which it has looked, for `after` of another search; None at the end, before the
        first step, and with `newest` until it has looked into each partition."""
        if self._found or self._scan is None or (place := self._scan.place) is None:
            return None
        return pack_cursor(place[0], self._state, place[1])

    @property
    def looked_at(self) -> int:
        """How many tasks it has looked at."""
        return self._scan.looked_at if self._scan else 0

    @property
    def of(self) -> int | None:
        """How many tasks are in the state, as it was last seen; None before the first step."""
        return sum(self._sizes.values()) if self._sizes else None

    def __aiter__(self) -> TaskSearch:
        return self

    async def __anext__(self) -> TaskInfo:
        while not self._found:
            if not await self._step():
                raise StopAsyncIteration
        await trio.lowlevel.checkpoint_if_cancelled()
        return self._found.popleft()

    async def aclose(self) -> None:
        """End the search: whatever comes next is its end. It need not be called."""
        await trio.lowlevel.checkpoint()
        self._found.clear()
        self._unreadable = self.unreadable
        self._scan = QueueScan(self._reader.store, self._state, (), newest=self._newest)

    async def look(self) -> list[TaskInfo] | None:
        """Look at the next tasks, at most 250; return those that are chosen, maybe none, and None at the end."""
        if not self._found and not await self._step():
            return None
        taken = [*self._found]
        self._found.clear()
        return taken

    async def take(self) -> list[TaskInfo]:
        """Return what the next step that finds anything finds; nothing at the end."""
        while not self._found and await self._step():
            pass
        taken = [*self._found]
        self._found.clear()
        return taken

    async def _step(self) -> bool:
        """Look at the next tasks; return False if there are none."""
        scan = self._scan or await self._begin()
        if scan.over:
            await trio.lowlevel.checkpoint()
            return False
        await self._throttle.wait()
        began = trio.current_time()
        scanned, found = await scan.step(self._throttle.step)
        self._throttle.note(began, trio.current_time(), scanned)
        self._sizes[scan.last_partition] = scanned.size
        for partition, record in found:
            info = make_task_info(partition, record)
            if self._filter.reads_payloads and info.payload_missing is not None:
                self._unreadable += 1
            if self._filter.chooses(info):
                self._found.append(info)
        return True

    async def _begin(self) -> QueueScan:
        partitions = await self._reader.partitions()
        # Their sizes are known from the start: some are looked at much later.
        begun = await read_begun(self._reader, self._state, partitions)
        self._sizes = {name: one.size for name, one in zip(partitions, begun, strict=True)}
        where, after = self._filter.where(begun[0].now_ms), None
        if self._after is not None:
            partition, after = await self._reader.begin(self._after, self._state, partitions)
            if not self._newest:
                partitions = partitions[partitions.index(partition) :]
        self._scan = QueueScan(
            self._reader.store, self._state, partitions, newest=self._newest, after=after,
            where=where,
        )  # fmt: skip
        return self._scan


async def read_begun(reader: QueueReader, state: State, partitions: Sequence[str]) -> list[Scanned]:
    """Read of each partition the store's time, and how many tasks are in a state."""
    found: list[Scanned] = []
    for name in partitions:
        with naming_lost(name):
            found.append(await reader.store.scan(name, state, limit=0))
    return found
