"""The store as one host sees it: through a connection that can be slow, cut and lossy.

All calls of a host go through one connection, first in, first out. A call belongs to the network and
not to its caller: it arrives although the caller was cancelled, frozen or killed meanwhile. Each call
takes effect in one step of the memory store, at the instant at which it arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Literal, ParamSpec, TypeVar

import attrs
import outcome
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.operations import Operation
from rediq_trio.store.broadcast import UNREAD_SIGNALS_MAX, Signal, SignalKind, Topic
from rediq_trio.store.port import READS, WRITES, Store, implements_store
from rediq_trio.testing.effects import Effect
from rediq_trio.testing.simulated.store import SignalBoard
from rediq_trio.testing.world import Host

P = ParamSpec("P")
A = TypeVar("A")
S = TypeVar("S", bound=type)

HANG = 10.0
"""Seconds after which a call is given up whose connection hangs."""
REFUSED_AFTER = 0.01
"""Seconds after which a call fails whose connection is refused."""

SpoilKind = Literal["lose_call", "lose_answer", "late", "delay", "kill", "freeze"]


@attrs.frozen
class Spoil:
    """What befalls one effect.

    `lose_call`: it never happens. `late`: its caller gets an error, and it happens `seconds` later.
    `lose_answer`: it happens, and its caller gets an error. `delay`: its answer comes `seconds` later.
    `kill`: it happens, and its host is dead. `freeze`: it happens, and its host stands still for
    `seconds`.
    """

    kind: SpoilKind
    seconds: float = 0.0


@attrs.define(eq=False)
class WireCall:
    """One call on its way."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    task: trio.lowlevel.Task | None
    """Who waits; None when the caller has gone or has its answer."""


class WireListener:
    """Brings the signals of some topics over the connection of one host."""

    def __init__(
        self, wire: Wire, send: trio.MemorySendChannel[Signal], queues: frozenset[str]
    ) -> None:
        self._wire = wire
        self._send = send
        self._queues = queues
        self._backlog = max(UNREAD_SIGNALS_MAX, len(queues))

    def deliver(self, signal: Signal) -> None:
        """Send a signal on its way; it is lost while the connection is cut."""
        if self._wire.connected:
            self._wire.send_down(lambda: self._arrive(signal))

    def _arrive(self, signal: Signal) -> None:
        if not self._wire.connected:
            return
        try:
            waiting = self._send.statistics().current_buffer_used
            if waiting < self._backlog:
                self._send.send_nowait(signal)
            elif waiting == self._backlog:
                self.resync()
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # the listener has gone

    def resync(self) -> None:
        """Announce that signals may have been lost."""
        with_room = self._send.statistics().current_buffer_used <= self._backlog
        for queue in sorted(self._queues) if with_room else ():
            self._send.send_nowait(Signal(queue, SignalKind.RESYNC))


class Link:
    """What a `Wire` needs of the network that it belongs to."""

    board: SignalBoard

    def latency(self, host: Host) -> float:
        """Return the seconds that a message of the host takes."""
        raise NotImplementedError

    def apply(
        self, host: Host, call: WireCall
    ) -> tuple[outcome.Outcome[Any], Effect | None, Spoil | None]:
        """Apply a call; return its answer, the effect if it has one, and what befalls it."""
        raise NotImplementedError

    def befall(self, host: Host, spoil: Spoil) -> None:
        """Kill or freeze a host."""
        raise NotImplementedError


def _carried(name: str) -> Callable[..., Any]:
    async def call(self: Wire, /, *args: Any, **kwargs: Any) -> Any:
        return await self._call(name, args, kwargs)

    call.__name__ = call.__qualname__ = name
    return call


def _carries_what_is_no_operation(kind: S) -> S:
    for name in READS.keys() | WRITES.keys():
        setattr(kind, name, _carried(name))
    return implements_store(kind)


@_carries_what_is_no_operation
class Wire(Store):
    """The store over the connection of one host."""

    def __init__(self, host: Host, link: Link) -> None:
        self.host = host
        self._link = link
        self._clock = host.world.clock
        self._flying: dict[WireCall, None] = {}
        self._listeners: dict[WireListener, list[Topic]] = {}
        self._cut_until = 0.0
        self._hangs = False
        self._last_up = self._last_down = 0.0

    @property
    def unconfirmed(self) -> int:
        return 0

    @property
    def connected(self) -> bool:
        """Whether messages get through."""
        return self._cut_until <= self._clock.time and self.host.state != "dead"

    @property
    def busy(self) -> bool:
        """Whether a call is on its way."""
        return bool(self._flying)

    async def _do(
        self, operation: Operation[P, A], queue: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> A:
        found: A = await self._call(operation.name, (queue, *args), dict(kwargs))
        return found

    async def _call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.host.world.over:
            await trio.lowlevel.checkpoint()
            raise ConnectionLost("the simulation is over", sent=False)
        call = WireCall(name, args, kwargs, trio.lowlevel.current_task())
        if self._cut_until > self._clock.time:
            wait = HANG if self._hangs else REFUSED_AFTER
            self._clock.at(self._clock.time + wait, lambda: self._fail(call, sent=False))
        else:
            self._flying[call] = None
            self._last_up = max(self._last_up, self._clock.time + self._link.latency(self.host))
            self._clock.at(self._last_up, lambda: self._arrive(call))

        def abort(_: object) -> trio.lowlevel.Abort:
            call.task = None  # the call goes on without its caller
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    def send_down(self, arrive: Callable[[], object], extra: float = 0.0) -> None:
        """Send something to the host, after all that was sent before."""
        latency = self._link.latency(self.host) + extra
        self._last_down = max(self._last_down, self._clock.time + latency)
        self._clock.at(self._last_down, arrive)

    def _arrive(self, call: WireCall) -> None:
        if call not in self._flying:
            return  # the connection broke before
        answer, _, spoil = self._link.apply(self.host, call)
        kind = None if spoil is None else spoil.kind
        seconds = 0.0 if spoil is None else spoil.seconds
        if kind in ("lose_call", "lose_answer", "late"):
            if kind == "late":
                later = self._clock.time + seconds
                self._clock.at(later, lambda: self._link.apply(self.host, call))
            self.cut(0.0)
            return
        self.send_down(lambda: self._answer(call, answer), seconds if kind == "delay" else 0.0)
        if spoil is not None and kind in ("kill", "freeze"):
            self._link.befall(self.host, spoil)

    def _answer(self, call: WireCall, answer: outcome.Outcome[Any]) -> None:
        if call in self._flying:
            del self._flying[call]
            self._wake(call, answer)

    def _fail(self, call: WireCall, *, sent: bool = True) -> None:
        self._flying.pop(call, None)
        self._wake(call, outcome.Error(ConnectionLost(f"{call.name}: simulated", sent=sent)))

    def _wake(self, call: WireCall, answer: outcome.Outcome[Any]) -> None:
        task, call.task = call.task, None
        if task is not None:
            trio.lowlevel.reschedule(task, answer)

    def cut(self, seconds: float, *, hangs: bool = False) -> None:
        """Break the connection for some seconds: no call on its way gets an answer.

        Calls of that time fail at once; with `hangs`, after 10 s. Signals of that time are lost, and
        each listener reads the store again afterwards.
        """
        for call in tuple(self._flying):
            self._fail(call)
        if self._clock.time + seconds >= self._cut_until:
            self._cut_until = self._clock.time + seconds
            self._hangs = hangs
        self._clock.at(self._cut_until, self._reconnected)

    def reconnect(self) -> None:
        """End a cut now."""
        self._cut_until = min(self._cut_until, self._clock.time)
        self._reconnected()

    def _reconnected(self) -> None:
        if self.connected:
            for listener in self._listeners:
                listener.resync()

    def die(self) -> None:
        """Note that the host is dead: what it has sent arrives, nothing comes back."""
        for listener, topics in self._listeners.items():
            self._link.board.remove(listener, topics)
        self._listeners.clear()

    @contextmanager
    def listen(self, topics: Iterable[Topic]) -> Generator[trio.MemoryReceiveChannel[Signal]]:
        chosen = list(dict.fromkeys(topics))
        queues = frozenset(queue for queue, _ in chosen)
        room = max(UNREAD_SIGNALS_MAX, len(queues)) + len(queues)
        send, receive = trio.open_memory_channel[Signal](room)
        listener = WireListener(self, send, queues)
        self._listeners[listener] = chosen
        self._link.board.add(listener, chosen)
        listener.resync()
        try:
            yield receive
        finally:
            self._listeners.pop(listener, None)
            self._link.board.remove(listener, chosen)
            send.close()
            receive.close()
