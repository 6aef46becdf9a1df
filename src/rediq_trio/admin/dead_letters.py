"""DeadLetters: the dead tasks of a queue, to read, retry or delete."""

from __future__ import annotations

from functools import partial

from rediq_trio._errors import NewerTask, TaskNotFound
from rediq_trio.admin.failure_kinds import check_kind
from rediq_trio.admin.reading import QueueReader
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import InState
from rediq_trio.store.audit.audited import audited
from rediq_trio.store.port import BATCH
from rediq_trio.store.reads.scan import ALL, Where
from rediq_trio.store.relay import relay
from rediq_trio.tasks.for_each import call_each
from rediq_trio.values.task import TaskInfo

_REVIVED = (State.PENDING, State.BLOCKED, State.GROUPED)


class DeadLetters:
    """The dead tasks of a queue: `Queue.dead`."""

    def __init__(self, reader: QueueReader) -> None:
        self._reader = reader
        self._store = reader.store

    async def list(
        self,
        *,
        limit: int = 100,
        after: str | TaskInfo | None = None,
        newest: bool = False,
        kind: str | None = None,
    ) -> list[TaskInfo]:
        """Read dead tasks in pages like `Queue.tasks`, the newest last, or first with `newest`.

        With `kind`, only those whose last attempt failed so: see `Queue.failures`. To find them
        reads the dead tasks in between, 250 in each call. Raises `ConfigError`, also for
        a kind that the queue does not know, or has forgotten.
        """
        where = ALL
        if kind is not None:
            partitions = await self._reader.partitions()
            known = await check_kind(self._store, self._reader.name, partitions, kind)
            where = Where(kind=known)
        return await self._reader.tasks(
            State.DEAD, limit=limit, after=after, newest=newest, where=where
        )

    @audited("queue", "_reader.name")
    async def retry(self, task_id: str) -> bool:
        """Make a dead task ready again, with new counters; return False if nothing changed.

        A task stays dead while another holds its unique key, or after a dependency in its
        queue has failed: retry that one first. A task that waited for others waits again.
        Raises `TaskNotFound` if there is no such task.
        """
        partition, local_id = self._reader.split(task_id)
        (record,) = await self._store.get(partition, (local_id,))
        if record is None:
            raise TaskNotFound(task_id)
        if record.state is not State.DEAD:
            return False
        (state,) = await self._store.revive(partition, (record.id,))
        await relay(self._store, partition)
        return state in _REVIVED

    @audited("queue", "_reader.name")
    async def retry_all(self) -> int:
        """Make the tasks that are dead now ready again, in batches; return how many.

        As with `retry`, some may stay dead.
        """
        return await self._change_all(revive=True)

    @audited("queue", "_reader.name")
    async def purge(self) -> int:
        """Delete the tasks that are dead now, in batches; return how many."""
        return await self._change_all(revive=False)

    async def _change_all(self, *, revive: bool) -> int:
        change = partial(self._change_partition, revive)
        return sum(await call_each(await self._reader.partitions(), change))

    async def _change_partition(self, revive: bool, name: str) -> int:
        change = self._store.revive if revive else self._store.delete
        good = _REVIVED if revive else (State.DEAD,)
        # Tasks may be revived and die again meanwhile: those are not meant.
        begun = await self._store.scan(name, State.DEAD, limit=0)
        still = InState(State.DEAD, begun.now_ms)
        left, done = await self._ids(name), 0
        while left:
            before = done
            stuck: tuple[str, ...] = ()
            for first in range(0, len(left), BATCH):
                part = left[first : first + BATCH]
                try:
                    states = await change(name, part, still=still)
                except NewerTask:
                    continue  # it is the only one of these, and it stays
                done += sum(state in good for state in states)
                stuck += tuple(i for i, s in zip(part, states, strict=True) if s is State.DEAD)
            await relay(self._store, name)
            # A task stays dead while a dependency is dead, which may come later in the list.
            left = stuck if revive and done > before else ()
        return done

    async def _ids(self, name: str) -> tuple[str, ...]:
        found: dict[str, None] = {}
        after = None
        while True:
            try:
                ids = await self._store.list(name, State.DEAD, limit=BATCH, after=after)
            except TaskNotFound:
                after = None  # it was revived meanwhile: start again
                continue
            found |= dict.fromkeys(ids)
            if len(ids) < BATCH:
                return tuple(found)
            after = ids[-1]
