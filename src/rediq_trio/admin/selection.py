"""Selection: the tasks of a queue that a filter chose at one instant, and what is done to them."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import AsyncIterator

from rediq_trio._errors import ConfigError
from rediq_trio.admin.bulk import (
    BulkRun,
    Selected,
    SelectedScan,
    cancelling,
    deleting,
    moving,
    reviving,
)
from rediq_trio.admin.exporting import export
from rediq_trio.admin.preview import preview
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.audit.steps import audited_steps
from rediq_trio.tasks.instants import instant
from rediq_trio.values.bounds import check_name, check_number
from rediq_trio.values.limits import MAX_RATE
from rediq_trio.values.observed.bulk import BulkProgress, SelectionPreview


class Selection:
    """The tasks in one state that a filter chose at one instant. Made by `Queue.select`.

    It holds the filter and the instant, not the tasks. What is done to them is done to those that
    are still in that state, and have been since then, to the millisecond. So it may be left half-way,
    done again, and done while tasks come and go: what was enqueued, started or ended later is never
    touched. When a task began to wait is not stored: one that was there already may be touched if it
    waits in that state now, and no attempt of it has begun since.

    Each change is an async iterator of `BulkProgress`, which works step by step and only while it
    is iterated. A step takes well under a second; when one is cancelled, its tasks may have been changed
    without being counted. What a step refused is not an error: see `preview`.
    """

    def __init__(self, selected: Selected) -> None:
        self._selected = selected
        self._store = selected.reader.store
        self.queue = selected.reader.name
        """The name of its queue."""
        self.state = selected.state
        """The state of its tasks."""
        self.at: dt.datetime = instant(max(selected.instants.values()))
        """The instant, by the clock of the server; of a partitioned queue the latest of its servers'."""

    def __repr__(self) -> str:
        return f"<Selection of {self.state.value} tasks of {self.queue!r} at {self.at.isoformat()}>"

    async def count(self) -> int:
        """Count the tasks that are still as they were selected. Each one is looked at."""
        scan, found = SelectedScan(self._selected), 0
        while (part := await scan.step()) is not None:
            found += len(part[1])
        return found

    async def preview(self) -> SelectionPreview:
        """Count what can be done of them, and what cannot be, by the reason; nothing is changed.

        What one change makes possible is not counted: a task that needs another one can be retried
        once that one was.
        """
        return await preview(self._selected)

    def retry(self, *, rate: float | None = None) -> AsyncIterator[BulkProgress]:
        """Make dead or cancelled tasks ready again, with new counters, the oldest first.

        `rate` is how many a second, above 0 to 1,000,000; None for as fast as it goes. A task whose
        unique key has another holder, or that needs a task which did not complete, stays as it is;
        those that were refused are tried again at the end, as long as any is retried. Raises
        `ConfigError` for another state.
        """
        self._check_state("retry", State.DEAD, State.CANCELLED)
        if rate is not None:
            check_number("rate", rate, 0, MAX_RATE, above=True)
        return self._audited(
            "retry", BulkRun(self._selected, reviving(self._store), rate=rate, again=True)
        )

    def cancel(self) -> AsyncIterator[BulkProgress]:
        """Cancel tasks that wait, or ask the workers of active ones to.

        Raises `ConfigError` for tasks that have ended.
        """
        ended = (State.COMPLETED, State.DEAD, State.CANCELLED)
        self._check_state("cancel", *(state for state in State if state not in ended))
        return self._audited("cancel", BulkRun(self._selected, cancelling(self._store)))

    def delete(self) -> AsyncIterator[BulkProgress]:
        """Remove tasks with their results. Raises `ConfigError` for active ones: cancel them first."""
        self._check_state("delete", *(state for state in State if state is not State.ACTIVE))
        return self._audited("delete", BulkRun(self._selected, deleting(self._store)))

    def requeue(self, queue: str) -> AsyncIterator[BulkProgress]:
        """Move tasks to another queue, as `TaskHandle.requeue` does, each in one step.

        Those that have to stay are refused. Raises `ConfigError` for a bad queue, and for tasks
        that are blocked, grouped, active or completed.
        """
        check_name("queue", queue)
        if queue == self.queue:
            raise ConfigError.of("queue", queue, f"another queue than {self.queue}")
        self._check_state(
            "requeue", State.SCHEDULED, State.PENDING, State.RETRY, State.DEAD, State.CANCELLED
        )
        return self._audited(
            "requeue", BulkRun(self._selected, moving(self._store, queue)), to=queue
        )

    async def export(self, path: str | os.PathLike[str]) -> int:
        """Write the tasks to a new file that `Queue.import_tasks` reads; return how many.

        The file has a line of JSON for each task, and one for each member of a batch. With keys,
        what is in the lines is encrypted. It is whole or not there: when cancelled, or after an
        error, nothing is left. Raises `ConfigError` if the file exists, `PayloadError` for a task
        that this process cannot read, and `OSError`.
        """
        return await export(self._selected, path, self.at.isoformat())

    def _audited(
        self, method: str, steps: AsyncIterator[BulkProgress], **more: str
    ) -> AsyncIterator[BulkProgress]:
        where = {"queue": self.queue, "state": self.state.value, "at": self.at.isoformat()}
        return audited_steps(
            self._store,
            f"Selection.{method}",
            where | self._selected.wanted.described() | more,
            steps,
        )

    def _check_state(self, method: str, *good: State) -> None:
        if self.state not in good:
            names = ", ".join(state.value for state in good)
            raise ConfigError(
                f"{method}(): the selection is of {self.state.value} tasks; select one of {names}"
            )
