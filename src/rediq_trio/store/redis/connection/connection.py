"""The wire: connections of redis-py without its own retries and timeouts, and what their errors mean."""

from __future__ import annotations

import asyncio
import inspect
import math
import random
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar, cast

import hiredis
import redis.exceptions
import trio_asyncio
from redis.asyncio.connection import AbstractConnection, Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rediq_trio._errors import ConfigError, ConnectionLost, RediqError
from rediq_trio.store.redis.connection import acl
from rediq_trio.store.redis.connection.address import Address, Node
from rediq_trio.store.redis.scripts import Script

CONNECT_DEADLINE = 5.0
"""Seconds one attempt to connect may take."""
LONGEST_PAUSE = 2.0
"""Seconds: the longest wait between attempts to connect, before jitter."""

_INIT = inspect.signature(AbstractConnection.__init__)  # pyright: ignore  (typed in part)
_UNNAMED: dict[str, None] = dict.fromkeys(
    ["driver_info"] if "driver_info" in _INIT.parameters else ["lib_name", "lib_version"]
)
"""Keeps redis-py from telling its name, which takes a right of its own, and a trip."""

BROKEN = (OSError, EOFError, TimeoutError, redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
"""What a connection that is of no use any more raises."""
FAILED = (*BROKEN, redis.exceptions.RedisError)
"""What an attempt to connect may raise."""
_NOT_NOW = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "BUSY", "NOREPLICAS")
"""Error replies that pass by themselves: the command was refused, nothing was applied."""
_HALF_MOVED = "access a non local key"
_NOT_ALLOWED = ("NOAUTH", "WRONGPASS")
_CODES = {
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "NoPermissionError": "NOPERM",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "TryAgainError": "TRYAGAIN",
    "MovedError": "MOVED",
    "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT",
}
"""redis-py cuts the code off the errors that it has a class for."""

pack = cast("Callable[[tuple[Any, ...]], bytes]", hiredis.pack_command)  # pyright: ignore  (typed in part)
"""hiredis's packer: redis-py's own wraps it and costs four times as much per command."""

P = ParamSpec("P")
R = TypeVar("R")


def across(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Make an asyncio function callable from Trio, inside the gateway's loop."""
    crossing: Callable[P, Awaitable[R]] = trio_asyncio.aio_as_trio(call)  # pyright: ignore  (untyped)
    return crossing


class ReplyError(RediqError):
    """An error reply of the server that has no name of its own here."""


def is_refusal(error: BaseException) -> bool:
    """Say whether the server refused the user."""
    # redis-py wraps it where it connects.
    refusal = redis.exceptions.AuthenticationError
    return isinstance(error, refusal) or isinstance(error.__cause__, refusal)


def translated(
    error: redis.exceptions.ResponseError, script: Script | None = None
) -> RediqError:
    """Give our error for an error reply, to a script if it was one."""
    said = f"{_CODES.get(type(error).__name__, '')} {error}".strip()
    # Redis 6.2 puts its own words around the error of a script's command.
    if said.startswith(_NOT_NOW) or any(f": -{code} " in said for code in _NOT_NOW):
        return ConnectionLost(f"Redis cannot take commands now: {said}", sent=False)
    if _HALF_MOVED in said:
        # The script met a key that its slot has lost on the way: it may have been carried out in part.
        return ConnectionLost(f"a slot of the Cluster moves: {said}")
    if acl.is_refusal(said):
        right = acl.missing_right(said, script.source if script else "")
        return ConfigError(
            f"Redis refused the command: the user lacks the right {right}; {acl.LINES} ({said})"
        )
    if said.startswith(_NOT_ALLOWED):
        return ConfigError(f"Redis refused the command: {said}; check user, password and ACL")
    if said.startswith("MOVED"):
        return ConfigError(
            "the server is a node of a Cluster: connect to it as redis+cluster://host:port,host:port"
        )
    return ReplyError(said)


class Dialer:
    """Connects to the servers of one address, and knows what is to be closed before the loop is."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._secure = weakref.WeakSet[asyncio.WriteTransport]()
        """The transports that speak TLS; some may be closed by now."""

    async def dial(self, node: Node, *, sentinel: bool = False) -> Connection:
        """Open a connection; raise one of `FAILED`."""
        address = self.address
        arguments = address.sentinel_arguments if sentinel else address.arguments
        where: dict[str, Any] = {"host": node.host, "port": node.port} if node.host else {}
        connection: Connection = address.connection_class(
            **{**arguments, **where, **_UNNAMED},
            socket_timeout=None,
            socket_connect_timeout=CONNECT_DEADLINE,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            health_check_interval=0,
            decode_responses=False,
            protocol=2,
            redis_connect_func=self._greet,
        )
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it so
        except BaseException:
            await drop(connection)
            raise
        return connection

    async def _greet(self, connection: Connection) -> None:
        if self.address.secure and connection._writer is not None:
            self._secure.add(connection._writer.transport)
        await connection.on_connect()
        # A server that refuses a client's certificate, or speaks TLS where none is expected,
        # says so only when something is read.
        await send(connection, (b"PING",))
        try:
            await read(connection, math.inf)
        except redis.exceptions.AuthenticationError:
            raise
        except redis.exceptions.ResponseError:
            pass  # it is there, and the commands to come say what is wrong

    async def hang_up(self) -> None:
        """Close what the end of the loop would cut short: TLS takes leave of its peer."""
        for transport in list(self._secure):
            # Until Python 3.11.4 one that was closed twice has no protocol to abort any more.
            with suppress(AttributeError):
                transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)


def write(connection: Connection, packed: list[bytes]) -> None:
    """Give packed commands to a connection, without a wait; raise `OSError` when it was closed.

    redis-py's own way waits until the last of it is on its way, which whoever waits for the
    reply need not. That it breaks meanwhile shows where the reply is read.
    """
    writer = connection._writer
    if writer is None:
        raise BrokenPipeError("the connection is closed")
    writer.writelines(packed)


def abort(connection: Connection) -> None:
    """Cut a connection: who reads from it, or waits to write, finds it broken."""
    writer = connection._writer
    if writer is not None:
        # Until Python 3.11.4 a TLS transport that was closed has nothing to abort any more.
        with suppress(AttributeError):
            writer.transport.abort()


async def drop(connection: Connection) -> None:
    """Give a connection up."""
    try:
        await connection.disconnect(nowait=True)
    except FAILED:
        pass  # it is going away in any case


async def send(connection: Connection, *commands: tuple[Any, ...]) -> None:
    """Send commands; their replies are to be read, in order."""
    await connection.send_packed_command([pack(command) for command in commands], check_health=False)


async def read(connection: Connection, seconds: float) -> Any:
    """Read a reply; raise `TimeoutError` when none comes in time."""
    read_response: Any = connection.read_response  # typed in part only
    if seconds == math.inf:
        return await read_response(disable_decoding=True, timeout=math.inf)
    # redis-py's own timeout gives None, as if that were the reply.
    async with asyncio.timeout(seconds):
        return await read_response(disable_decoding=True, timeout=math.inf)


async def ask(connection: Connection, *command: Any, within: float = CONNECT_DEADLINE) -> Any:
    """Send one command and give its reply."""
    async with asyncio.timeout(within):
        await send(connection, command)
        return await read(connection, within)


def pause(failures: int) -> float:
    """Give the seconds to wait after so many failures in a row."""
    return min(LONGEST_PAUSE, 0.05 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)
