"""TrioThread: a Trio program in a thread of its own, which makes the calls of other threads.

It keeps one client open. Calls that arrive together wake Trio up once: a caller appends to a deque,
and only the first one since the last wake-up writes to the socket that wakes Trio. Runners, which
are Trio tasks, take the calls from the deque and make one each at a time. They are kept for the next
calls, because starting a task takes longer than rescheduling one.

The thread is a daemon and is stopped at the exit of the interpreter, so a client that nobody closed
keeps no program from ending. A fork copies no thread, so each call compares the process id.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import trio

from rediq_trio._errors import ClientClosed, ConfigError, ConnectionLost
from rediq_trio.client import Client
from rediq_trio.values.telemetry.sending import CALLER

EXIT_WAIT = 5.0
"""Seconds that the exit of the interpreter waits for a client that nobody closed."""
IDLE_RUNNERS_MAX = 200
"""Runners of one client that are kept for further calls, at most."""


async def _nothing() -> None: ...


class ThreadCall:
    """One call of another thread, or the opening or closing of a client.

    The Trio thread sets what came of it, then calls `on_end`.
    """

    __slots__ = (
        "arguments", "cancelled", "context", "ended", "error", "function", "keywords", "on_end", "runner",
        "value",
    )  # fmt: skip

    def __init__(
        self,
        on_end: Callable[[ThreadCall], None],
        function: Callable[..., Awaitable[Any]] = _nothing,
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
    ) -> None:
        self.on_end = on_end
        self.function = function
        self.arguments = arguments
        self.keywords = keywords or {}
        self.context = contextvars.copy_context()
        """That of its caller, in which middleware around sending runs."""
        self.cancelled = False
        self.runner: trio.CancelScope | None = None
        """The scope of the runner that makes the call."""
        self.value: Any = None
        self.error: BaseException | None = None
        self.ended = False

    def end(self, value: Any = None, error: BaseException | None = None) -> None:
        """Set what came of the call, and notify its caller."""
        self.value, self.error = value, error
        self.ended = True
        self.on_end(self)

    def outcome(self) -> Any:
        """Return the value of an ended call, or raise its error."""
        if (error := self.error) is None:
            return self.value
        self.error = None
        try:
            raise error
        finally:
            del error  # its traceback has this frame: together they would be a cycle


class TrioThread:
    """Opens a client in a thread of its own, and makes calls there until `stop`.

    `opening` ends when the client is open or could not be opened; its value is the client. `closed`
    ends when everything is closed. `another` says in an error how to open another client.
    """

    def __init__(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Client]],
        opening: ThreadCall,
        closed: ThreadCall,
        another: str,
    ) -> None:
        self._run = _Run(opened, opening, closed, another)
        # A client that nobody refers to any more stops its thread. This comes before the thread
        # registers its exit: what `weakref` cleans up at the exit, such as the temporary folder of
        # an embedded server, then stays until the client is closed.
        weakref.finalize(self, self._run.stop).atexit = False
        self._run.start()

    def check(self) -> None:
        """Raise `ClientClosed` after `stop`, and `ConfigError` in a fork: no call can be made."""
        run = self._run
        if self.forked():
            raise ConfigError(
                f"this client was opened in process {run.process}, before a fork: open one in each "
                f"process, with {run.another}"
            )
        if run.stopping:
            raise ClientClosed(run.another)

    def usable(self) -> bool:
        """Return whether calls can be made."""
        return not self._run.stopping and not self.forked()

    def forked(self) -> bool:
        """Return whether this process is a fork of the one that has the thread."""
        return os.getpid() != self._run.process

    def submit(self, call: ThreadCall) -> None:
        """Make a call; callable from any thread. Its `on_end` is called in the Trio thread."""
        self._run.submit_all((call,))

    def submit_all(self, calls: Iterable[ThreadCall]) -> None:
        """Make several calls, with one wake-up of Trio."""
        self._run.submit_all(calls)

    def cancel(self, call: ThreadCall) -> None:
        """Cancel a call that was submitted; it ends soon, with `trio.Cancelled` or as it did."""
        self._run.cancel(call)

    def stop(self) -> None:
        """Close the client, and cancel the calls that run. May be called again, and in a fork."""
        self._run.stop()

    def wait_stopped(self, timeout: float | None = None) -> None:
        """Block until the thread has ended. Does nothing in a fork."""
        self._run.wait_stopped(timeout)


class _Run:
    """What the thread refers to. It does not refer to the `TrioThread`, which can be collected."""

    def __init__(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Client]],
        opening: ThreadCall,
        closed: ThreadCall,
        another: str,
    ) -> None:
        self.process = os.getpid()
        self.another = another
        self.stopping = False
        self.token: trio.lowlevel.TrioToken
        self._opened = opened
        self._opening = opening
        self._closed = closed
        self._waiting: deque[ThreadCall] = deque()
        self._notified = False
        self._finished = False
        self._exiting = False
        self._begun = threading.Event()
        self._stop_requested: trio.Event
        self._opening_scope = trio.CancelScope()
        self._nursery: trio.Nursery
        self._idle: list[trio.lowlevel.Task] = []
        self._thread = threading.Thread(target=self._main, name="rediq client", daemon=True)

    def start(self) -> None:
        atexit.register(self._exit)
        try:
            self._thread.start()
        except BaseException:
            atexit.unregister(self._exit)
            raise
        self._begun.wait()

    def submit_all(self, calls: Iterable[ThreadCall]) -> None:
        self._waiting.extend(calls)
        if not self._notified:
            self._notified = True
            try:
                self.token.run_sync_soon(self._start_waiting)
            except trio.RunFinishedError:
                self._refuse_waiting()
        elif self._finished:
            self._refuse_waiting()

    def _start_waiting(self) -> None:
        # First: a call that is appended from here on wakes Trio again.
        self._notified = False
        if self.stopping:
            self._refuse_waiting()
            return
        for _ in range(len(self._waiting)):
            if self._idle:
                trio.lowlevel.reschedule(self._idle.pop())
            else:
                self._nursery.start_soon(self._run_calls)

    async def _run_calls(self) -> None:
        """Make the waiting calls, one after another, and wait for more. A cancelled call ends it."""
        task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        waiting, idle = self._waiting, self._idle
        with trio.CancelScope() as scope:
            while True:
                if not waiting:
                    if len(idle) >= IDLE_RUNNERS_MAX:
                        return
                    idle.append(task)
                    await trio.lowlevel.wait_task_rescheduled(abort)
                    continue
                call = waiting.popleft()
                value: Any = None
                error: BaseException | None = None
                call.runner = scope
                CALLER.set(call.context)
                if call.cancelled:
                    scope.cancel()
                # Here and not in a coroutine of its own, which each step of a call would pass through.
                try:
                    value = await call.function(*call.arguments, **call.keywords)
                except trio.Cancelled as cancelled:
                    error = cancelled if call.cancelled else self._interrupted()
                    raise
                except BaseException as raised:
                    # Also what a function that the caller passed raises, SystemExit for example: it is
                    # raised where the call was made.
                    error = raised
                finally:
                    # At the exit only daemons still wait. They would print an error that nobody can use.
                    if not (self._exiting and isinstance(error, ConnectionLost)):
                        call.end(value, error)
                    error = value = None
                if call.cancelled:
                    return  # with its scope, which is cancelled

    def cancel(self, call: ThreadCall) -> None:
        def cancel_in_trio() -> None:
            call.cancelled = True
            if not call.ended and call.runner is not None:
                call.runner.cancel()

        with suppress(trio.RunFinishedError):  # the call has ended
            self.token.run_sync_soon(cancel_in_trio)

    def _refuse_waiting(self) -> None:
        while self._waiting:
            with suppress(IndexError):  # another thread took the last one
                self._waiting.popleft().end(error=ClientClosed(self.another))

    def _interrupted(self) -> ConnectionLost:
        return ConnectionLost("the client was closed during the call, which may have been made")

    def stop(self) -> None:
        if self.stopping or os.getpid() != self.process:
            return
        self.stopping = True
        with suppress(trio.RunFinishedError):
            self.token.run_sync_soon(self._request_stop)

    def _request_stop(self) -> None:
        self._stop_requested.set()
        if not self._opening.ended:
            self._opening_scope.cancel()

    def wait_stopped(self, timeout: float | None = None) -> None:
        if os.getpid() == self.process and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _exit(self) -> None:
        if self._begun.is_set():
            self._exiting = True
            self.stop()
            self.wait_stopped(EXIT_WAIT)

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            trio.run(self._serve)
        except BaseException as raised:
            error = raised  # for who waits until the client is open, or closed
        self.stopping = self._finished = True
        self._begun.set()  # Trio may have failed to start, without a free file descriptor, say
        self._refuse_waiting()
        if not self._opening.ended:
            self._opening.end(error=error or self._interrupted())
            error = None
        self._closed.end(error=error)
        atexit.unregister(self._exit)

    async def _serve(self) -> None:
        self.token = trio.lowlevel.current_trio_token()
        self._stop_requested = trio.Event()
        self._begun.set()
        with self._opening_scope:
            async with self._opened() as client:
                await self._serve_client(client)

    async def _serve_client(self, client: Client) -> None:
        async with trio.open_nursery() as self._nursery:
            self._opening.end(client)
            await self._stop_requested.wait()
            self._nursery.cancel_scope.cancel()
