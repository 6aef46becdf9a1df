"""Writing the tasks of a selection to a file, and enqueueing the tasks of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import trio

from rediq_trio._errors import ConfigError, QueueFull
from rediq_trio.admin.bulk import Selected, SelectedScan
from rediq_trio.admin.reading import QueueReader
from rediq_trio.admin.task_file import ReadTask, TaskFile
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Answer, AnswerKind, NewTask
from rediq_trio.store.encrypted.store import encryption_of
from rediq_trio.tasks.partitions import PartitionCounts, PartitionRouter
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.bounds import PartitionName
from rediq_trio.values.observed.bulk import BulkProgress

IMPORTED_AT_ONCE = 100
"""Tasks that one step of an import enqueues."""
IMPORTED_MAX_PAYLOAD = 512 * 1024 * 1024
"""Maximum bytes of an imported payload: whatever was exported was accepted once."""

FilePath = str | os.PathLike[str]


async def export(selected: Selected, path: FilePath, at: str) -> int:
    """Write the tasks of a selection to a new file; return how many. See `Selection.export`."""
    reader = selected.reader
    lines = TaskFile(reader.name, encryption_of(reader.store))
    target = trio.Path(path)
    if await target.exists():
        raise ConfigError.of("path", str(path), "of a file that does not exist yet")
    part = target.with_name(f"{target.name}.part")
    scan, count = SelectedScan(selected), 0
    try:
        async with await trio.open_file(part, "w", encoding="utf-8", opener=_private) as file:
            await file.write(lines.head(selected.state, at))
            while (found := await scan.step()) is not None:
                name, records = found
                written = [line for record in records for line in lines.lines(name, record)]
                await file.write("".join(written))
                count += len(written)
            await file.write(lines.end(count))
            await file.flush()
            await trio.to_thread.run_sync(os.fsync, file.fileno())
        await part.rename(target)
    except BaseException:
        # Not awaited, because the caller may be cancelled.
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise
    return count


def _private(name: str, flags: int) -> int:
    # It holds what users gave to their tasks.
    return os.open(name, flags, 0o600)


class TaskImport:
    """An async iterator of progress that enqueues the tasks of a file.

    Nothing happens but during a step, so it may be left at any point.
    """

    # Not a generator, which would need closing when left early.

    def __init__(self, reader: QueueReader, path: FilePath) -> None:
        self._store = reader.store
        self._file = TaskFile(reader.name, encryption_of(reader.store))
        self._path = path
        self._counts = PartitionCounts(reader.store)
        self._tasks: list[ReadTask] | None = None
        self._first = self._done = self._refused = 0

    def __aiter__(self) -> TaskImport:
        return self

    async def __anext__(self) -> BulkProgress:
        # The whole file is read first: nothing is enqueued of one that is bad.
        if self._tasks is None:
            self._tasks = await trio.to_thread.run_sync(self._read)
        elif self._first >= len(self._tasks):
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        part = self._tasks[self._first : self._first + IMPORTED_AT_ONCE]
        await self._counts.refresh_if_old()
        done = await self._enqueue(part)
        self._first += len(part)
        self._done += done
        self._refused += len(part) - done
        return BulkProgress(
            done=self._done, refused=self._refused, looked_at=self._first, of=len(self._tasks)
        )

    def _read(self) -> list[ReadTask]:
        with Path(self._path).open(encoding="utf-8") as file:
            return [*self._file.read(_lines(file, self._path))]

    async def _enqueue(self, part: list[ReadTask]) -> int:
        router, by_queue = self._counts.router(), dict[str, list[NewTask]]()
        for one in part:
            queue, task = _prepared(one, router)
            by_queue.setdefault(queue, []).append(task)
        done = 0
        for queue, tasks in by_queue.items():
            answers = await self._store.enqueue(queue, tasks)
            if any(isinstance(one, Answer) and one.kind is AnswerKind.FULL for one in answers):
                raise QueueFull(
                    f"queue {queue} is full: raise limit(max_pending=...), and import the file again"
                )
            done += sum(isinstance(one, State) for one in answers)
        return done


def _lines(file: Iterator[str], path: FilePath) -> Iterator[str]:
    try:
        yield from file
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a task file: it is not UTF-8") from error


def _prepared(one: ReadTask, router: PartitionRouter) -> tuple[str, NewTask]:
    task = one.task
    if task.group is not None:
        # In a partitioned queue, a task of a group is where the group is, whatever its id.
        home = router(attrs.evolve(task, id=None)).queue
        task = attrs.evolve(task, queue=home)
    elif not isinstance(task.queue, PartitionName):
        task = router(task)
    new = prepare(task, IMPORTED_MAX_PAYLOAD).new
    if one.unique:
        relations = attrs.evolve(new.relations, unique=one.unique, until=one.until)
        new = attrs.evolve(new, relations=relations)
    return task.queue, new
