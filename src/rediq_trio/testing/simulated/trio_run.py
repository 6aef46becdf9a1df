"""A run of Trio that plain code runs step by step, and in which we choose what runs next.

It is a guest run whose clock never asks for a wait, so it needs no thread and no host loop: `go_on`
takes one step after the other until a condition holds. All private names of Trio that the simulator
uses are in this module, and `missing_names` says which of them a version of Trio does not have:

* `GLOBAL_RUN_CONTEXT`: put aside between two calls, so that a simulation can be open inside another
  run, and several at once.
* `Runner.runq`: replaced by a `RunQueue`, which hands out one task at a time.
* `TrioTask._counter`: the age of a task. Trio keeps tasks in sets, whose order is not the same twice.
* `TrioTask._abort_func`: tells what a task waits for, a thread or a socket.
"""

from __future__ import annotations

import contextvars
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import attrs
import outcome
import trio
from trio._core import _run
from trio._core._run_context import GLOBAL_RUN_CONTEXT

from rediq_trio._errors import RediqError

TrioTask = trio.lowlevel.Task


class Scheduler(Protocol):
    """Decides in which order the tasks of a batch run."""

    def shuffle(self, batch: list[TrioTask], /) -> None:
        """Change the order of a batch in place; the last one runs first."""


class FirstInFirstOut:
    """A scheduler that runs the oldest task first."""

    def shuffle(self, batch: list[TrioTask], /) -> None:
        """Reverse the batch, which comes by age."""
        batch.reverse()


class RunQueue(deque[TrioTask]):
    """Trio's run queue: hands out one task at a time, and none of a host that is down.

    Trio takes all that the queue iterates over as the next batch, and then clears it. This one
    iterates over one task, so that between any two steps of tasks a host can be killed or frozen, and
    the scheduler is ours.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        withholds: Callable[[TrioTask], bool],
        before_step: Callable[[TrioTask], None],
        after_step: Callable[[TrioTask], None],
    ) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._withholds = withholds
        self._before_step = before_step
        self._after_step = after_step
        self._batch: list[TrioTask] = []
        self._last: TrioTask | None = None

    def append(self, task: TrioTask) -> None:
        """Add a task, unless it is to be withheld."""
        if not self._withholds(task):
            super().append(task)

    def append_anyway(self, task: TrioTask) -> None:
        """Add a task, although it is to be withheld."""
        super().append(task)

    def __iter__(self) -> Iterator[TrioTask]:
        self.end_step()
        if not self._batch:
            self._batch = sorted(super().__iter__(), key=age_of)
            super().clear()
            self._scheduler.shuffle(self._batch)
        if self._batch:
            self._last = self._batch.pop()
            self._before_step(self._last)
            return iter((self._last,))
        return iter(())

    def clear(self) -> None:
        """Do nothing: what was handed out is not in the queue any more."""

    def __bool__(self) -> bool:
        return bool(self._batch) or len(self) > 0

    def end_step(self) -> None:
        """Report the step that has just been made."""
        last, self._last = self._last, None
        if last is not None:
            self._after_step(last)

    def withdraw(self, chosen: Callable[[TrioTask], bool]) -> list[TrioTask]:
        """Take the chosen tasks out, by age."""
        waiting = [*self._batch, *super().__iter__()]
        self._batch = [task for task in self._batch if not chosen(task)]
        kept = [task for task in super().__iter__() if not chosen(task)]
        super().clear()
        super().extend(kept)
        return sorted((task for task in waiting if chosen(task)), key=age_of)


def age_of(task: TrioTask) -> int:
    """Return the number of a task: a later one has a higher number."""
    return task._counter


@attrs.define
class _Saved:
    context: dict[str, Any] = attrs.field(factory=dict[str, Any])
    hooks: Any = None


class TrioRun:
    """A run of Trio that goes on only while plain code runs it."""

    def __init__(
        self,
        main: Callable[[], Coroutine[Any, Any, None]],
        clock: trio.abc.Clock,
        make_queue: Callable[[], RunQueue],
    ) -> None:
        if missing := missing_names():
            raise RediqError(
                f"rediq_trio.testing does not work with Trio {trio.__version__}: it has no "
                f"{', '.join(missing)}"
            )
        self._tick: Callable[[], object] | None = None
        self._ours = _Saved({}, sys.get_asyncgen_hooks())
        self._depth = 0
        self.ended: outcome.Outcome[None] | None = None
        """How the run ended; None while it goes on."""
        self.ticks = 0
        with self.entered():
            trio.lowlevel.start_guest_run(
                main,
                run_sync_soon_threadsafe=self._schedule,
                run_sync_soon_not_threadsafe=self._schedule,
                done_callback=self._end,
                clock=clock,
                host_uses_signal_set_wakeup_fd=True,
            )
            runner = GLOBAL_RUN_CONTEXT.runner
            assert runner.init_task is not None
            self.root: TrioTask = runner.init_task
            """The task at the root of the tree of tasks."""
            self.queue = make_queue()
            for task in list(runner.runq):
                self.queue.append(task)
            runner.runq = self.queue

    def _schedule(self, tick: Callable[[], object]) -> None:
        self._tick = tick

    def _end(self, result: outcome.Outcome[None]) -> None:
        self.ended = result

    @contextmanager
    def entered(self) -> Generator[None]:
        """Make this the current run of the thread, as if the block were one of its callbacks."""
        if self._depth:
            yield
            return
        theirs = _Saved(dict(GLOBAL_RUN_CONTEXT.__dict__), sys.get_asyncgen_hooks())
        _install(self._ours)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self._ours = _Saved(dict(GLOBAL_RUN_CONTEXT.__dict__), sys.get_asyncgen_hooks())
            _install(theirs)

    def go_on(self, over: Callable[[], bool]) -> None:
        """Go on until the condition holds or the run has ended."""
        with self.entered():
            while self.ended is None and not over():
                tick, self._tick = self._tick, None
                assert tick is not None, "the clock asked for a wait"
                self.ticks += 1
                tick()


def _install(saved: _Saved) -> None:
    GLOBAL_RUN_CONTEXT.__dict__.clear()
    GLOBAL_RUN_CONTEXT.__dict__.update(saved.context)
    sys.set_asyncgen_hooks(*saved.hooks)


def missing_names() -> list[str]:
    """Return the private names that this version of Trio does not have."""
    names = {
        "trio._core._run.Runner.runq": hasattr(_run.Runner, "runq"),
        "trio.lowlevel.Task._counter": hasattr(TrioTask, "_counter"),
        "trio.lowlevel.Task._abort_func": hasattr(TrioTask, "_abort_func"),
    }
    return [name for name, there in names.items() if not there]


def waits_for_the_real_world(task: TrioTask) -> bool:
    """Return whether a task waits for a thread or for the operating system."""
    abort = task._abort_func
    return abort is not None and getattr(abort, "__module__", "") in _REAL


_REAL = frozenset(
    {"trio._threads", "trio._core._io_epoll", "trio._core._io_kqueue", "trio._core._io_windows"}
)


def leaves(root: TrioTask) -> Iterator[TrioTask]:
    """Return the tasks below a task that have no tasks of their own."""
    below = [each for nursery in root.child_nurseries for each in nursery.child_tasks]
    if not below:
        yield root
    for each in below:
        yield from leaves(each)


def spawn(
    nursery: trio.Nursery,
    variables: Callable[[], None],
    function: Callable[..., Coroutine[Any, Any, Any]],
    *args: Any,
) -> None:
    """Start a task whose context variables are set by `variables`; all that it starts inherits them."""
    context = contextvars.copy_context()
    context.run(variables)
    context.run(nursery.start_soon, function, *args)
