"""Ctrl-C in a simulation: it ends the simulation between two steps, and nothing in it can see that.

An exception amid a handler would look like one that the handler raised. A step that does not end is
interrupted by the same signal, which the guard of real time sends.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any


class InterruptWatch:
    """Handles SIGINT while a simulation runs, if nobody else does. Made before Trio's run begins."""

    def __init__(self, end: Callable[[BaseException], None]) -> None:
        self._before: Any = signal.getsignal(signal.SIGINT) if _in_main_thread() else None
        self._handles = self._before in (signal.default_int_handler, signal.SIG_IGN)
        self._of_trio: Any = self._before
        """The handler of Trio's run, which it installs if there was none."""
        self._end = end
        self._is_pending = False
        self.is_stuck = False
        """Whether a step does not end: the next signal ends it, wherever it is."""

    @contextmanager
    def watching(self) -> Generator[None]:
        """Handle the signal while the block lasts."""
        if not self._handles or not _in_main_thread():
            yield
            return
        self._of_trio = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self._of_trio)

    def _handle(self, number: int, frame: object) -> None:
        if self.is_stuck or self._is_pending:
            raise KeyboardInterrupt
        if self._before is not signal.SIG_IGN:
            self._is_pending = True
            self._end(KeyboardInterrupt())

    def close(self, error: BaseException | None) -> None:
        """Leave the signal as it was before the simulation.

        Raises `KeyboardInterrupt` if one came that is not the error which has ended the simulation.
        """
        # Trio's run has ended while its handler was not the current one, so it has left that to us.
        if self._handles and _in_main_thread() and signal.getsignal(signal.SIGINT) is self._of_trio:
            signal.signal(signal.SIGINT, self._before)
        if self._is_pending and not isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
