"""QueueReader: reads the tasks of a queue, partition by partition."""

from __future__ import annotations

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.spec.check.partitions import PartitionCount
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.ids import split_id
from rediq_trio.tasks.partitions import partitions_of
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.values.bounds import check_number, queue_of
from rediq_trio.values.task import TaskInfo


class QueueReader:
    """Reads one queue's tasks. Shared by `Queue` and its `DeadLetters`."""

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.name = name

    async def partitions(self) -> tuple[str, ...]:
        return partitions_of(self.name, (await self.partition_count()).count)

    async def partition_count(self) -> PartitionCount:
        return (await self.store.partitions()).get(self.name, PartitionCount())

    async def tasks(
        self, state: State | str, *, limit: int = 100, after: str | None = None
    ) -> list[TaskInfo]:
        """Read tasks in one state; see `Queue.tasks`."""
        try:
            wanted = State(state)
        except ValueError:
            raise ConfigError.of("state", state, "one of " + ", ".join(State)) from None
        check_number("limit", limit, 1, BATCH, integer=True)
        partitions = await self.partitions()
        after_id = None
        if after is not None:
            partition, after_id = self.split(after)
            if partition not in partitions:
                raise TaskNotFound(after)
            partitions = partitions[partitions.index(partition) :]
        found: list[TaskInfo] = []
        for partition in partitions:
            if len(found) < limit:
                found += await self._tasks_of(partition, wanted, limit - len(found), after_id)
            after_id = None
        return found

    async def _tasks_of(
        self, partition: str, state: State, limit: int, after: str | None
    ) -> list[TaskInfo]:
        ids = await self.store.list(partition, state, limit=limit, after=after)
        # Tasks of a newer version are skipped, and so are tasks that moved between the two reads.
        records = await self.store.get(partition, ids, skip_newer=True)
        return [
            make_task_info(partition, record)
            for record in records
            if record is not None and record.state is state
        ]

    def split(self, task_id: str) -> tuple[str, str]:
        partition, local_id = split_id(task_id)
        if queue_of(partition) != self.name:
            raise ConfigError.of("after", task_id, f"a task of the queue {self.name}")
        return partition, local_id
