"""Connections of redis-py, without its retries and timeouts."""

from __future__ import annotations

import asyncio
import inspect
import math
import selectors
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import hiredis
import redis.exceptions
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rediq_trio.store.redis.connection.address import Address, RedisNode
from rediq_trio.store.redis.connection.replies import ReplyParser, set_connected
from rediq_trio.store.redis.connection.timeouts import CONNECT_TIMEOUT
from rediq_trio.values.chance import uniform

RECONNECT_DELAY_MAX = 2.0
"""Seconds between two attempts to connect, at most, before jitter."""

_CONNECTION_INIT = inspect.signature(AbstractConnection.__init__)  # pyright: ignore  (typed in part)
_WITHOUT_CLIENT_INFO: dict[str, None] = dict.fromkeys(
    ["driver_info"] if "driver_info" in _CONNECTION_INIT.parameters else ["lib_name", "lib_version"]
)
"""Keeps redis-py from sending its name, which needs a permission and a round trip of its own."""

BROKEN_ERRORS = (
    OSError, EOFError, TimeoutError, redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
)  # fmt: skip
"""What a connection raises that is unusable from then on."""
CONNECT_ERRORS = (*BROKEN_ERRORS, redis.exceptions.RedisError)
"""What an attempt to connect may raise."""
pack = cast("Callable[[tuple[Any, ...]], bytes]", hiredis.pack_command)  # pyright: ignore  (typed in part)
"""hiredis' packer. redis-py's own wraps it, and takes four times as long for a command."""


def is_login_error(error: BaseException) -> bool:
    """Return whether the server refused the user or password."""
    # redis-py wraps the error while it connects.
    refusal = redis.exceptions.AuthenticationError
    return isinstance(error, refusal) or isinstance(error.__cause__, refusal)


class Connector:
    """Connects to the servers of one address, and closes what must be closed before the loop."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._secure = weakref.WeakSet[asyncio.WriteTransport]()
        """The transports with TLS; some may be closed already."""

    async def connect(self, node: RedisNode, *, sentinel: bool = False) -> Connection:
        """Open a connection; raise one of `CONNECT_ERRORS`."""
        address = self.address
        arguments = address.sentinel_arguments if sentinel else address.arguments
        where: dict[str, Any] = {"host": node.host, "port": node.port} if node.host else {}
        connection: Connection = address.connection_class(
            **{**arguments, **where, **_WITHOUT_CLIENT_INFO},
            socket_timeout=None,
            socket_connect_timeout=CONNECT_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            health_check_interval=0,
            decode_responses=False,
            protocol=2,
            parser_class=ReplyParser,
            redis_connect_func=self._on_connect,
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it so
        except BaseException:
            await disconnect(connection)
            raise
        set_connected(connection._parser)
        return connection

    async def _on_connect(self, connection: Connection) -> None:
        if self.address.secure and connection._writer is not None:
            self._secure.add(connection._writer.transport)
        await connection.on_connect()
        # A server that refuses a client's certificate, or expects TLS where there is none,
        # shows it only when something is read.
        await send(connection, (b"PING",))
        try:
            await read(connection)
        except redis.exceptions.AuthenticationError:
            raise
        except redis.exceptions.ResponseError:
            pass  # the server is there; the next commands raise what is wrong

    async def close(self) -> None:
        """Close the TLS transports, whose closing handshake the end of the loop would cut short."""
        for transport in list(self._secure):
            # Until Python 3.11.4 a transport that was closed twice has no protocol to abort.
            with suppress(AttributeError):
                transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)


def write(connection: Connection, packed: list[bytes]) -> None:
    """Write packed commands to a connection, without waiting; raise `OSError` if it is closed.

    redis-py's own function waits until everything is sent, for which a caller who waits for the
    reply has no need. If the connection breaks meanwhile, reading the reply raises.
    """
    writer = connection._writer
    if writer is None:
        raise BrokenPipeError("the connection is closed")
    writer.writelines(packed)


def is_closed(connection: Connection) -> bool:
    """Return whether a connection is known to be closed, by either side."""
    reader, writer = connection._reader, connection._writer
    if reader is None or writer is None or writer.transport.is_closing():
        return True
    return reader.at_eof() or reader.exception() is not None


def has_input(connection: Connection) -> bool:
    """Return whether something has arrived that nobody has read; only the end can, between calls.

    The loop may not have seen it yet.
    """
    writer = connection._writer
    socket = None if writer is None else writer.transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(socket, selectors.EVENT_READ)
        return bool(selector.select(0))


def abort(connection: Connection) -> None:
    """Abort a connection: a task that reads from it, or waits to write, gets an error."""
    writer = connection._writer
    if writer is not None:
        # Until Python 3.11.4 a TLS transport that was closed has nothing to abort.
        with suppress(AttributeError):
            writer.transport.abort()


async def disconnect(connection: Connection) -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.disconnect(nowait=True)
    except CONNECT_ERRORS:
        pass  # it is closed in any case


async def send(connection: Connection, *commands: tuple[Any, ...]) -> None:
    """Send commands; the caller must read their replies, in order.

    Raises one of `BROKEN_ERRORS` if the connection is closed.
    """
    writer = connection._writer
    if writer is not None and writer.transport.is_closing():
        # In Python 3.12 and later, a closed transport may raise AttributeError.
        raise BrokenPipeError("the connection is closed")
    await connection.send_packed_command(
        [pack(command) for command in commands], check_health=False
    )


async def read(connection: Connection) -> Any:
    """Read a reply, however long it takes."""
    read_response: Any = connection.read_response  # typed in part only
    return await read_response(disable_decoding=True, timeout=math.inf)


async def request(connection: Connection, *command: Any, timeout: float = CONNECT_TIMEOUT) -> Any:
    """Send one command and return its reply."""
    async with asyncio.timeout(timeout):
        await send(connection, command)
        return await read(connection)


def reconnect_delay(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: exponential, with jitter."""
    return min(RECONNECT_DELAY_MAX, 0.05 * 2.0 ** min(failures, 10)) * uniform(0.5, 1.0)
