"""Stop: what the signals have asked for. Only the command line listens to signals."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import NoReturn

import attrs
import trio

from rediq_trio._nursery import held_back


@attrs.define(eq=False)
class Stop:
    """The first signal asks for a graceful stop, the second for one now."""

    asked: trio.Event = attrs.field(factory=trio.Event)
    now: trio.Event = attrs.field(factory=trio.Event)

    def ask(self) -> None:
        """Ask for a stop; the second time: for one now."""
        (self.now if self.asked.is_set() else self.asked).set()


@asynccontextmanager
async def stop_signals() -> AsyncGenerator[tuple[Stop, trio.Nursery]]:
    """Turn SIGTERM and SIGINT into a `Stop`, for as long as the block lasts.

    Meanwhile there is no `KeyboardInterrupt`, which could hit any actor anywhere. The
    nursery is for what reacts to the stop; it is cancelled at the end of the block.
    """
    stop = Stop()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

        async def listen() -> None:
            async for _ in signals:
                stop.ask()

        async with held_back() as hold, trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            with hold:
                yield stop, nursery
            nursery.cancel_scope.cancel()


async def ask_when_input_ends(stop: Stop) -> None:
    """Ask for a graceful stop when standard input closes: whoever started this process is gone.

    The input is taken away first, so that no handler's own child process shares it.
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
    """End the process at once, threads or not, with the reason on standard error."""
    print(f"rediq: {reason}", file=sys.stderr, flush=True)
    os._exit(status)
