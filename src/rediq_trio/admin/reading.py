"""QueueReader: reads the tasks of a queue, partition by partition."""

from __future__ import annotations

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Place, place_of
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.for_each import naming_lost
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.partitions import partitions_of
from rediq_trio.tasks.task_info import make_task_info, read_cursor
from rediq_trio.values.bounds import check_number, queue_of
from rediq_trio.values.task import TaskInfo

PLACES_REMEMBERED = 100
"""Ends of pages that a reader remembers."""


class QueueReader:
    """Reads one queue's tasks. Shared by `Queue` and its `DeadLetters`."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name
        self._places: dict[tuple[State, str], Place] = {}

    async def partitions(self) -> tuple[str, ...]:
        return partitions_of(self.name, (await self.partition_count()).count)

    async def partition_count(self) -> PartitionCount:
        return (await self.store.partitions()).get(self.name, PartitionCount())

    async def tasks(
        self, state: State | str, *, limit: int = 100, after: str | TaskInfo | None = None
    ) -> list[TaskInfo]:
        """Read tasks in one state; see `Queue.tasks`."""
        try:
            wanted = State(state)
        except ValueError:
            raise ConfigError.of("state", state, "one of " + ", ".join(State)) from None
        check_number("limit", limit, 1, BATCH, integer=True)
        partitions = await self.partitions()
        begin: str | Place | None = None
        if after is not None:
            partition, begin = self._begin(after, wanted)
            if partition not in partitions:
                raise TaskNotFound(f"{partition}/{begin if isinstance(begin, str) else begin.id}")
            partitions = partitions[partitions.index(partition) :]
        found: list[TaskInfo] = []
        for partition in partitions:
            with naming_lost(partition):
                found += await self._read(partition, wanted, limit - len(found), begin)
            if len(found) == limit:
                break
            begin = None
        if found:
            self._remember(wanted, found[-1])
        return found

    async def _read(
        self, partition: str, state: State, limit: int, after: str | Place | None
    ) -> list[TaskInfo]:
        """Read tasks of one partition, fewer than `limit` only at the end of its list."""
        found: list[TaskInfo] = []
        skipped: tuple[str, ...] = ()
        begin = after
        while True:
            wanted = limit - len(found)
            try:
                ids = await self.store.list(partition, state, limit=wanted, after=begin)
            except TaskNotFound as error:
                if begin is after:
                    after = self._remembered(state, error)
                begin = after
                continue
            # Left out: tasks of a newer version, and those that moved between the two reads.
            records = await self.store.get(partition, ids, skip_newer=True)
            still_there = [r for r in records if r is not None and r.state is state]
            found += [make_task_info(partition, record) for record in still_there]
            if len(ids) < wanted or len(found) == limit or ids == skipped:
                return found
            if still_there:
                begin = after = place_of(still_there[-1])
            else:
                skipped, begin = ids, ids[-1]

    def _remember(self, state: State, last: TaskInfo) -> None:
        """Remember the place of a page's last task, whose id may be the next `after`."""
        self._places[state, last.id] = read_cursor(last.cursor, state)[1]
        if len(self._places) > PLACES_REMEMBERED:
            del self._places[next(iter(self._places))]

    def _remembered(self, state: State, missing: TaskNotFound) -> Place:
        """Return the place where a task stood at the end of a page; raise the error if it did not."""
        place = self._places.get((state, missing.task_id))
        if place is None:
            raise missing
        return place

    def _begin(self, after: str | TaskInfo, state: State) -> tuple[str, str | Place]:
        text = after.cursor if isinstance(after, TaskInfo) else after
        if isinstance(text, str) and "|" in text:
            partition, place = read_cursor(text, state)
            self._check_own(partition, text)
            return partition, place
        return self.split(text)

    def split(self, task_id: str) -> tuple[str, str]:
        partition, local_id = split_id(task_id)
        self._check_own(partition, task_id)
        return partition, local_id

    def _check_own(self, partition: str, given: str) -> None:
        if queue_of(partition) != self.name:
            raise ConfigError.of("after", given, f"a task of the queue {self.name}")
