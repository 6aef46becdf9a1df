"""The slots of a worker: those of handlers that wait for other tasks are lent.

A handler that waits in `result()` does no work, and the task that it waits for may need a slot of
this worker. So its slot is free for another attempt as long as it waits, and for a `def` handler
the place of its thread too. When the wait is over the handler continues at once: if it had to wait
for a slot, handlers could lock the worker again. Until enough attempts have ended, more of them run
than `concurrency`, and the worker starts and claims none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Protocol

import trio


class LendsSlot(Protocol):
    """An attempt, as the slots know it."""

    settled: bool
    """Whether its outcome is decided."""
    thread_limiter: trio.CapacityLimiter | None
    """The limiter of the thread that it has; None without a thread."""


class Slots:
    """The lent slots of a worker. Owned by the lease table, changed between checkpoints only."""

    def __init__(self) -> None:
        self._waits: dict[LendsSlot, int] = {}
        """Attempts whose slot is lent, and in how many places each of them waits."""
        self._threads: dict[LendsSlot, trio.CapacityLimiter] = {}
        """Those that lend the place of a thread too, and its limiter."""
        self._token: trio.lowlevel.TrioToken | None = None
        self._on_lend: Callable[[], None] = _ignore
        self.lending = 0
        """How many attempts lend their slots."""

    def waiting(self) -> Sequence[LendsSlot]:
        """Return the attempts whose slot is lent."""
        return tuple(self._waits)

    def open(self, on_lend: Callable[[], None]) -> None:
        """Begin to lend slots; `on_lend` is called when one becomes free for another attempt."""
        self._token = trio.lowlevel.current_trio_token()
        self._on_lend = on_lend

    @contextmanager
    def lend(self, attempt: LendsSlot) -> Generator[None]:
        """Lend the slot of an attempt while the block lasts; it may wait in several places."""
        self._call(self._begin, attempt)
        try:
            yield
        finally:
            self._call(self._end, attempt)

    def forget(self, attempt: LendsSlot) -> None:
        """Take back the slot of an attempt that has ended, while a task that it started still waits."""
        if self._waits.pop(attempt, 0):
            self.lending -= 1
            self._return_thread(attempt)

    def _call(self, change: Callable[[LendsSlot], None], attempt: LendsSlot) -> None:
        if self._token is None:
            return
        if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token:
            change(attempt)
            return
        # A plain `def` handler may run Trio in its own thread, and wait there. These calls keep
        # their order; a worker that has ended needs them no more.
        try:
            self._token.run_sync_soon(change, attempt)
        except trio.RunFinishedError:
            self._token = None

    def _begin(self, attempt: LendsSlot) -> None:
        if attempt.settled:
            return  # its slot is free already
        places = self._waits.get(attempt, 0)
        self._waits[attempt] = places + 1
        if places:
            return
        self.lending += 1
        if (limiter := attempt.thread_limiter) is not None:
            self._threads[attempt] = limiter
            limiter.total_tokens += 1
        self._on_lend()

    def _end(self, attempt: LendsSlot) -> None:
        places = self._waits.get(attempt, 0)
        if places > 1:
            self._waits[attempt] = places - 1
        elif places:
            self.forget(attempt)

    def _return_thread(self, attempt: LendsSlot) -> None:
        limiter = self._threads.pop(attempt, None)
        if limiter is not None:
            limiter.total_tokens -= 1


def _ignore() -> None: ...
