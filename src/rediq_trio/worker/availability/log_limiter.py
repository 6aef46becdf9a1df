"""LogLimiter: a bound on how often records of one kind are logged."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import attrs
import trio

RECORDS_PER_WINDOW = 10
"""Maximum records of one kind in one window; further ones are counted."""
LOG_WINDOW = 60.0
"""Seconds of a window, which begins with its first record."""


@attrs.define(eq=False)
class _Window:
    until: float
    logged: int = 0
    left_out: int = 0


@attrs.define(eq=False)
class LogLimiter:
    """Logs warnings and errors, of each kind at most `RECORDS_PER_WINDOW` in `LOG_WINDOW` seconds.

    The kind of a record is its text before the arguments are filled in. What was left out is
    counted, and the number is logged when the window has ended: with the next record of the kind,
    or by `log_counts`.
    """

    log: logging.Logger
    _windows: dict[str, _Window] = attrs.field(factory=dict[str, _Window])

    def warning(self, text: str, *args: object, extra: Mapping[str, object] | None = None) -> None:
        """Log a warning, or count it."""
        self._write(logging.WARNING, text, args, extra)

    def error(self, text: str, *args: object, extra: Mapping[str, object] | None = None) -> None:
        """Log an error, or count it."""
        self._write(logging.ERROR, text, args, extra)

    def admits(self, text: str) -> bool:
        """Return whether the next record of this kind would be logged, not counted."""
        window = self._windows.get(text)
        return (
            window is None
            or window.until <= trio.current_time()
            or window.logged < RECORDS_PER_WINDOW
        )

    def _write(
        self, level: int, text: str, args: tuple[object, ...], extra: Mapping[str, object] | None
    ) -> None:
        now = trio.current_time()
        window = self._windows.get(text)
        if window is None or window.until <= now:
            if window is not None:
                self._end(text, window)
            self._windows[text] = window = _Window(now + LOG_WINDOW)
        if window.logged == RECORDS_PER_WINDOW:
            window.left_out += 1
            return
        window.logged += 1
        try:
            self.log.log(level, text, *args, extra=extra, stacklevel=3)
        except KeyError:
            # A record factory has one of the fields. It cannot end the worker.
            self.log.log(level, text, *args, stacklevel=3)

    def log_counts(self) -> None:
        """Log how many records the windows that have ended left out."""
        now = trio.current_time()
        for text, window in list(self._windows.items()):
            if window.until <= now:
                self._end(text, window)

    def _end(self, text: str, window: _Window) -> None:
        del self._windows[text]
        if window.left_out:
            self.log.warning(
                "%d more records like this one were left out in %.0f s: %s",
                window.left_out, LOG_WINDOW, text,
            )  # fmt: skip
