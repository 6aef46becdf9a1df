"""Queue and DeadLetters: what an operator does to a queue as a whole."""

from __future__ import annotations

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.describe import describe, describe_stats
from rediq_trio.ids import split_id
from rediq_trio.spec.invariants import Violation, queue_violations, task_violations
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.limits import check_number
from rediq_trio.spec.values import QueueStats, TaskInfo
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.relay import relay

_REVIVED = (State.PENDING, State.BLOCKED, State.GROUPED)


class Queue:
    """One queue, by its name. Made by `Client.queue`."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        self.dead = DeadLetters(self)
        """Its dead tasks."""

    def __repr__(self) -> str:
        return f"<Queue {self.name!r}>"

    async def stats(self) -> QueueStats:
        """Count its tasks by state and read its totals, as one consistent picture."""
        return describe_stats(await self._store.stats(self.name))

    async def tasks(
        self, state: State | str, *, limit: int = 100, after: str | None = None
    ) -> list[TaskInfo]:
        """Read its tasks in one state, those behind task `after`, newest last.

        Pending ones come in the order in which they will be claimed. Give the
        last task's id as `after` for the next page. `limit`: 1 to 1,000. Raises
        `TaskNotFound` when `after` has left that state, and `ConfigError`.
        """
        try:
            wanted = State(state)
        except ValueError:
            raise ConfigError.of("state", state, "one of " + ", ".join(State)) from None
        check_number("limit", limit, 1, BATCH, whole=True)
        ids = await self._store.list(
            self.name, wanted, limit=limit, after=None if after is None else self._own(after)
        )
        records = await self._store.get(self.name, ids)
        # A task may have moved on between the two reads.
        return [
            describe(self.name, record)
            for record in records
            if record is not None and record.state is wanted
        ]

    def _own(self, task_id: str) -> str:
        queue, own = split_id(task_id)
        if queue != self.name:
            raise ConfigError.of("after", task_id, f"a task of the queue {self.name}")
        return own

    async def pause(self) -> None:
        """Let no task be claimed from now on; running ones go on. Holds until `resume`."""
        await self._store.pause(self.name)

    async def resume(self) -> None:
        """Let tasks be claimed again."""
        await self._store.resume(self.name)

    async def flush(self) -> int:
        """Remove every task in one step and give how many there were.

        Running ones too: their handlers are cancelled with reason `lease lost`,
        and their outcomes refused.
        """
        removed = await self._store.flush(self.name)
        await relay(self._store, self.name)
        return removed

    async def check(self) -> list[Violation]:
        """Check every invariant that can be seen in the queue as it is; give those violated.

        Read-only, in bounded batches, and sound on a live queue: each task is
        looked at as one consistent picture.
        """
        found = list(queue_violations(await self._store.listing(self.name)))
        cursor = 0
        seen: set[str] = set()
        while True:
            cursor, ids = await self._store.listed(self.name, cursor)
            new = [task_id for task_id in ids if task_id not in seen]
            seen.update(new)
            for picture in await self._store.pictures(self.name, new):
                found += task_violations(picture)
            if cursor == 0:
                return found


class DeadLetters:
    """The dead tasks of a queue: `Queue.dead`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    @property
    def _store(self) -> Store:
        return self._queue._store

    async def list(self, *, limit: int = 100, after: str | None = None) -> list[TaskInfo]:
        """Read dead tasks, newest last; pages as `Queue.tasks` does."""
        return await self._queue.tasks(State.DEAD, limit=limit, after=after)

    async def retry(self, task_id: str) -> bool:
        """Make a dead task ready again, its counters new; False when it is not dead, or stays so.

        It stays dead while another holds its unique key, or a task of its queue that it
        needs has failed: retry that one first. One that waited for others waits again.
        Raises `TaskNotFound` when there is no such task.
        """
        (record,) = await self._store.get(self._queue.name, (self._queue._own(task_id),))
        if record is None:
            raise TaskNotFound(task_id)
        if record.state is not State.DEAD:
            return False
        (state,) = await self._store.revive(self._queue.name, (record.id,))
        await relay(self._store, self._queue.name)
        return state in _REVIVED

    async def retry_all(self) -> int:
        """Make the tasks that are dead now ready again, in batches; give how many.

        As with `retry`, some may stay dead.
        """
        return await self._each_batch(revive=True)

    async def purge(self) -> int:
        """Delete the tasks that are dead now, in batches; give how many."""
        return await self._each_batch(revive=False)

    async def _each_batch(self, *, revive: bool) -> int:
        # By their ids: revived tasks may die again meanwhile.
        left, done, name = await self._ids(), 0, self._queue.name
        while left:
            before = done
            stuck: tuple[str, ...] = ()
            for first in range(0, len(left), BATCH):
                part = left[first : first + BATCH]
                if not revive:
                    done += (await self._store.delete(name, part)).count(State.DEAD)
                    continue
                states = await self._store.revive(name, part)
                done += sum(state in _REVIVED for state in states)
                stuck += tuple(i for i, s in zip(part, states, strict=True) if s is State.DEAD)
            await relay(self._store, name)
            # A task stays dead while one that it needs is, and that may have come behind it.
            left = stuck if done > before else ()
        return done

    async def _ids(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        after = None
        while True:
            try:
                ids = await self._store.list(
                    self._queue.name, State.DEAD, limit=BATCH, after=after
                )
            except TaskNotFound:
                after = None  # it was revived meanwhile: once more from the start
                continue
            found |= dict.fromkeys(ids)
            if len(ids) < BATCH:
                return tuple(found)
            after = ids[-1]
