"""Signals: hints that something changed, so that nobody has to poll.

A signal may be lost (when a connection breaks), arrive twice or arrive late; only the store tells
the state. A listener reads the store at the beginning and after each signal. `RESYNC` stands for
any signals that were lost.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Generator, Iterable
from contextlib import contextmanager

import attrs
import trio

UNREAD_SIGNALS_MAX = 256
"""Unread signals of one listener, at most. Further ones are replaced by a `RESYNC` of each of its
queues."""


class SignalKind(enum.StrEnum):
    """What a signal is about."""

    WAKE = "wake"
    """A task became ready, or tasks may be claimed again."""
    DUE = "due"
    """A task will be ready earlier than any that was known."""
    MAIL = "mail"
    """There are messages to other queues, or dependents to be notified."""
    TICK = "tick"
    """A schedule is new, or its next tick has changed."""
    GROUP = "group"
    """A group is new, or due earlier; `id` is the group's name."""
    CANCEL = "cancel"
    """An active task must be cancelled."""
    FLUSH = "flush"
    """All tasks of the queue were deleted."""
    DONE = "done"
    """A task with a waiter reached a terminal state, or was deleted."""
    PROGRESS = "progress"
    """A task with a waiter reported progress."""
    ORDER = "order"
    """A worker of the queue has an order to receive; `id` is that of its record."""
    RESYNC = "resync"
    """Signals may have been lost, or the subscription is new: read the store."""


@attrs.frozen
class Signal:
    """One hint that something changed."""

    queue: str
    kind: SignalKind
    id: str = ""
    """The id within the queue of the task that the signal is about; or the group's name, or the id
    of the worker's record."""


Topic = tuple[str, str]
"""A queue and the id of a task in it, or '' for the signals about the queue itself."""

TASK_SIGNALS = (SignalKind.DONE, SignalKind.PROGRESS)
"""Those about one task; the others are about a queue."""


@attrs.frozen(eq=False)
class _Listener:
    send: trio.MemorySendChannel[Signal]
    queues: frozenset[str]
    backlog: int

    def deliver(self, signal: Signal) -> None:
        # The buffer has room for the backlog and one RESYNC of each queue after it. While the
        # buffer is fuller than the backlog, those have not been read yet.
        waiting = self.send.statistics().current_buffer_used
        if waiting < self.backlog:
            self.send.send_nowait(signal)
        elif waiting == self.backlog:
            for queue in sorted(self.queues):
                self.send.send_nowait(Signal(queue, SignalKind.RESYNC))


class Broadcast:
    """Delivers each signal to the listeners of its topic. Owned by one store."""

    def __init__(self) -> None:
        self._listeners: dict[Topic, dict[_Listener, None]] = {}
        # Not sets: who is woken first must not depend on addresses.

    @contextmanager
    def listen(
        self, topics: Iterable[Topic], *, subscribed: Container[str]
    ) -> Generator[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts.

        Begins with a `RESYNC` for each queue in `subscribed`, whose signals arrive already. For
        the others, the store publishes one as soon as their signals arrive.
        """
        chosen = list(topics)
        queues = frozenset(queue for queue, _ in chosen)
        backlog = max(UNREAD_SIGNALS_MAX, len(queues))
        send, receive = trio.open_memory_channel[Signal](backlog + len(queues))
        listener = _Listener(send, queues, backlog)
        for topic in chosen:
            self._listeners.setdefault(topic, {})[listener] = None
        for queue in sorted(queues):
            if queue in subscribed:
                send.send_nowait(Signal(queue, SignalKind.RESYNC))
        try:
            yield receive
        finally:
            for topic in dict.fromkeys(chosen):
                self._listeners[topic].pop(listener, None)
                if not self._listeners[topic]:
                    del self._listeners[topic]
            send.close()
            receive.close()

    def publish(self, signal: Signal) -> None:
        """Deliver a signal to its listeners; never blocks."""
        if signal.kind is SignalKind.RESYNC:
            topics = [topic for topic in self._listeners if topic[0] == signal.queue]
        elif signal.kind in TASK_SIGNALS:
            topics = [(signal.queue, signal.id)]
        else:
            topics = [(signal.queue, "")]
        found = dict.fromkeys(each for topic in topics for each in self._listeners.get(topic, ()))
        for listener in found:
            listener.deliver(signal)
