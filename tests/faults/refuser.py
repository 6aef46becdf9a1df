"""The refuser: stands on the wire before a real server, and answers chosen commands with an error.

It passes one command after the other and waits for each reply, so that what it answers itself is in
its place. A connection that has subscribed is passed on as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha1
from pathlib import Path

import attrs
import trio

CHUNK = 65_536
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)
CLOSING = "Protocol error"
"""An error after which a server closes the connection."""


@attrs.define(eq=False)
class Refuser:
    """The way to one server. Made by `open_refuser`."""

    server: str
    """The server's socket."""
    url: str
    """Its own address."""
    names: Mapping[str, str]
    """The scripts' names by their hashes."""
    refused: str = ""
    """The command that is refused: the name of a script or of a command; '' for none."""
    line: str = ""
    """The error that it is answered with."""
    loses: set[str] = attrs.field(factory=set[str])
    """Commands whose next reply is lost with its connection, after the server has carried them out."""
    sent: Counter[str] = attrs.field(factory=Counter[str])
    """How often each command came."""
    refusals: int = 0
    _open: set[trio.CancelScope] = attrs.field(factory=set)

    def drop(self) -> None:
        """Close all connections."""
        for scope in self._open:
            scope.cancel()

    async def relay(self, client: trio.SocketStream) -> None:
        """Relay one connection until either side ends it."""
        server = await trio.open_unix_socket(self.server)
        async with client, server:
            with trio.CancelScope() as scope:
                self._open.add(scope)
                try:
                    await self._relay(client, server)
                except BROKEN:
                    pass  # one side is gone, and the other is closed with it
                finally:
                    self._open.discard(scope)

    async def _relay(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        buffer, replies = bytearray(), bytearray()
        async for data in client:
            buffer += data
            while (end := _end(buffer, 0)) is not None:
                command = bytes(buffer[:end])
                del buffer[:end]
                name = self._name(command)
                self.sent[name] += 1
                if name == self.refused:
                    self.refusals += 1
                    await client.send_all(b"-%s\r\n" % self.line.encode())
                    if CLOSING in self.line:
                        return
                    continue
                await server.send_all(command)
                if name == "SUBSCRIBE":
                    await _pass_all(client, server, bytes(buffer))
                    return
                reply = await _reply(server, replies)
                if name in self.loses:
                    self.loses.discard(name)
                    return
                await client.send_all(reply)

    def _name(self, command: bytes) -> str:
        words = command.split(b"\r\n", 7)
        name = words[2].decode().upper()
        if name == "EVALSHA":
            return self.names.get(words[4].decode(), name)
        if name == "EVAL":
            size = int(words[3][1:])
            start = len(b"\r\n".join(words[:4])) + 2
            source = command[start : start + size]
            return self.names.get(sha1(source, usedforsecurity=False).hexdigest(), name)
        return name


async def _pass_all(client: trio.SocketStream, server: trio.SocketStream, first: bytes) -> None:
    async def pump(source: trio.SocketStream, target: trio.SocketStream) -> None:
        try:
            async for data in source:
                await target.send_all(data)
        except BROKEN:
            pass  # the other direction ends with this one
        nursery.cancel_scope.cancel()

    await server.send_all(first)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump, client, server)
        nursery.start_soon(pump, server, client)


async def _reply(server: trio.SocketStream, buffer: bytearray) -> bytes:
    while (end := _end(buffer, 0)) is None:
        data = await server.receive_some(CHUNK)
        if not data:
            raise trio.BrokenResourceError
        buffer += data
    reply = bytes(buffer[:end])
    del buffer[:end]
    return reply


def _end(buffer: bytes | bytearray, at: int) -> int | None:
    """Return where the value that begins at `at` ends; None while it is not whole.

    From the specification of the protocol: https://redis.io/docs/latest/develop/reference/protocol-spec
    """
    line_end = buffer.find(b"\r\n", at)
    if line_end < 0:
        return None
    kind, after = buffer[at : at + 1], line_end + 2
    if kind not in (b"*", b"$"):
        return after
    size = int(buffer[at + 1 : line_end])
    if kind == b"$":
        end = after + max(size + 2, 0)
        return end if end <= len(buffer) else None
    for _ in range(size):
        found = _end(buffer, after)
        if found is None:
            return None
        after = found
    return after


@asynccontextmanager
async def open_refuser(
    path: Path, server: str, names: Mapping[str, str]
) -> AsyncGenerator[Refuser]:
    """Stand on the wire at a socket of that path while the block lasts."""
    refuser = Refuser(server, f"unix://{path}", names)
    with trio.socket.socket(trio.socket.AF_UNIX) as listening:
        await listening.bind(str(path))
        listening.listen(10)
        async with trio.open_nursery() as nursery:
            listeners = [trio.SocketListener(listening)]
            nursery.start_soon(trio.serve_listeners, refuser.relay, listeners)
            try:
                yield refuser
            finally:
                nursery.cancel_scope.cancel()
