"""A TCP proxy that can do to connections what networks do.

Each connection is two pumps, one for each direction. What a fault does, it does to the
connections that there are and to those that come, until it is lifted:

- `drop`: reset the connections that there are, now;
- `delay`: hold what passes back for a while, in each direction;
- `stall`: let nothing pass, and let it pass later: what a healed partition does, which
  loses nothing that the ends do not give up;
- `swallow`: lose what passes, in one direction or both, and keep the socket open. A stream
  with a hole in it is never mended: `mend` resets what was swallowed from;
- `refuse`: take no connection;
- `lose_replies`: let the next requests through, wait for their replies, and reset the
  connection in their place: they were carried out, and the caller cannot know.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import attrs
import trio

from rediq_trio._errors.nursery import unwrapped_errors

CHUNK = 65_536
"""Bytes that pass at once."""
SETTLED = 0.02
"""Seconds of silence after which a server has replied to all that it was sent."""

Way = Literal["up", "down"]
"""To the server, or from it."""
_RESET = struct.pack("ii", 1, 0)


@attrs.define(eq=False)
class _Pair:
    """One connection: the client's end and the server's."""

    client: trio.SocketStream
    server: trio.SocketStream
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    holed: bool = False
    """Bytes of it were swallowed."""
    lost: bool = False
    """It is one of those that will never pass anything again."""
    listens: bool = False
    """It has subscribed: what comes down is no reply."""
    doomed: bool = False
    """Its next replies are to be lost."""

    def reset(self) -> None:
        for stream in (self.client, self.server):
            try:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError as error:
                if error.errno not in (errno.EBADF, errno.EINVAL):
                    raise
        self.scope.cancel()


@attrs.define(eq=False)
class Proxy:
    """A proxy before one server. Made by `run_proxy`."""

    host: str
    """The server's."""
    upstream: int
    port: int = 0
    """Its own, on loopback."""
    delay: float = 0.0
    """Seconds by which each chunk is held back."""
    swallows: frozenset[Way] = frozenset()
    passed: int = 0
    """Bytes that went through, both ways."""
    lost_replies: int = 0
    """Connections whose replies were lost."""
    _pairs: set[_Pair] = attrs.field(factory=set)
    _to_lose: int = 0
    _open: trio.Event = attrs.field(factory=trio.Event)
    _listening: trio.CancelScope | None = None
    _refusing: trio.Event | None = None

    def connections(self) -> int:
        """Count the connections that there are."""
        return len(self._pairs)

    def drop(self, share: float = 1.0) -> int:
        """Reset connections, all or the given share of them; return how many."""
        chosen = sorted(self._pairs, key=id)
        chosen = chosen[: max(1, round(len(chosen) * share))] if chosen else []
        for pair in chosen:
            pair.reset()
        return len(chosen)

    def stall(self) -> None:
        """Hold back all traffic until `flow`."""
        if self._open.is_set():
            self._open = trio.Event()

    def flow(self) -> None:
        """Pass on what was held back."""
        self._open.set()

    def swallow(self, *ways: Way) -> None:
        """Lose what passes these ways, until `mend`."""
        self.swallows = frozenset(ways)

    def mend(self) -> None:
        """Swallow no more; reset the connections that were swallowed from."""
        self.swallows = frozenset()
        for pair in list(self._pairs):
            if pair.holed:
                pair.reset()

    def vanish(self) -> int:
        """Stop passing on anything on the open connections, for good; return how many there are."""
        for pair in self._pairs:
            pair.lost = True
        return len(self._pairs)

    def vanished(self) -> int:
        """Count the connections that vanished and whose client has not given up yet.

        One that only listens does not count: its client misses nothing but a hurry.
        """
        return sum(pair.lost and not pair.listens for pair in self._pairs)

    def lose_replies(self, count: int = 1) -> None:
        """Lose the replies to the next script calls of so many connections."""
        self._to_lose = count

    def refuse(self) -> None:
        """Take no more connections until `admit`; those that there are go on."""
        if self._refusing is None:
            self._refusing = trio.Event()
            if self._listening is not None:
                self._listening.cancel()

    def enqueue_promised(self) -> None:
        """Take connections again."""
        if self._refusing is not None:
            self._refusing.set()
            self._refusing = None

    def calm(self) -> None:
        """Lift every fault."""
        self.delay = 0.0
        self._to_lose = 0
        self.flow()
        self.enqueue_promised()
        self.mend()

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen, and carry connections, until cancelled."""
        self._open.set()
        async with trio.open_nursery() as nursery:
            started = False
            while True:
                (listener,) = await trio.open_tcp_listeners(
                    self.port, host="127.0.0.1", backlog=128
                )
                self.port = listener.socket.getsockname()[1]
                if not started:
                    task_status.started()
                    started = True
                with trio.CancelScope() as self._listening:
                    async with listener:
                        await self._accept(listener, nursery)
                if (refusing := self._refusing) is not None:
                    await refusing.wait()

    async def _accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError:
                continue  # whoever came has gone again
            nursery.start_soon(self._carry, stream)

    async def _carry(self, client: trio.SocketStream) -> None:
        async with client:
            try:
                server = await trio.open_tcp_stream(self.host, self.upstream)
            except OSError:
                return
            async with server:
                await self._carry_between(_Pair(client, server))

    async def _carry_between(self, pair: _Pair) -> None:
        self._pairs.add(pair)
        try:
            with pair.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, pair, "up")
                    nursery.start_soon(self._pump, pair, "down")
        finally:
            self._pairs.discard(pair)

    async def _pump(self, pair: _Pair, way: Way) -> None:
        source, sink = (pair.client, pair.server) if way == "up" else (pair.server, pair.client)
        try:
            while data := await source.receive_some(CHUNK):
                if not await self._passes(pair, way, data):
                    continue
                self.passed += len(data)
                await sink.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        if pair.lost:
            pair.reset()  # the one end has gone; the other is to see no orderly end
        pair.scope.cancel()

    async def _passes(self, pair: _Pair, way: Way, data: bytes) -> bool:
        """Apply the faults to a chunk; return whether to pass it on."""
        if self.delay:
            await trio.sleep(self.delay)
        while not self._open.is_set():
            await self._open.wait()
        if pair.lost:
            return False
        if way in self.swallows:
            pair.holed = True
            return False
        if way == "up":
            if b"SUBSCRIBE" in data:
                pair.listens = True
            if self._to_lose and not pair.listens and not pair.doomed and b"EVAL" in data:
                self._to_lose -= 1
                pair.doomed = True
        elif pair.doomed:
            await self._lose(pair)
            return False
        return True

    async def _lose(self, pair: _Pair) -> None:
        """Take the rest of the replies, until none comes; then reset the connection."""
        while True:
            with trio.move_on_after(SETTLED) as waited:
                if not await pair.server.receive_some(CHUNK):
                    break
            if waited.cancelled_caught:
                break
        self.lost_replies += 1
        pair.reset()


@asynccontextmanager
async def run_proxy(
    upstream: int, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[Proxy]:
    """Run a proxy before a server's port while the block lasts."""
    proxy = Proxy(host, upstream, port)
    async with unwrapped_errors() as hold, trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        with hold:
            yield proxy
        nursery.cancel_scope.cancel()
