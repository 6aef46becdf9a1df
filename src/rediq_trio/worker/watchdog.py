"""The watchdog: a thread that notices when the event loop is blocked, and by which handler.

While a handler blocks the loop no Trio task runs, so a Trio task could only report it
afterwards. The thread asks the loop for a sign of life, again and again; when none has
come for a third of the lease, it reads the stack of the loop's thread. The context of the
Trio task on that stack names the attempt, also in tasks that a handler started. Nothing is
done for each step of a task: a Trio instrument costs a busy worker 3 to 5 % of its CPU,
this thread costs nothing that could be measured.
"""

from __future__ import annotations

import logging
import sys
import sysconfig
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from types import FrameType

import attrs
import trio

from rediq_trio.handlers.context import CURRENT, CurrentTask
from rediq_trio.values.chance import threads

log = logging.getLogger("rediq_trio.watchdog")

LEASE_PARTS = 3
"""The loop may be blocked for the lease divided by this: a third, as between two renewals."""
CHECKS_PER_BOUND = 10
"""How often the loop is checked within that time."""
CHECK_INTERVAL_MIN = 0.02
"""Minimum seconds between two checks."""
REPORTED_FRAMES = 10
"""Maximum number of stack frames that a report shows, the innermost ones."""
_JOIN_TIMEOUT = 1.0
"""Seconds to wait for the thread's end; a log handler may block it."""

_FOREIGN = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_ENGINE = ("rediq_trio.worker.", "trio._core.", "trio_asyncio.", "asyncio.")
"""Modules that run tasks: frames outside of them on a stack do not belong to the task."""


@attrs.frozen(kw_only=True)
class BlockedLoop:
    """The event loop was blocked for longer than a third of the lease."""

    handler: str | None
    """The name of the handler that blocked it; None if it was no handler of a worker."""
    task: str | None
    """The id of its task."""
    where: str
    """The file, line and function that blocked it."""
    seconds: float
    """How long it was blocked, or has been until now."""


@attrs.frozen
class _Loop:
    """What the thread needs to check a loop. Made in the loop itself."""

    token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)
    thread: int = attrs.field(factory=threading.get_ident)
    clock: trio.abc.Clock = attrs.field(factory=trio.lowlevel.current_clock)
    root: trio.lowlevel.Task | None = attrs.field(factory=trio.lowlevel.current_root_task)


@attrs.define(eq=False)
class Watchdog:
    """The watchdog's state. Its thread writes it, any thread may read it."""

    lease: float
    name: str = "worker"
    """The name of the worker."""
    count: int = 0
    """How often the loop was blocked for too long."""
    last: BlockedLoop | None = None
    """The last block, over or not."""
    resumed: float = -float("inf")
    """When watching began, or the loop last ran again after a block, on Trio's clock."""
    _delays: deque[float] = attrs.field(factory=lambda: deque[float](maxlen=CHECKS_PER_BOUND))
    """How long the loop took to answer the last checks."""
    _asked: float = 0.0
    _answered: float | None = 0.0
    _blocked: bool = False

    @property
    def bound(self) -> float:
        """Seconds for which the loop may be blocked."""
        return self.lease / LEASE_PARTS

    def blocked(self) -> BlockedLoop | None:
        """Return the block that is under way; None while the loop runs. Callable from any thread."""
        last = self.last
        if not self._blocked or last is None:
            return None
        return attrs.evolve(last, seconds=time.monotonic() - self._asked)

    def loop_delay(self) -> float:
        """Return the most seconds that the loop took to answer one of the last checks."""
        waiting = 0.0 if self._answered is not None else time.monotonic() - self._asked
        return max(waiting, *self._delays, 0.0)

    @contextmanager
    def watching(self) -> Generator[None]:
        """Watch the current event loop for as long as the `with` block lasts.

        Not in a simulation without threads: a look at the loop would be a step of it at a real instant.
        """
        loop = _Loop()
        self.resumed = loop.clock.current_time()
        if not threads():
            yield
            return
        over = threading.Event()
        thread = threading.Thread(
            target=self._watch, args=(loop, over), name=f"rediq watchdog {self.name}", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_JOIN_TIMEOUT)
            # The loop runs this, so it is not blocked, whether or not the thread has noticed.
            self._end(loop, self._answered or time.monotonic())

    def _watch(self, loop: _Loop, over: threading.Event) -> None:
        while not over.wait(max(CHECK_INTERVAL_MIN, self.bound / CHECKS_PER_BOUND)):
            if self._answered is not None:
                self._end(loop, self._answered)
                # In this order, so that no other thread sees an old check that waits.
                self._asked = time.monotonic()
                self._answered = None
                try:
                    loop.token.run_sync_soon(self._answer)
                except trio.RunFinishedError:
                    return
            elif not self._blocked and time.monotonic() - self._asked > self.bound:
                self._report(loop)

    def _answer(self) -> None:
        self._answered = time.monotonic()
        self._delays.append(self._answered - self._asked)

    def _end(self, loop: _Loop, answered: float) -> None:
        if not self._blocked or self.last is None:
            return
        self.last = attrs.evolve(self.last, seconds=answered - self._asked)
        self.resumed = loop.clock.current_time()
        self._blocked = False
        log.warning(
            "the event loop runs again, after %.3g s in which it was blocked", self.last.seconds
        )

    def _report(self, loop: _Loop) -> None:
        seconds = time.monotonic() - self._asked
        stack = list(_stack(loop.thread))
        task = _task_on(stack, loop.root)
        current = None if task is None else task.context.get(CURRENT)
        inner = _inner(stack)
        where = _where(inner or stack)
        handler, task_id = (None, None) if current is None else (current.type, current.id)
        self.last = BlockedLoop(handler=handler, task=task_id, where=where, seconds=seconds)
        self._blocked = True
        self.count += 1
        shown = inner[:REPORTED_FRAMES] if task is not None else []
        log.error(
            "the event loop has been blocked for %.3g s %s, at %s: no lease is renewed meanwhile. %s%s",
            seconds, _whom(task, current), where, _advice(task, current), _lines(shown),
        )  # fmt: skip


def _stack(thread: int) -> Iterator[FrameType]:
    """Return the frames of a thread, the innermost first."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _task_on(stack: list[FrameType], root: trio.lowlevel.Task | None) -> trio.lowlevel.Task | None:
    """Return the Trio task whose coroutine is on the stack; None between two tasks."""
    frames = set(stack)
    waiting = [] if root is None else [root]
    while waiting:
        task = waiting.pop()
        if getattr(task.coro, "cr_frame", None) in frames:
            return task
        # Copied first: the loop may run again at any moment.
        for nursery in list(task.child_nurseries):
            waiting += list(nursery.child_tasks)
    return None


def _inner(stack: list[FrameType]) -> list[FrameType]:
    """Return the frames of the task itself, the innermost first."""
    return list(
        takewhile(lambda f: not str(f.f_globals.get("__name__")).startswith(_ENGINE), stack)
    )


def _where(stack: list[FrameType]) -> str:
    """Return the innermost line outside of libraries; else the outermost, which is the handler's."""
    if not stack:
        return "no line of Python"
    user_code = [f for f in stack if not f.f_code.co_filename.startswith((*_FOREIGN, "<"))]
    frame = user_code[0] if user_code else stack[-1]
    code = frame.f_code
    return f"{Path(code.co_filename).name}:{frame.f_lineno} in {code.co_name}"


def _whom(task: trio.lowlevel.Task | None, current: CurrentTask | None) -> str:
    if current is not None:
        return f"by the handler {current.type} (task {current.id})"
    if task is None:
        return "by no task of its own"
    return f"by the Trio task {task.name}, which is no handler"


def _advice(task: trio.lowlevel.Task | None, current: CurrentTask | None) -> str:
    if current is not None:
        return "Make the handler a plain def, which runs in a thread, or await in it"
    if task is None:
        return "The machine is overloaded, or the process was held up from outside"
    return "Await in it, or run the blocking call with trio.to_thread.run_sync"


def _lines(stack: list[FrameType]) -> str:
    if not stack:
        return ""
    summary = traceback.StackSummary.extract((f, f.f_lineno) for f in reversed(stack))
    return "\n" + "".join(summary.format()).rstrip()
