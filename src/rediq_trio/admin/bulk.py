"""BulkRun: the same change of all tasks of a selection, step by step.

Each step reads some tasks, and changes those that are chosen. The store changes a task only if it is
still in the state in which it was selected, and entered that by the instant of the selection: a task
that has ended since, or died again, is left alone, whatever was read of it before.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import attrs
import trio

from rediq_trio._errors import NewerTask
from rediq_trio.admin.filters import TaskFilter
from rediq_trio.admin.reading import QueueReader
from rediq_trio.admin.scanning import QueueScan
from rediq_trio.admin.search import Throttle
from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.messages import Death, Deleted, InState
from rediq_trio.spec.records import Record
from rediq_trio.store.port import Store
from rediq_trio.store.reads.scan import SCAN_STEP
from rediq_trio.store.relay import relay
from rediq_trio.tasks.changes.moving import move_record
from rediq_trio.tasks.for_each import first_failure, try_each
from rediq_trio.tasks.partitions import PartitionCounts
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.values.observed.bulk import BulkProgress

BULK_SHARE = 0.5
"""The part of Redis's time that reading may take, at most, while many tasks are changed."""

READ_SECONDS = 0.2
"""Seconds after which those that were found are changed, however few they are."""

ReadPart = tuple[str, Sequence[Record]]
"""Some tasks of one partition."""
Apply = Callable[[str, Sequence[Record], InState], Awaitable[list[bool]]]
"""Changes some tasks of a partition; returns for each whether it was changed."""


@attrs.frozen
class Selected:
    """The tasks in one state that a filter chooses, as they were at one instant."""

    reader: QueueReader
    state: State
    wanted: TaskFilter
    instants: dict[str, int]
    """The instant in ms by the clock of each partition's server."""
    of: int
    """How many tasks were in the state."""


class SelectedScan:
    """Reads the tasks of a selection, partition by partition, the oldest first."""

    def __init__(self, selected: Selected, share: float = BULK_SHARE) -> None:
        self._selected = selected
        self._left = deque(selected.instants)
        self._scan: QueueScan | None = None
        self._throttle = Throttle(share)
        self.looked_at = 0

    @property
    def at_end(self) -> bool:
        """Whether the partition that was last read is read to its end."""
        return self._scan is not None and self._scan.over

    async def step(self) -> ReadPart | None:
        """Look at the next tasks, and return those that are chosen; None at the end."""
        if self._scan is None or self._scan.over:
            if not self._left:
                return None
            self._scan = self._begun(self._left.popleft())
        await self._throttle.wait()
        began = trio.current_time()
        scanned, found = await self._scan.step(self._throttle.step)
        self._throttle.note(began, trio.current_time(), scanned)
        self.looked_at += scanned.looked_at
        name, wanted = self._scan.last_partition, self._selected.wanted
        return name, [
            record for _, record in found
            # Of a batch, the store did not test the type.
            if not (wanted.reads_payloads or isinstance(record.envelope, BatchEnvelope))
            or wanted.chooses(make_task_info(name, record))
        ]  # fmt: skip

    def _begun(self, name: str) -> QueueScan:
        one = self._selected
        at = one.instants[name]
        where = one.wanted.where(at, entered_by_ms=at)
        return QueueScan(one.reader.store, one.state, (name,), newest=False, where=where)


class BulkRun:
    """An async iterator of progress that makes one change of all tasks of a selection.

    Nothing happens but during a step, so it may be left at any point.
    """

    # Not a generator, which would need closing when left early.

    def __init__(
        self, selected: Selected, apply: Apply, *, rate: float | None = None, again: bool = False
    ) -> None:
        self._selected = selected
        self._apply = apply
        self._rate = rate or math.inf
        self._again = again
        """Whether what was refused is tried again: it may depend on what was changed later."""
        self._scan = SelectedScan(selected)
        self._parts: deque[ReadPart] = deque()
        self._read_before: list[Record] = []
        """What was read of the partition, and is not in a part yet."""
        self._refused: list[ReadPart] = []
        self._done_before = 0
        self._not_before = 0.0
        self._done = 0

    def __aiter__(self) -> BulkRun:
        return self

    async def __anext__(self) -> BulkProgress:
        if not self._parts and not await self._look():
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        if self._parts:
            await self._change(self._parts[0])
            self._parts.popleft()
        return BulkProgress(
            done=self._done,
            refused=sum(len(records) for _, records in self._refused),
            looked_at=self._scan.looked_at,
            of=self._selected.of,
        )

    async def _look(self) -> bool:
        """Find what is changed next, maybe nothing; return False at the end."""
        part = await self._read()
        if part is not None:
            self._parts.extend(self._sized(part))
            return True
        if self._again and self._refused and self._done > self._done_before:
            self._done_before = self._done
            self._parts.extend(self._refused)
            self._refused = []
            return True
        return False

    async def _read(self) -> ReadPart | None:
        """Read enough tasks of one partition for one change, or as many as can be read soon."""
        until = trio.current_time() + READ_SECONDS
        while (part := await self._scan.step()) is not None:
            name, records = part
            self._read_before += records
            if (
                len(self._read_before) >= SCAN_STEP
                or self._scan.at_end
                or trio.current_time() > until
            ):
                taken, self._read_before = self._read_before, []
                return name, taken
        return None

    def _sized(self, part: ReadPart) -> list[ReadPart]:
        """Return parts that take no longer than a second each at the rate."""
        name, records = part
        most = max(1, math.floor(min(self._rate, max(1, len(records)))))
        return [(name, records[n : n + most]) for n in range(0, len(records), most)]

    async def _change(self, part: ReadPart) -> None:
        await trio.sleep_until(max(self._not_before, trio.current_time()))
        began = trio.current_time()
        name, records = part
        still = InState(self._selected.state, self._selected.instants[name])
        changed = await self._apply(name, records, still)
        # Noted without a checkpoint in between: whoever is cancelled counts a part whole, or not.
        self._not_before = began + len(records) / self._rate
        self._done += sum(changed)
        left = [one for one, good in zip(records, changed, strict=True) if not good]
        if left:
            self._refused.append((name, left))


def reviving(store: Store) -> Apply:
    """Return what makes tasks ready again."""

    async def apply(name: str, records: Sequence[Record], still: InState) -> list[bool]:
        states = await _in_one_call(store.revive, name, records, still)
        await relay(store, name)
        return [state in (State.PENDING, State.BLOCKED, State.GROUPED) for state in states]

    return apply


def deleting(store: Store) -> Apply:
    """Return what removes tasks."""

    async def apply(name: str, records: Sequence[Record], still: InState) -> list[bool]:
        states = await _in_one_call(store.delete, name, records, still)
        await relay(store, name, states.deaths if isinstance(states, Deleted) else ())
        return [state not in (None, State.ACTIVE) for state in states]

    return apply


async def _in_one_call(
    change: Callable[..., Awaitable[Sequence[State | None]]],
    name: str,
    records: Sequence[Record],
    still: InState,
) -> Sequence[State | None]:
    try:
        return await change(name, [record.id for record in records], still=still)
    except NewerTask:
        return [None] * len(records)  # it is the only one of these, and it stays


def cancelling(store: Store) -> Apply:
    """Return what cancels tasks, or asks their workers to."""

    async def apply(name: str, records: Sequence[Record], still: InState) -> list[bool]:
        deaths: list[Death] = []

        async def cancel(task_id: str) -> bool:
            answer = await store.cancel(name, task_id, still=still)
            deaths.extend(answer.deaths)
            return answer.state is (State.CANCELLED if still.state in WAITING else State.ACTIVE)

        done = await _one_by_one(records, cancel)
        await relay(store, name, deaths)
        return done

    return apply


def moving(store: Store, queue: str) -> Apply:
    """Return what moves tasks to another queue."""
    counts = PartitionCounts(store)

    async def apply(name: str, records: Sequence[Record], still: InState) -> list[bool]:
        await counts.refresh_if_old()
        by_id = {record.id: record for record in records}

        async def move(task_id: str) -> bool:
            answer = await move_record(store, name, by_id[task_id], counts, queue, still=still)
            return answer is not None and answer[0].state is not None and answer[0].obstacle is None

        done = await _one_by_one(records, move)
        await relay(store, name)
        return done

    return apply


async def _one_by_one(
    records: Sequence[Record], change: Callable[[str], Awaitable[bool]]
) -> list[bool]:
    ids = [record.id for record in records]
    answers, failures = await try_each(ids, change)
    failed = {name: error for name, error in failures.items() if not isinstance(error, NewerTask)}
    if failed:
        raise first_failure(ids, failed)
    return [answers.get(task_id, False) for task_id in ids]
