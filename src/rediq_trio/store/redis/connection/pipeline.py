"""A line: the way to one server. Its pump takes every call that waits in the inbox, sends
them in one trip, and answers each caller.

Crossing between Trio and asyncio costs tens of microseconds, so it happens once per trip,
not once per command. redis-py's own retries are off (a repeated script may run twice, and
only the caller knows what that means), and so are its timeouts (an `asyncio.timeout` around
every reply costs more than the reply); one deadline holds for each trip instead.

Where writes are to be more than answered, `WAIT` or `WAITAOF` ends the trip: it holds for all
that came before it on the connection, and on the server.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import redis.exceptions
import trio
from redis.asyncio.connection import Connection

from rediq_trio._errors import ConfigError, ConnectionLost, Unconfirmed
from rediq_trio.store.redis.connection.address import Node
from rediq_trio.store.redis.connection.calls import Call, Load
from rediq_trio.store.redis.connection.confirming import Confirming
from rediq_trio.store.redis.connection.connection import (
    BROKEN,
    FAILED,
    abort,
    drop,
    pack,
    pause,
    read,
    translated,
    write,
)
from rediq_trio.store.redis.connection.deadline import Deadline

TRIP_COMMANDS = 512
"""Commands that one trip may carry."""
PATIENCE = 5.0
"""Seconds a command may wait, unsent, for a connection."""
MAX_HOPS = 16
"""Times that a Cluster may send a command on to another node."""

_ASKING = (b"ASKING",)


@attrs.frozen
class Ways:
    """What a line needs of the gateway."""

    dial: Callable[[Node], Awaitable[Connection]]
    elsewhere: Callable[[Call, redis.exceptions.ResponseError], bool]
    """Takes a call that the server sent on, or put off; says whether it did."""
    failed: Callable[[Node], None]
    """Hears that the server cannot be reached, or refused to be the right one."""


class Line:
    """The way to one server; `pump` is its actor."""

    def __init__(
        self, node: Node, shown: str, ways: Ways, confirming: Confirming | None, deadline: float
    ) -> None:
        self.node = node
        self.inbox: deque[Call] = deque()
        self.connection: Connection | None = None
        self._shown = shown
        self._ways = ways
        self._confirming = confirming
        self._deadline = deadline
        self._arrived = asyncio.Event()
        self._limit = Deadline(self._miss)
        self._overdue = False
        self._stale = False
        self._is_idle = False
        """Whether the pump waits for a call."""
        self._is_quiet = True
        """Whether the last trip had one call only."""
        self._ahead: Call | None = None
        """A call that was sent before the pump woke up."""

    def put(self, call: Call) -> None:
        """Take a call; never blocks.

        Where calls come one by one it is sent at once: the pump wakes up while the server is at
        it already. Where they come in crowds it waits for the others.
        """
        if not (self._is_idle and self._is_quiet and self._sent_ahead(call)):
            self.inbox.append(call)
        self._arrived.set()

    def _sent_ahead(self, call: Call) -> bool:
        if self.connection is None or self._stale or self._confirming or self.inbox or call.asking:
            return False
        try:
            packed = pack(call.command)
            write(self.connection, [packed])
        except (TypeError, ValueError, OSError):
            return False  # the pump refuses it, or finds the connection broken
        self._is_idle = False
        self._ahead = call
        return True

    def hang_up(self) -> None:
        """Give the connection up; a trip under way is broken off."""
        self._stale = True
        if self._limit.is_set or self._ahead is not None:
            self._break_off()
        self._arrived.set()

    def refuse_all(self, message: str) -> None:
        """Refuse the calls that wait."""
        while self.inbox:
            self.inbox.popleft().refuse(ConnectionLost(message, sent=False))

    async def pump(self) -> None:
        """Carry trips, from one connection to the next, until cancelled."""
        failures = 0
        try:
            while True:
                if not self.inbox:
                    self._arrived.clear()
                    self._is_idle = True
                    await self._arrived.wait()
                    self._is_idle = False
                if self._ahead is not None:
                    assert self.connection is not None
                    ahead, self._ahead = self._ahead, None
                    if not await self._exchange(self.connection, [], [ahead], None):
                        await self._hung_up()
                    continue
                if self._stale:
                    await self._hung_up()
                if not self.inbox:
                    continue
                if self.connection is None:
                    try:
                        self.connection = await self._ways.dial(self.node)
                    except FAILED as error:
                        self._ways.failed(self.node)
                        self._refuse_impatient(error)
                        failures += 1
                        await asyncio.sleep(pause(failures))
                        continue
                if await self._trip(self.connection):
                    failures = 0
                else:
                    await self._hung_up()
        finally:
            self._is_idle = False
            self._limit.stop()
            if self._ahead is not None:
                self._ahead.refuse(ConnectionLost("the client was closed under the call"))
            await self._hung_up()

    def _miss(self) -> None:
        self._overdue = True
        self._break_off()

    def _break_off(self) -> None:
        """Cut the connection under the trip, which then ends as if the server had."""
        if self.connection is not None:
            abort(self.connection)

    async def _hung_up(self) -> None:
        self._stale = False
        connection, self.connection = self.connection, None
        if connection is not None:
            await drop(connection)

    async def _trip(self, connection: Connection) -> bool:
        """Carry what waits; say whether the connection still serves."""
        calls, packed = self._load()
        if not calls:
            return True
        confirming = self._confirming
        if confirming and not any(call.confirm for call in calls):
            confirming = None
        if confirming:
            packed.append(pack(confirming.command))
        return await self._exchange(connection, packed, calls, confirming)

    async def _exchange(
        self,
        connection: Connection,
        packed: list[bytes],
        calls: list[Call],
        confirming: Confirming | None,
    ) -> bool:
        """Send what was not sent ahead, and hand over the replies; say whether it still serves."""
        answered = 0
        again: list[Call] = []
        written: list[tuple[Call, Any]] = []
        self._overdue = False
        self._limit.set(self._deadline)
        try:
            if packed:
                # What the kernel does not take at once the loop sends on while replies are read.
                write(connection, packed)
            for call in calls:
                await self._receive(connection, call, again, written if confirming else None)
                answered += 1
            if confirming and not confirming.settle(written, await self._confirmed(connection)):
                # A master that lost its replicas may be one no more.
                self._ways.failed(self.node)
        except BROKEN as error:
            why = f"no answer for {self._deadline:g} s" if self._overdue else repr(error)
            lost = ConnectionLost(f"the connection to {self._shown} broke: {why}")
            for call in (*calls[answered:], *(call for call, _ in written)):
                call.refuse(lost)
            self._ways.failed(self.node)
            return False
        except BaseException:
            for call in (*calls[answered:], *(call for call, _ in written)):
                call.refuse(ConnectionLost("the client was closed under the call"))
            raise
        finally:
            self._limit.clear()
            # Ahead of what came since, in their order.
            self.inbox.extendleft(reversed(again))
        return not self._stale

    def _load(self) -> tuple[list[Call], list[bytes]]:
        load = Load()
        inbox = self.inbox
        left = TRIP_COMMANDS
        while inbox and left:
            call = inbox.popleft()
            if call.is_awaited:  # else it was cancelled before it was sent
                load.take(call)
                left -= 1
        self._is_quiet = left >= TRIP_COMMANDS - 1
        calls: list[Call] = []
        packed: list[bytes] = []
        for call in load.calls():
            try:
                command = pack(call.command)
            except (TypeError, ValueError) as error:
                call.refuse(ConfigError(f"an argument cannot be sent: {error}"))
                continue
            if call.asking:
                packed.append(pack(_ASKING))
            packed.append(command)
            calls.append(call)
        return calls, packed

    async def _receive(
        self,
        connection: Connection,
        call: Call,
        again: list[Call],
        written: list[tuple[Call, Any]] | None,
    ) -> None:
        """Read a reply and hand it over; a call that is to be sent once more is put into `again`."""
        try:
            if call.asking:
                call.asking = False
                await read(connection, math.inf)
            reply = await read(connection, math.inf)
        except redis.exceptions.NoScriptError:
            assert call.script is not None
            call.command = (b"EVAL", call.script.source, *call.command[2:])
            again.append(call)
        except redis.exceptions.ResponseError as error:
            if isinstance(error, redis.exceptions.ReadOnlyError):
                # It is a replica now: the next connection leads to the master.
                self._stale = True
                self._ways.failed(self.node)
            if not self._ways.elsewhere(call, error):
                call.refuse(translated(error, call.script))
        except redis.exceptions.BusyLoadingError as error:
            call.refuse(ConnectionLost(f"Redis cannot take commands now: {error}", sent=False))
        else:
            if written is not None and call.confirm:
                written.append((call, reply))
            else:
                call.answer(reply)

    async def _confirmed(self, connection: Connection) -> Any:
        try:
            return await read(connection, math.inf)
        except redis.exceptions.ResponseError as error:
            return Unconfirmed(f"the server cannot confirm writes: {error}")

    def _refuse_impatient(self, error: Exception) -> None:
        latest = trio.current_time() - PATIENCE
        while self.inbox and self.inbox[0].born <= latest:
            message = f"no connection to {self._shown} for {PATIENCE:g} s: {error}"
            self.inbox.popleft().refuse(ConnectionLost(message, sent=False))
