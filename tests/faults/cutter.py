"""The cutter: stands on the wire between one program and a real server, and cuts at one command.

It counts the commands that come, whole, on whichever connection. At the one it was told it
closes the connection: before the command goes on to the server, or once the server has
applied it, with the reply thrown away. The program sees what it would see of a real cut.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path

import attrs
import hiredis
import trio

AT_LEISURE = {"PING"}
"""Commands that time alone sends: they are passed on and not counted."""


@attrs.frozen
class Cut:
    """Where a program is cut off from the server, and how."""

    at: float = math.inf
    """The number of the command, from 1."""
    applied: bool = False
    """Whether the server is to apply it first."""
    dies: bool = False
    """Whether the program dies of it: nothing that it sends later arrives."""

    def __str__(self) -> str:
        where = "behind" if self.applied else "before"
        return f"{'process' if self.dies else 'connection'} cut {where} command {self.at}"


@attrs.define(eq=False)
class Cutter:
    """One program's way to the server."""

    server: str
    """The server's socket."""
    names: Mapping[str, str]
    """The scripts' names by their hashes."""
    cut: Cut
    sent: list[str] = attrs.field(factory=list)
    """What was sent so far: names of scripts and of commands."""
    done: trio.Event = attrs.field(factory=trio.Event)
    """Set once it has cut."""
    _dead: bool = False
    _open: set[trio.CancelScope] = attrs.field(factory=set)

    async def relay(self, client: trio.SocketStream) -> None:
        """Relay one connection until either side, or the cut, ends it."""
        if self._dead:
            return
        server = await trio.open_unix_socket(self.server)
        async with server, trio.open_nursery() as nursery:
            self._open.add(nursery.cancel_scope)
            try:
                wire = _Wire(client, server)
                nursery.start_soon(wire.answer, self._close)
                await self._forward(wire)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # one side is gone: so is the other, in a moment
            finally:
                self._open.discard(nursery.cancel_scope)
                nursery.cancel_scope.cancel()

    async def _forward(self, wire: _Wire) -> None:
        buffer = bytearray()
        async for data in wire.client:
            buffer += data
            while (found := _command(buffer)) is not None:
                size, words = found
                command = bytes(buffer[:size])
                del buffer[:size]
                if not await self._pass(wire, command, self._name(words)):
                    return

    def _name(self, words: list[bytes]) -> str:
        name = words[0].decode().upper()
        if name == "EVALSHA":
            return self.names[words[1].decode()]
        if name == "EVAL":
            return f"EVAL {self.names[sha1(words[1], usedforsecurity=False).hexdigest()]}"
        return name

    async def _pass(self, wire: _Wire, command: bytes, name: str) -> bool:
        """Pass a command on; say whether the connection still stands."""
        here = False
        if name not in AT_LEISURE:
            self.sent.append(name)
            here = len(self.sent) == self.cut.at
        if here and not self.cut.applied:
            self._close()
            return False
        wire.expected += 1
        if here:
            wire.last = wire.expected
        await wire.server.send_all(command)
        if here:
            await trio.sleep_forever()  # until the reply is there, and all is closed
        return True

    def _close(self) -> None:
        self.done.set()
        self._dead = self.cut.dies
        for scope in self._open if self.cut.dies else ():
            scope.cancel()


@attrs.define(eq=False)
class _Wire:
    """One connection through the cutter."""

    client: trio.SocketStream
    server: trio.SocketStream
    expected: int = 0
    """Replies that are to come, from the first command on."""
    last: float = math.inf
    """The reply that is thrown away, and with it the connection."""
    _came: int = 0
    _reader: hiredis.Reader = attrs.field(factory=hiredis.Reader)

    async def answer(self, close: object) -> None:
        """Pass the server's answers on."""
        try:
            async for data in self.server:
                self._reader.feed(data)
                while self._reader.gets() is not False:
                    self._came += 1
                if self._came >= self.last:
                    assert callable(close)
                    close()
                    break
                await self.client.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await self.client.aclose()


def _command(buffer: bytearray) -> tuple[int, list[bytes]] | None:
    """Give the size of the first whole command, and its first two words; None for none yet."""
    end = buffer.find(b"\r\n")
    if end < 0:
        return None
    count, at = int(buffer[1:end]), end + 2
    words: list[bytes] = []
    for n in range(count):
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return None
        start = end + 2
        at = start + int(buffer[at + 1 : end]) + 2
        if at > len(buffer):
            return None
        if n < 2:
            words.append(bytes(buffer[start : at - 2]))
    return at, words


@asynccontextmanager
async def open_cutter(
    path: Path, server: str, names: Mapping[str, str], cut: Cut
) -> AsyncIterator[Cutter]:
    """Stand on the wire at a socket of that path while the block lasts."""
    cutter = Cutter(server, names, cut)
    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen(10)
        async with trio.open_nursery() as nursery:
            listeners = [trio.SocketListener(listening)]
            nursery.start_soon(trio.serve_listeners, cutter.relay, listeners)
            try:
                yield cutter
            finally:
                nursery.cancel_scope.cancel()
