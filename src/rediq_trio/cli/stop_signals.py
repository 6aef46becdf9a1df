"""Unix signals that stop a command. Only the command line listens to signals."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import NoReturn

import attrs
import trio

from rediq_trio._errors.nursery import unwrapped_errors

REPEATED_WITHIN = 1.0
"""Seconds after the first signal in which the same one again asks for nothing more. A supervisor that
signals a process and its group sends two within a millisecond."""


@attrs.define(eq=False)
class Stop:
    """A stop that signals ask for: the first for a graceful one, the second for one at once."""

    asked: trio.Event = attrs.field(factory=trio.Event)
    now: trio.Event = attrs.field(factory=trio.Event)

    def ask(self) -> None:
        """Ask for a graceful stop; the second time, for one at once."""
        (self.now if self.asked.is_set() else self.asked).set()


@asynccontextmanager
async def stop_signals() -> AsyncGenerator[tuple[Stop, trio.Nursery]]:
    """Turn SIGTERM, SIGINT and SIGHUP into a `Stop` while the block lasts.

    SIGHUP, by which a terminal says that it closes, only asks for a graceful stop, and is left
    ignored if the process was started so (`nohup`).
    Meanwhile there is no `KeyboardInterrupt`, which could interrupt any actor anywhere. The nursery
    is for tasks that wait for the stop; it is cancelled at the end of the block.
    """
    stop = Stop()
    numbers = {signal.SIGINT, signal.SIGTERM}
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)  # not on Windows
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:
        numbers.add(hangup)
    with trio.open_signal_receiver(*numbers) as signals:

        async def listen() -> None:
            first, first_at = 0, -math.inf
            async for number in signals:
                repeated = number == first and trio.current_time() < first_at + REPEATED_WITHIN
                if not stop.asked.is_set():
                    first, first_at = number, trio.current_time()
                elif number == hangup or repeated:
                    continue
                stop.ask()

        async with unwrapped_errors() as captured, trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            with captured:
                yield stop, nursery
            nursery.cancel_scope.cancel()


async def ask_when_input_ends(stop: Stop) -> None:
    """Ask for a graceful stop when standard input closes, because the parent process has ended.

    Standard input is replaced first, so that no child process of a handler shares it.
    """
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    async with trio.lowlevel.FdStream(pipe) as stream:
        while await stream.receive_some():
            pass
    if not stop.asked.is_set():
        stop.ask()


def end_process(reason: str, status: int = 1) -> NoReturn:
    """End the process at once, whatever threads run, with the reason on standard error."""
    with suppress(OSError):  # the terminal may be gone
        print(f"rediq: {reason}", file=sys.stderr, flush=True)
    os._exit(status)
