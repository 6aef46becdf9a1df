"""Calls that a server cuts off for their size.

A server that does not take an argument of some size answers with an error and closes the connection,
while most of the argument is still on its way. The error often arrives after the reset that this
causes, and is lost; then the call looks like any other that met a broken connection, and would be
sent for ever. So the size is announced once more, without the argument, to hear the answer.
"""

from __future__ import annotations

import asyncio

import redis.exceptions

from rediq_trio.store.redis.connection.address import RedisNode
from rediq_trio.store.redis.connection.calls import PendingCall
from rediq_trio.store.redis.connection.connection import (
    BROKEN_ERRORS,
    CONNECT_ERRORS,
    disconnect,
    pack,
    read,
    write,
)
from rediq_trio.store.redis.connection.replies import (
    LARGE_COMMAND,
    describe_call,
    is_size_error,
    line_of,
    too_large,
)
from rediq_trio.store.redis.connection.topology import Topology

SIZE_REFUSED_WITHIN = 1.0
"""Seconds in which a server refuses the size of an argument that is announced to it."""


async def refuse_too_large(calls: list[PendingCall], topology: Topology, node: RedisNode) -> None:
    """Refuse the calls that a server cuts off for their size, and remove them from the list."""
    for call in list(calls):
        size = max((len(arg) for arg in call.command if isinstance(arg, bytes)), default=0)
        if size >= LARGE_COMMAND and (line := await _size_refusal(size, topology, node)):
            calls.remove(call)
            what = describe_call(call.script, call.key)
            call.refuse(too_large(what, len(pack(call.command)), line))


async def _size_refusal(size: int, topology: Topology, node: RedisNode) -> str:
    """Return what the server says of an argument of that many bytes; '' if it takes it."""
    try:
        connection = await topology.connect(node)
    except CONNECT_ERRORS:
        return ""
    try:
        # A server that takes the argument waits for it.
        write(connection, [b"*2\r\n$4\r\nECHO\r\n$%d\r\n" % size])
        async with asyncio.timeout(SIZE_REFUSED_WITHIN):
            await read(connection)
    except redis.exceptions.ResponseError as error:
        return line_of(error) if is_size_error(line_of(error)) else ""
    except BROKEN_ERRORS:
        pass  # a timeout, or another cut, says nothing about the size
    finally:
        await disconnect(connection)
    return ""
