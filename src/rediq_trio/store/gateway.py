"""The gateway: the one module that knows redis-py and trio-asyncio.

Two actors, each with a connection of its own on the gateway's asyncio loop:

- the pump takes every command that waits in the inbox, sends them in one trip,
  and answers each caller. Crossing between Trio and asyncio costs tens of
  microseconds, so it happens once per trip, not once per command;
- the ear subscribes to the queues' channels and hands signals to listeners.

Callers never touch asyncio: they wait as Trio tasks, and one that is cancelled
just stops waiting, so no cancellation can tear a connection. redis-py's own
retries are off (a repeated script may run twice, and only the caller knows what
that means), and so are its timeouts (an `asyncio.timeout` around every reply
costs more than the reply); one deadline holds for each trip instead.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import random
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import unquote, urlsplit

import attrs
import hiredis
import outcome
import redis.exceptions
import trio
import trio_asyncio
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from rediq_trio._errors import ConfigError, ConnectionLost, RediqError
from rediq_trio._nursery import held_back
from rediq_trio.spec.stored import unpack_id
from rediq_trio.store.broadcast import Broadcast, Kind, Signal, Topic
from rediq_trio.store.keys import Keys
from rediq_trio.store.rights import LINES, is_refusal, missing_right
from rediq_trio.store.scripts import Script
from rediq_trio.store.tls import settle_tls, unreachable
from rediq_trio.store.urls import redacted

log = logging.getLogger("rediq_trio")

TRIP_COMMANDS = 512
"""Commands that one trip may carry."""
TRIP_DEADLINE = 10.0
"""Seconds a trip may take before its connection is given up."""
PATIENCE = 5.0
"""Seconds a command may wait, unsent, for a connection."""
CONNECT_DEADLINE = 5.0
"""Seconds one attempt to connect may take."""
LONGEST_PAUSE = 2.0
"""Seconds: the longest wait between attempts to connect, before jitter."""
DEAF_PAUSE = 10.0
"""Seconds before a user who may not subscribe tries again."""
EAR_PING = 5.0
"""Seconds between pings on a connection that otherwise only listens."""

_INIT = inspect.signature(AbstractConnection.__init__)  # pyright: ignore  (typed in part)
_UNNAMED: dict[str, None] = dict.fromkeys(
    ["driver_info"] if "driver_info" in _INIT.parameters else ["lib_name", "lib_version"]
)
"""Keeps redis-py from telling its name, which takes a right of its own, and a trip."""

_BROKEN = (OSError, EOFError, TimeoutError, redis.exceptions.ConnectionError, redis.exceptions.TimeoutError)
_NOT_NOW = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "OOM", "BUSY", "NOREPLICAS")
"""Error replies that pass by themselves: the command was refused, nothing was applied."""
_NOT_ALLOWED = ("NOAUTH", "WRONGPASS")


@attrs.frozen
class Address:
    """A Redis server, as redis-py wants it named."""

    connection_class: Any = attrs.field(repr=False)
    arguments: dict[str, Any] = attrs.field(repr=False)
    """May hold a password."""
    shown: str

    @property
    def secure(self) -> bool:
        """Whether it is spoken to by TLS."""
        return issubclass(self.connection_class, SSLConnection)

    def __str__(self) -> str:
        return self.shown


def parse_address(url: str) -> Address:
    """Parse a `redis://`, `rediss://` or `unix://` URL; raise `ConfigError` for a bad one."""
    shown = str(redacted(url))
    bad, path, arguments = "", "", dict[str, Any]()
    try:
        parts = urlsplit(url)
        _, path = parts.port, unquote(parts.path)  # raises for a port that is none
        arguments = dict(parse_url(url))
        settle_tls(url, arguments, shown)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        bad = type(error).__name__
    if bad:
        # Behind the handler: the error there quotes the URL, and would be this one's context.
        raise ConfigError(f"url={shown!r}: cannot be read as a Redis URL ({bad})")
    if url.startswith("unix:") and not path:
        raise ConfigError.of("url", shown, "unix:// and the path of a socket")
    return Address(arguments.pop("connection_class", Connection), arguments, shown)


_pack = cast("Callable[[tuple[Any, ...]], bytes]", hiredis.pack_command)  # pyright: ignore  (typed in part)
"""hiredis's packer: redis-py's own wraps it and costs four times as much per command."""

P = ParamSpec("P")
R = TypeVar("R")


def _across(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Make an asyncio function callable from Trio, inside the gateway's loop."""
    crossing: Callable[P, Awaitable[R]] = trio_asyncio.aio_as_trio(call)  # pyright: ignore  (untyped)
    return crossing


class ReplyError(RediqError):
    """An error reply of the server that has no name of its own here."""


@attrs.define(eq=False)
class _Call:
    command: tuple[Any, ...]
    script: Script | None
    born: float
    waiter: trio.lowlevel.Task | None

    def answer(self, result: Any) -> None:
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter, outcome.Value(result))
            self.waiter = None

    def refuse(self, error: BaseException) -> None:
        if self.waiter is not None:
            trio.lowlevel.reschedule(self.waiter, outcome.Error(error))
            self.waiter = None


def _is_refusal(error: BaseException) -> bool:
    # redis-py wraps it where it connects.
    refusal = redis.exceptions.AuthenticationError
    return isinstance(error, refusal) or isinstance(error.__cause__, refusal)


def _translated(
    error: redis.exceptions.ResponseError, script: Script | None = None
) -> RediqError:
    text = str(error)
    # redis-py cuts the code off the errors that it has a class for.
    name = {"ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM", "NoPermissionError": "NOPERM"}.get(
        type(error).__name__, ""
    )
    said = f"{name} {text}".strip()
    # Redis 6.2 puts its own words around the error of a script's command.
    if said.startswith(_NOT_NOW) or any(f": -{code} " in said for code in _NOT_NOW):
        return ConnectionLost(f"Redis cannot take commands now: {said}", sent=False)
    if is_refusal(said):
        right = missing_right(said, script.source if script else "")
        return ConfigError(f"Redis refused the command: the user lacks the right {right}; {LINES} ({said})")
    if said.startswith(_NOT_ALLOWED):
        return ConfigError(f"Redis refused the command: {said}; check user, password and ACL")
    return ReplyError(said)


class Gateway:
    """The way to one Redis server. Made by `open_gateway`."""

    def __init__(self, address: Address, keys: Keys) -> None:
        self._address = address
        self._keys = keys
        self._inbox: deque[_Call] = deque()
        self._arrived = asyncio.Event()
        self._broadcast = Broadcast()
        self._wanted: set[str] = set()
        self._heard: set[str] = set()
        self._more_wanted = asyncio.Event()
        self._switch = trio.CancelScope(shield=True)
        self.connected = trio.Event()
        """Set when the first connection is there."""
        self._closed = False
        self._secure = weakref.WeakSet[asyncio.WriteTransport]()
        """The transports that speak TLS; some may be closed by now."""

    async def serve(self) -> None:
        """Connect, set `connected`, and run both actors until `close`."""
        # The shield ends with `close`. Until the gateway is connected, it lasts no longer
        # than CONNECT_DEADLINE.
        with self._switch:
            async with trio_asyncio.open_loop():  # pyright: ignore  (untyped)
                try:
                    async with trio.open_nursery() as nursery:
                        await self._begin(nursery)
                finally:
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                        # Without the shield, sockets would be left open when the loop is gone.
                        await _across(self._hang_up)()

    async def _begin(self, nursery: trio.Nursery) -> None:
        try:
            connection = await _across(self.connect)()
        except (*_BROKEN, redis.exceptions.RedisError) as error:
            if _is_refusal(error):
                raise ConfigError(f"{self._address} refused the user or password: {error}") from None
            secure = self._address.secure
            raise unreachable(self._address.shown, error, secure=secure) from error
        nursery.start_soon(_across(self.pump), connection)
        nursery.start_soon(self.run_ear)
        self.connected.set()

    async def _hang_up(self) -> None:
        # TLS takes leave of its peer before it closes, which the loop's end would cut short.
        for transport in list(self._secure):
            transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)

    def close(self) -> None:
        """End both actors; calls that wait are refused."""
        self._switch.cancel()

    # --- the callers' side: Trio

    async def call(self, *command: Any) -> Any:
        """Send one command and give its reply.

        Raises `ConnectionLost`, `ConfigError` (not permitted) or `ReplyError`.
        When cancelled, the command may or may not be carried out.
        """
        return await self._wait(command, None)

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> Any:
        """Run a script and give its reply; as `call`."""
        return await self._wait((b"EVALSHA", script.sha, len(keys), *keys, *args), script)

    async def _wait(self, command: tuple[Any, ...], script: Script | None) -> Any:
        if self._closed:
            raise ConnectionLost("the client is closed", sent=False)
        task = trio.lowlevel.current_task()
        call = _Call(command, script, trio.current_time(), task)
        self._inbox.append(call)
        self._arrived.set()

        def abort(_: object) -> trio.lowlevel.Abort:
            call.waiter = None
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        """Receive the signals of these topics while the block lasts."""
        chosen = list(topics)
        new = {queue for queue, _ in chosen} - self._wanted
        if new:
            self._wanted |= new
            self._more_wanted.set()
        return self._broadcast.listen(chosen, heard=self._heard)

    # --- the pump: asyncio

    async def connect(self) -> Connection:
        """Open a connection; raise what redis-py raises."""
        connection: Connection = self._address.connection_class(
            **self._address.arguments,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_DEADLINE,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            health_check_interval=0,
            decode_responses=False,
            protocol=2,
            redis_connect_func=self._greet,
            **_UNNAMED,
        )
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it so
        except BaseException:
            await _drop(connection)
            raise
        return connection

    async def _greet(self, connection: Connection) -> None:
        if self._address.secure and connection._writer is not None:
            self._secure.add(connection._writer.transport)
        await connection.on_connect()
        # A server that refuses a client's certificate, or speaks TLS where none is expected,
        # says so only when something is read.
        await connection.send_packed_command(_pack((b"PING",)), check_health=False)
        try:
            await self._read(connection, math.inf)
        except redis.exceptions.AuthenticationError:
            raise
        except redis.exceptions.ResponseError:
            pass  # it is there, and the commands to come say what is wrong

    async def pump(self, connection: Connection | None) -> None:
        """Carry trips, from one connection to the next, until cancelled."""
        failures = 0
        try:
            while True:
                if connection is None:
                    try:
                        connection = await self.connect()
                    except (*_BROKEN, redis.exceptions.RedisError) as error:
                        self._refuse_impatient(error)
                        failures += 1
                        await asyncio.sleep(_pause(failures))
                        continue
                if await self._trip(connection):
                    failures = 0
                else:
                    connection = None
        finally:
            if connection is not None:
                await _drop(connection)
            self._closed = True
            while self._inbox:
                self._inbox.popleft().refuse(ConnectionLost("the client is closed", sent=False))

    async def _trip(self, connection: Connection) -> bool:
        """Carry what waits; say whether the connection still serves."""
        if not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        calls: list[_Call] = []
        packed: list[bytes] = []
        while self._inbox and len(calls) < TRIP_COMMANDS:
            call = self._inbox.popleft()
            if call.waiter is None:
                continue  # it was cancelled before it was sent
            try:
                packed.append(_pack(call.command))
            except (TypeError, ValueError) as error:
                call.refuse(ConfigError(f"an argument cannot be sent: {error}"))
            else:
                calls.append(call)
        if not calls:
            return True
        answered = 0
        again: list[_Call] = []
        try:
            async with asyncio.timeout(TRIP_DEADLINE):
                await connection.send_packed_command(packed, check_health=False)
                for call in calls:
                    if not await self._receive(connection, call):
                        again.append(call)
                    answered += 1
        except _BROKEN as error:
            for call in calls[answered:]:
                call.refuse(ConnectionLost(f"the connection to {self._address} broke: {error!r}"))
            await _drop(connection)
            return False
        except BaseException:
            for call in calls[answered:]:
                call.refuse(ConnectionLost("the client was closed under the call"))
            raise
        finally:
            # Ahead of what came since, in their order.
            self._inbox.extendleft(reversed(again))
        return True

    async def _receive(self, connection: Connection, call: _Call) -> bool:
        """Answer a call; say whether that was possible: a script may have to be sent whole."""
        try:
            reply = await self._read(connection, math.inf)
        except redis.exceptions.NoScriptError:
            assert call.script is not None
            call.command = (b"EVAL", call.script.source, *call.command[2:])
            return False
        except redis.exceptions.ResponseError as error:
            call.refuse(_translated(error, call.script))
        except redis.exceptions.BusyLoadingError as error:
            call.refuse(ConnectionLost(f"Redis cannot take commands now: {error}", sent=False))
        else:
            call.answer(reply)
        return True

    async def _read(self, connection: Connection, seconds: float) -> Any:
        read: Any = connection.read_response  # typed in part only
        return await read(disable_decoding=True, timeout=seconds)

    def _refuse_impatient(self, error: Exception) -> None:
        latest = trio.current_time() - PATIENCE
        while self._inbox and self._inbox[0].born <= latest:
            message = f"no connection to {self._address} for {PATIENCE:g} s: {error}"
            self._inbox.popleft().refuse(ConnectionLost(message, sent=False))

    # --- the ear: asyncio, two coroutines on one connection

    async def run_ear(self) -> None:
        """Subscribe and hand out signals, from one connection to the next, until cancelled."""
        failures = 0
        while True:
            self._heard.clear()
            if not self._wanted:
                await _across(self._wait_wanted)()
            try:
                connection = await _across(self.connect)()
            except (*_BROKEN, redis.exceptions.RedisError):
                failures += 1
                await trio.sleep(_pause(failures))
                continue
            failures = 0
            deaf: RediqError | None = None
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_across(self._subscribe), connection)
                    await _across(self._hear)(connection)
            except* redis.exceptions.NoPermissionError as refused:
                deaf = _translated(refused.exceptions[0])  # type: ignore[arg-type]
            except* (*_BROKEN, redis.exceptions.RedisError):
                pass
            finally:
                self._heard.clear()
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    # Without the shield a cancelled ear would leak its socket.
                    await _across(_drop)(connection)
            if deaf is not None:
                log.error("no signal can be heard, and everything comes late: %s", deaf)
                await trio.sleep(DEAF_PAUSE)

    async def _wait_wanted(self) -> None:
        while not self._wanted:
            self._more_wanted.clear()
            await self._more_wanted.wait()

    async def _subscribe(self, connection: Connection) -> None:
        asked: set[str] = set()
        while True:
            self._more_wanted.clear()
            new = sorted(self._wanted - asked)
            channels = [self._keys.channel(queue) for queue in new]
            command = ("SUBSCRIBE", *channels) if channels else ("PING",)
            await connection.send_packed_command(connection.pack_command(*command), check_health=False)
            asked.update(new)
            try:
                async with asyncio.timeout(EAR_PING):
                    await self._more_wanted.wait()
            except TimeoutError:
                pass

    async def _hear(self, connection: Connection) -> None:
        while True:
            reply = await self._read(connection, EAR_PING + TRIP_DEADLINE)
            kind, *rest = cast("list[bytes]", reply)
            if kind == b"subscribe":
                queue = self._keys.queue_of(rest[0].decode())
                self._heard.add(queue)
                self._broadcast.publish(Signal(queue, Kind.RESYNC))
            elif kind == b"message":
                self._broadcast.publish(_signal(self._keys.queue_of(rest[0].decode()), rest[1]))


def _signal(queue: str, message: bytes) -> Signal:
    kind, _, task_id = message.partition(b":")
    try:
        return Signal(queue, Kind(kind.decode()), unpack_id(task_id))
    except ValueError:
        # A newer version may say what this one does not know: look at the truth.
        return Signal(queue, Kind.RESYNC)


def _pause(failures: int) -> float:
    return min(LONGEST_PAUSE, 0.05 * 2.0 ** min(failures, 10)) * random.uniform(0.5, 1.0)


async def _drop(connection: Connection) -> None:
    try:
        await connection.disconnect(nowait=True)
    except (*_BROKEN, redis.exceptions.RedisError):
        pass  # it is going away in any case


@asynccontextmanager
async def open_gateway(address: Address, keys: Keys) -> AsyncGenerator[Gateway]:
    """Connect and give a running gateway; close it behind the block.

    Raises `ConnectionLost` when the server cannot be reached and `ConfigError`
    when it refuses the user. An exception of the block leaves as it was raised.
    When the surrounding scope is cancelled the gateway serves on until the block
    is left: whoever cleans up in there still needs it.
    """
    async with held_back() as hold, trio.open_nursery() as nursery:
        gateway = Gateway(address, keys)
        # Not `nursery.start`: cancelled, it would wait for the gateway, which is shielded.
        nursery.start_soon(gateway.serve)
        with hold:
            await gateway.connected.wait()
            yield gateway
        gateway.close()
