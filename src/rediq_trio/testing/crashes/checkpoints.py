"""Watches a handler from checkpoint to checkpoint.

An instrument of Trio sees each task whenever it stops running. If that is an attempt of the watched
task, or a Trio task that its handler started, then the handler stands at a checkpoint: what it awaits is
under way, and nothing of it has come back. This is where a process can die without any warning.

A Trio task that has ended counts too. For that of the attempt, this is the last point: the handler has
returned, and its outcome is not yet written.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import attrs
import trio

import rediq_trio
from rediq_trio.handlers.context import CURRENT, CurrentTask

NOT_OF_THE_USER = frozenset(("rediq_trio", "trio", "outcome", "contextlib"))
"""Top-level packages whose frames are left out where a checkpoint is described."""
LIBRARIES = tuple(str(Path(inspect.getfile(package)).parent) for package in (trio, rediq_trio))
"""The folders of those of them that start Trio tasks."""


@attrs.frozen
class Checkpoint:
    """Where a handler stands."""

    number: int
    """Its number in the life of the task, from 1."""
    where: str
    """The handler's file, line and function, and those of the function that awaits, if it is another."""
    is_end: bool = False
    """Whether the attempt has ended, and its outcome is not written."""


@attrs.define(eq=False)
class CheckpointWatch(trio.abc.Instrument):
    """Calls a function at each checkpoint of the handler of one task.

    `at` gets the checkpoint, the attempt and the Trio task. Trio removes an instrument that raises, so
    what `at` raises is kept in `error`.
    """

    task_id: str
    """`"<queue>/<id>"` of the task."""
    at: Callable[[Checkpoint, CurrentTask, trio.lowlevel.Task], None]
    seen: list[Checkpoint] = attrs.field(factory=list[Checkpoint])
    attempts: dict[CurrentTask, trio.lowlevel.Task] = attrs.field(
        factory=dict[CurrentTask, trio.lowlevel.Task]
    )
    """The attempts that have begun, in this order, and the Trio tasks in which they run."""
    error: Exception | None = None
    _last: dict[trio.lowlevel.Task, str] = attrs.field(factory=dict[trio.lowlevel.Task, str])
    """Where each Trio task was last."""

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Look where a Trio task stopped."""
        current = task.context.get(CURRENT)
        if current is None or current.id != self.task_id:
            return
        # The attempt's own Trio task is the first one: it sets the variable.
        main = self.attempts.setdefault(current, task)
        if where := describe_checkpoint(task):
            self._last[task] = where
            self._pass(current, task, where)
        elif task.coro.cr_frame is None and (task is main or not _is_library(task.coro.cr_code)):
            last = self._last.get(task, current.type if task is main else task.name)
            self._pass(current, task, f"the end of {last}", is_end=task is main)

    def _pass(
        self, current: CurrentTask, task: trio.lowlevel.Task, where: str, *, is_end: bool = False
    ) -> None:
        checkpoint = Checkpoint(len(self.seen) + 1, where, is_end)
        self.seen.append(checkpoint)
        try:
            self.at(checkpoint, current, task)
        except Exception as error:
            self.error = self.error or error


def describe_checkpoint(task: trio.lowlevel.Task) -> str:
    """Return where the user's functions stand in a Trio task: `app.py:17 in send`; "" without any."""
    places = [
        f"{short_path(frame.f_code.co_filename)}:{line} in {_name_of(frame)}"
        for frame, line in task.iter_await_frames()
        if _is_of_the_user(frame)
    ]
    return " > ".join([*places[:1], *places[1:][-1:]])


def _is_of_the_user(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] not in NOT_OF_THE_USER


def _is_library(code: CodeType) -> bool:
    return code.co_filename.startswith(LIBRARIES)


def _name_of(frame: FrameType) -> str:
    return frame.f_code.co_qualname.rpartition("<locals>.")[2]


def short_path(file: str) -> str:
    """Return the path from the working directory, if the file is below it."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file
