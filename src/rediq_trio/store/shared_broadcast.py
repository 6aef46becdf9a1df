"""SharedBroadcast: a broadcast whose listeners may be in several Trio programs, each in its thread.

A Trio channel belongs to one `trio.run`. So each run has a broadcast of its own, and a signal goes to
all of them: at once to that of the publisher, and through Trio's entry queue to the others.
"""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable
from contextlib import contextmanager

import trio

from rediq_trio.store.broadcast import Broadcast, Signal, Topic


class SharedBroadcast:
    """Delivers each signal to the listeners of its topic, in all runs. Owned by one store."""

    def __init__(self) -> None:
        self._broadcasts: dict[trio.lowlevel.TrioToken, Broadcast] = {}

    @contextmanager
    def listen(
        self, topics: Iterable[Topic], *, subscribed: Container[str]
    ) -> Generator[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts, as `Broadcast.listen` does."""
        here = trio.lowlevel.current_trio_token()
        broadcast = self._broadcasts.setdefault(here, Broadcast())
        with broadcast.listen(topics, subscribed=subscribed) as signals:
            yield signals

    def publish(self, signal: Signal) -> None:
        """Deliver a signal to its listeners; never blocks."""
        here = trio.lowlevel.current_trio_token()
        for token, broadcast in tuple(self._broadcasts.items()):
            if token is here:
                broadcast.publish(signal)
                continue
            try:
                token.run_sync_soon(broadcast.publish, signal)
            except trio.RunFinishedError:
                self._broadcasts.pop(token, None)
