"""The end of a terminal, for commands that use one: they end with it, whatever became of SIGHUP."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import trio

from rediq_trio.cli.statuses import FAILED
from rediq_trio.cli.stop_signals import Stop

LOOKED_EVERY = 0.25
"""Seconds between two looks at whether the terminal is still there."""


def has_ended(fd: int) -> bool:
    """Return whether the other side of a terminal or a pipe is gone."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(fd, 0)
    return any(found & (select.POLLHUP | select.POLLERR) for _, found in poll.poll(0))


async def until_ended(fd: int) -> None:
    """Wait until the other side of a terminal or a pipe is gone."""
    while not has_ended(fd):
        await trio.sleep(LOOKED_EVERY)


async def ask_when_terminal_ends(stop: Stop) -> None:
    """Ask for a graceful stop once the terminal of standard input is gone.

    SIGHUP says so too, but not to a process that ignores it (`nohup`), nor to one that another process
    started in the background of a shell.
    """
    await until_ended(0)
    if not stop.asked.is_set():
        stop.ask()


@contextmanager
def leaving_within(seconds: float) -> Generator[Callable[[], None]]:
    """Yield what begins a countdown, at whose end the process ends, unless the block has ended first.

    A terminal that takes no output holds up whoever writes to it, signals or not. The modes of the terminal
    are set back first; nothing is printed.
    """
    restore = _modes()

    def end() -> None:
        restore()
        os._exit(FAILED)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    try:
        yield timer.start
    finally:
        timer.cancel()


def _modes() -> Callable[[], None]:
    """Return what sets the modes of the terminal back to those that it has now."""
    try:
        import termios
    except ImportError:  # Windows
        return lambda: None
    try:
        before = termios.tcgetattr(0)
    except termios.error:
        return lambda: None

    def restore() -> None:
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, before)

    return restore
