"""Signals: hints that something changed, so that nobody has to poll.

A signal may be lost (a connection breaks), come twice or come late; the truth
is in the store. Whoever listens looks at the truth first and again after each
signal, and `RESYNC` stands for whatever was lost.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Generator, Iterable
from contextlib import contextmanager

import attrs
import trio

BACKLOG = 256
"""Unread signals that one listener may have; on more, it gets a `RESYNC` of each of its
queues in their place."""


class Kind(enum.StrEnum):
    """What a signal says."""

    WAKE = "wake"
    """A task became ready, or claims are allowed again."""
    DUE = "due"
    """A task will be ready sooner than was known."""
    MAIL = "mail"
    """Messages to other queues, or tasks that wait for others, are to be told."""
    TICK = "tick"
    """A schedule is new, or ticks at other times than was known."""
    GROUP = "group"
    """A group is new, or due sooner than was known; named in place of a task."""
    CANCEL = "cancel"
    """An active task is to be cancelled."""
    FLUSH = "flush"
    """All tasks of the queue are gone."""
    DONE = "done"
    """A task that someone waits for reached a terminal state, or was deleted."""
    PROGRESS = "progress"
    """A task that someone waits for reported progress."""
    RESYNC = "resync"
    """Signals may have been lost, or listening has just begun: look at the truth."""


@attrs.frozen
class Signal:
    """One hint."""

    queue: str
    kind: Kind
    id: str = ""
    """The task's id within the queue, where the signal is about one task, or the group's name."""


Topic = tuple[str, str]
"""A queue and the id of a task in it; '' for the signals about the queue itself."""

_ABOUT_TASKS = (Kind.DONE, Kind.PROGRESS)


@attrs.frozen(eq=False)
class _Listener:
    send: trio.MemorySendChannel[Signal]
    queues: frozenset[str]
    backlog: int

    def hand(self, signal: Signal) -> None:
        # Behind the backlog there is room for one RESYNC of each queue, and they are the
        # last to be read: while the buffer is fuller than the backlog, all of them wait.
        waiting = self.send.statistics().current_buffer_used
        if waiting < self.backlog:
            self.send.send_nowait(signal)
        elif waiting == self.backlog:
            for queue in sorted(self.queues):
                self.send.send_nowait(Signal(queue, Kind.RESYNC))


class Broadcast:
    """Hands each signal to those who listen to its topic. Owned by one store."""

    def __init__(self) -> None:
        self._listeners: dict[Topic, set[_Listener]] = {}

    @contextmanager
    def listen(
        self, topics: Iterable[Topic], *, heard: Container[str]
    ) -> Generator[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts.

        Begins with a `RESYNC` for each queue in `heard`, those whose signals
        arrive already; the store publishes one for the others once they do.
        """
        chosen = list(topics)
        queues = frozenset(queue for queue, _ in chosen)
        backlog = max(BACKLOG, len(queues))
        send, receive = trio.open_memory_channel[Signal](backlog + len(queues))
        listener = _Listener(send, queues, backlog)
        for topic in chosen:
            self._listeners.setdefault(topic, set()).add(listener)
        for queue in sorted(queues):
            if queue in heard:
                send.send_nowait(Signal(queue, Kind.RESYNC))
        try:
            yield receive
        finally:
            for topic in set(chosen):
                self._listeners[topic].discard(listener)
                if not self._listeners[topic]:
                    del self._listeners[topic]
            send.close()
            receive.close()

    def publish(self, signal: Signal) -> None:
        """Hand a signal out; never blocks."""
        if signal.kind is Kind.RESYNC:
            heard = [t for t in self._listeners if t[0] == signal.queue]
        elif signal.kind in _ABOUT_TASKS:
            heard = [(signal.queue, signal.id)]
        else:
            heard = [(signal.queue, "")]
        for listener in {each for topic in heard for each in self._listeners.get(topic, ())}:
            listener.hand(signal)
