"""QueueReader: the tasks of a queue, wherever they lie: partition by partition."""

from __future__ import annotations

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.partitioning import PartitionCount
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.partitions import places_of
from rediq_trio.tasks.task_info import describe
from rediq_trio.values.bounds import check_number, queue_of
from rediq_trio.values.task import TaskInfo


class QueueReader:
    """Reads one queue's tasks. Shared by `Queue` and its `DeadLetters`."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name

    async def places(self) -> tuple[str, ...]:
        return places_of(self.name, (await self.partition_count()).count)

    async def partition_count(self) -> PartitionCount:
        return (await self.store.partitions()).get(self.name, PartitionCount())

    async def tasks(
        self, state: State | str, *, limit: int = 100, after: str | None = None
    ) -> list[TaskInfo]:
        """Read tasks in one state, as `Queue.tasks` says."""
        try:
            wanted = State(state)
        except ValueError:
            raise ConfigError.of("state", state, "one of " + ", ".join(State)) from None
        check_number("limit", limit, 1, BATCH, whole=True)
        places = await self.places()
        behind = None
        if after is not None:
            place, behind = self.split(after)
            if place not in places:
                raise TaskNotFound(after)
            places = places[places.index(place) :]
        found: list[TaskInfo] = []
        for place in places:
            if len(found) < limit:
                found += await self._some(place, wanted, limit - len(found), behind)
            behind = None
        return found

    async def _some(
        self, place: str, state: State, limit: int, after: str | None
    ) -> list[TaskInfo]:
        ids = await self.store.list(place, state, limit=limit, after=after)
        # One of a newer version is not shown, and one may have moved on between the two reads.
        records = await self.store.get(place, ids, skip_newer=True)
        return [
            describe(place, record)
            for record in records
            if record is not None and record.state is state
        ]

    def split(self, task_id: str) -> tuple[str, str]:
        place, own = split_id(task_id)
        if queue_of(place) != self.name:
            raise ConfigError.of("after", task_id, f"a task of the queue {self.name}")
        return place, own
