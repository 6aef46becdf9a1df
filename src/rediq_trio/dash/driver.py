"""DashDriver: Textual's driver, for a terminal that may go away or stop reading while it is written to.

A terminal that closes sends SIGHUP and SIGCONT. Textual starts anew on SIGCONT, within the signal handler: the
threads that it had would never end, and nor would the process. And it hands what it writes to a thread, which
an error of the terminal ends; with 30 writes waiting, the process would wait for it, deaf to signals.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from textual.app import App
from textual.driver import Driver

if TYPE_CHECKING or sys.platform != "win32":
    from textual.drivers.linux_driver import LinuxDriver
else:
    from textual.drivers.windows_driver import WindowsDriver as LinuxDriver

WRITES_WAITING = 12
"""Writes that wait for the terminal before the screen is not drawn anew."""


class TerminalOutput:
    """A terminal to write to; what is written to one that is gone is dropped."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


class DashDriver(LinuxDriver):
    """Goes on when the terminal is gone, until it is asked to stop."""

    def __init__(
        self,
        app: App[Any],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)  # pyright: ignore[reportUnknownMemberType]
        self._file: Any = TerminalOutput(self._file)

    def start_application_mode(self) -> None:
        start: Any = super().start_application_mode
        start()
        writer: Any = self._writer_thread
        if writer is not None:
            writer._queue.maxsize = 0  # else whoever writes waits; `is_behind` bounds it

    def _sigtstp_application(self, *_: object) -> None:
        """Leave the terminal to the shell, and stop."""
        if not self._must_signal_resume and self._auto_restart:  # else another program has it
            self._must_signal_resume = True
            self.suspend_application_mode()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _sigcont_application(self, *_: object) -> None:
        """Take the terminal again, on the loop: a signal comes in the middle of anything."""
        self._loop.call_soon_threadsafe(self._take_again)

    def _take_again(self) -> None:
        if self._must_signal_resume and not self.exit_event.is_set():
            self.resume_application_mode()


def is_behind(driver: Driver | None) -> bool:
    """Return whether the terminal has not taken what was drawn before."""
    writer: Any = getattr(driver, "_writer_thread", None)
    return writer is not None and writer._queue.qsize() > WRITES_WAITING
