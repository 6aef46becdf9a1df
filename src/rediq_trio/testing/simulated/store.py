"""The memory store of a simulation: each call is one step, and the past is kept for a failover."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Coroutine, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import attrs
import outcome
import trio

from rediq_trio.spec.records import QueueState
from rediq_trio.store.broadcast import TASK_SIGNALS, Signal, SignalKind, Topic
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.shared_broadcast import SharedBroadcast

KEPT_PAST_MAX = 60.0
"""Seconds of the past to which a failover can go back."""


class SignalReceiver(Protocol):
    """What the board delivers signals to."""

    def deliver(self, signal: Signal) -> None:
        """Take a signal; never blocks."""


class SignalBoard(SharedBroadcast):
    """Delivers each signal to the listeners of its topic, in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self._receivers: dict[Topic, dict[SignalReceiver, None]] = {}
        self.held: list[Signal] | None = None
        """Signals that wait until it is known whether their step happens; None to wait for none."""

    def add(self, receiver: SignalReceiver, topics: Iterable[Topic]) -> None:
        """Deliver the signals of these topics from now on."""
        for topic in topics:
            self._receivers.setdefault(topic, {})[receiver] = None

    def remove(self, receiver: SignalReceiver, topics: Iterable[Topic]) -> None:
        """Deliver no more of these topics."""
        for topic in topics:
            if topic in self._receivers:
                self._receivers[topic].pop(receiver, None)
                if not self._receivers[topic]:
                    del self._receivers[topic]

    def publish(self, signal: Signal) -> None:
        """Deliver a signal, or hold it back."""
        if self.held is not None:
            self.held.append(signal)
            return
        if signal.kind is SignalKind.RESYNC:
            topics = [topic for topic in self._receivers if topic[0] == signal.queue]
        else:
            about_task = signal.kind in TASK_SIGNALS
            topics = [(signal.queue, signal.id if about_task else "")]
        chosen = {each: None for topic in topics for each in self._receivers.get(topic, ())}
        for receiver in chosen:
            receiver.deliver(signal)

    @contextmanager
    def listen(
        self, topics: Iterable[Topic], *, subscribed: Container[str]
    ) -> Generator[trio.MemoryReceiveChannel[Signal]]:
        """Refuse: listeners of a simulation are behind a wire."""
        raise NotImplementedError("listen through a Wire")
        yield


@attrs.frozen
class StorePast:
    """All that the store had at an instant."""

    at: float
    values: Mapping[str, Any]


class SimStore(MemoryStore):
    """The specification as a store, whose calls are made at once."""

    def __init__(self, clock: Callable[[], int], now: Callable[[], float]) -> None:
        super().__init__(clock)
        self._now = now
        self.board = self._broadcast = SignalBoard()
        self._past: deque[StorePast] = deque()

    @staticmethod
    async def _checkpoint() -> None:
        """Do not wait: the network has waited."""

    def call(
        self, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> outcome.Outcome[Any]:
        """Make a call, and return its answer or its error."""
        coroutine: Coroutine[Any, Any, Any] = getattr(self, name)(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return outcome.Value(stop.value)
        except Exception as error:
            return outcome.Error(error)
        coroutine.close()
        raise AssertionError(f"{name} of the memory store waited")

    def queue_state(self, queue: str) -> QueueState:
        """Return a queue as the specification's value."""
        return self._queues.get(queue, QueueState())

    @property
    def queue_states(self) -> Mapping[str, QueueState]:
        """All queues, by name."""
        return self._queues

    def past(self) -> StorePast:
        """Return all that the store has now. Its values are never changed, so only tables are copied."""
        return StorePast(
            self._now(),
            {
                "_queues": dict(self._queues),
                "_names": set(self._names),
                "_partitions": dict(self._partitions),
                "_logbooks": dict(self._logbooks),
                "_workflows": self._workflows,
                "_sizes": self._sizes,
                "_workers": self._workers.copy(),
            },
        )

    def restore(self, past: StorePast) -> None:
        """Go back to what the store had."""
        values = dict(past.values)
        for name in ("_queues", "_partitions", "_logbooks"):
            values[name] = dict(values[name])
        values["_names"] = set(values["_names"])
        values["_workers"] = values["_workers"].copy()
        vars(self).update(values)

    def keep_past(self) -> None:
        """Keep what the store has now, for a failover."""
        self._past.append(self.past())
        while self._past and self._past[0].at < self._now() - KEPT_PAST_MAX:
            self._past.popleft()

    def fail_over(self, lost: float) -> None:
        """Go back to what the store had `lost` seconds ago."""
        since = self._now() - lost
        while len(self._past) > 1 and self._past[-1].at > since:
            self._past.pop()
        if self._past and self._past[-1].at <= since:
            self.restore(self._past[-1])
