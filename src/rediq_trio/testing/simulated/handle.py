"""SimHandle: one enqueued task, for tests that are plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.values.bounds import Duration
from rediq_trio.values.task import TaskInfo

R = TypeVar("R")


class SimHandle(Generic[R]):
    """The twin of a `TaskHandle`: time passes until a method returns."""

    def __init__(
        self, do: Callable[..., Any], until_ended: Callable[..., None], handle: TaskHandle[R]
    ) -> None:
        self._do = do
        self._until_ended = until_ended
        self.handle = handle
        """The handle, for `Simulation.do`."""

    def __repr__(self) -> str:
        return f"<SimHandle {self.handle.id}>"

    @property
    def id(self) -> str:
        """The task's id."""
        return self.handle.id

    @property
    def created(self) -> bool:
        """Whether the task is new: False if it existed before."""
        return self.handle.created

    def result(self, timeout: Duration | None = None) -> R:
        """Wait until the task has ended, and return its result, as `TaskHandle.result` does.

        Raises `Deadlock` if the task will never end, because no server serves its queue, say.
        """
        self._do(self.handle._watch)  # so that a task without retention is kept long enough
        self._until_ended(self.handle, timeout)
        found: R = self._do(self.handle.result, None if timeout is None else 0)
        return found

    def wait(self, timeout: Duration | None = None) -> TaskInfo:
        """Wait until the task has ended in any way, and read it."""
        self._do(self.handle._watch)
        self._until_ended(self.handle, timeout)
        found: TaskInfo = self._do(self.handle.wait, None if timeout is None else 0)
        return found

    def info(self) -> TaskInfo:
        """Read the task."""
        found: TaskInfo = self._do(self.handle.info)
        return found

    def cancel(self) -> State:
        """Cancel the task."""
        found: State = self._do(self.handle.cancel)
        return found
