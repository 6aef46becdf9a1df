"""Stuck attempts: those that run on although their timeout and the clean-up after it are over.

A thread cannot be stopped, and a shielded scope is not cancelled, so such an attempt keeps
its slot until it ends by itself. It is reported once, with the line at which it stands. The
leases are looked through now and then, so an attempt that ends in time costs nothing.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Collection, Iterator
from itertools import takewhile
from types import FrameType

import attrs
import trio

from rediq_trio.handlers.context import CURRENT
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.outcomes.log import AttemptLog
from rediq_trio.worker.reporting.stacks import children_of

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the leases; a shorter `cleanup_grace` lowers it."""
LOOK_INTERVAL_IDLE = 5.0
"""Seconds between two looks while the worker holds no lease; a shorter `cleanup_grace` lowers it."""
STUCK_NAMED = 100
"""Maximum stuck attempts that the worker's record names."""
SHOWN_FRAMES = 20
"""Maximum frames of a stack that a record shows, the innermost ones."""
SHOWN_TASKS = 5
"""Maximum Trio tasks of an attempt whose stacks a record shows."""

_NOT_THE_USERS = ("rediq_trio.worker.", "trio._core.", "trio._threads")


@attrs.define(eq=False)
class StuckAttempts:
    """The attempts of one worker that are stuck. Written by `run`, read from any thread."""

    lease_table: LeaseTable
    cleanup_grace: float
    log: AttemptLog
    total: int = 0
    """How many attempts were stuck so far."""
    _stuck: Collection[HeldLease] = ()

    @property
    def count(self) -> int:
        """How many attempts are stuck now."""
        return len(self._stuck)

    def ids(self) -> tuple[str, ...]:
        """Return the ids of the tasks whose attempts are stuck now, the first `STUCK_NAMED`."""
        return tuple(sorted(held.task_id for held in self._stuck)[:STUCK_NAMED])

    async def run(self) -> None:
        """Look through the leases until cancelled."""
        while True:
            self._look()
            # No attempt that starts meanwhile can be stuck before `cleanup_grace` is over.
            interval = LOOK_INTERVAL if len(self.lease_table) else LOOK_INTERVAL_IDLE
            await trio.sleep(min(interval, self.cleanup_grace))

    def _look(self) -> None:
        over = trio.current_time() - self.cleanup_grace
        found = dict.fromkeys(
            held for held in self.lease_table
            if held.scope is not None and not held.settled and held.scope.deadline <= over
        )  # fmt: skip
        for held in found:
            if held not in self._stuck:
                self.total += 1
                self._report(held)
        self._stuck = found

    def _report(self, held: HeldLease) -> None:
        tasks = list(_tasks_of(held))
        current = tasks[0].context.get(CURRENT) if tasks else None
        assert held.scope is not None
        seconds = trio.current_time() - held.scope.deadline
        self.log.stuck(
            held, None if current is None else current.type, seconds, _stacks(held, tasks)
        )


def _tasks_of(held: HeldLease) -> Iterator[trio.lowlevel.Task]:
    """Yield the Trio tasks of an attempt, its own first."""
    root = trio.lowlevel.current_root_task()
    waiting = [] if root is None else [root]
    for task in waiting:
        current = task.context.get(CURRENT)
        if current is not None and current.runs(held):
            yield task
        waiting += children_of(task)


def _stacks(held: HeldLease, tasks: list[trio.lowlevel.Task]) -> str:
    """Return where an attempt stands: in its thread, and in each of its tasks."""
    stacks = [list(_thread_frames(held.thread))] if held.thread is not None else []
    for task in tasks[:SHOWN_TASKS]:
        stacks.append(
            [(frame, line) for frame, line in task.iter_await_frames() if _is_users(frame)]
        )
    texts = (
        "".join(traceback.StackSummary.extract(iter(stack[-SHOWN_FRAMES:])).format())
        for stack in stacks if stack
    )  # fmt: skip
    return "".join("\n" + text.rstrip() for text in texts)


def _thread_frames(thread: int) -> Iterator[tuple[FrameType, int]]:
    frames: list[FrameType] = []
    frame = sys._current_frames().get(thread)
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    for inner in reversed(list(takewhile(_is_users, frames))):
        yield inner, inner.f_lineno


def _is_users(frame: FrameType) -> bool:
    return not str(frame.f_globals.get("__name__")).startswith(_NOT_THE_USERS)
