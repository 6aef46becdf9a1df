"""Child processes that a signal cannot leave behind, not even one that comes while they start."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

HELD = (signal.SIGINT, signal.SIGTERM)
"""Signals whose handlers raise."""


@contextmanager
def running(
    arguments: Sequence[str], end: Callable[[subprocess.Popen[Any]], None], **options: Any
) -> Iterator[subprocess.Popen[Any]]:
    """Run a program while the block lasts, then call `end` with it; main thread only.

    A handler that raises while `Popen` waits for the child's first sign of life would leave a
    child that nobody knows. So SIGINT and SIGTERM are kept until it is known, and raised then.
    """
    came: list[int] = []

    def keep(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    # The child does not inherit handlers, as it would a mask of blocked signals.
    before = {number: signal.signal(number, keep) for number in HELD}
    try:
        child = subprocess.Popen([*arguments], **options)
    except BaseException:
        # Whatever kept it from starting, a KeyboardInterrupt too: the handlers are put back.
        _restore(before, came)
        raise
    try:
        _restore(before, came)
        yield child
    finally:
        end(child)


def _restore(handlers: dict[signal.Signals, Any], came: Sequence[int]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for number in came:
        signal.raise_signal(number)
