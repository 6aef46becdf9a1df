"""A pipeline: sends the calls for one server, and answers each caller.

Its actor takes every call that waits in the inbox and sends them together, as Redis' pipelining
does: https://redis.io/docs/latest/develop/using-commands/pipelining. Crossing between Trio and
asyncio costs tens of microseconds, so it happens once per round trip, not once per command.

redis-py's own retries are off: a repeated script may run twice, and only the caller knows what
that means. So are its timeouts: an `asyncio.timeout` around every reply costs more than the reply.
One timeout bounds each round trip instead.

If writes must be confirmed, `WAIT` or `WAITAOF` is the last command of the round trip. It covers
every write before it, on this connection and on the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import redis.exceptions
import trio
from redis.asyncio.connection import Connection

from rediq_trio._errors import ConfigError, ConnectionLost, Unconfirmed
from rediq_trio.store.redis.connection.address import RedisNode
from rediq_trio.store.redis.connection.calls import PendingCall, PipelineBuilder
from rediq_trio.store.redis.connection.confirmer import WriteConfirmer
from rediq_trio.store.redis.connection.connection import (
    BROKEN_ERRORS,
    CONNECT_ERRORS,
    abort,
    disconnect,
    has_input,
    is_closed,
    pack,
    read,
    reconnect_delay,
    write,
)
from rediq_trio.store.redis.connection.deadline import Deadline
from rediq_trio.store.redis.connection.large_calls import refuse_too_large
from rediq_trio.store.redis.connection.replies import (
    closes_connection,
    is_size_error,
    line_of,
    needs_reconnect,
    reason_of,
    translate_error,
)
from rediq_trio.store.redis.connection.timeouts import UNSENT_WAIT_MAX
from rediq_trio.store.redis.connection.topology import Topology

PIPELINE_COMMANDS_MAX = 512
"""Commands of one round trip, at most."""
REDIRECTS_MAX = 16
"""Times that a Cluster may redirect a command."""

IDLE_UNCHECKED = 0.5
"""Seconds without a call after which a connection is looked at before it is used."""

_ASKING = (b"ASKING",)


class _ClosedByServer(Exception):
    """The server answered a call with an error after which it reads no further command."""


class Pipeline:
    """Sends calls to one server; `run` is its actor."""

    def __init__(
        self,
        node: RedisNode,
        shown: str,
        topology: Topology,
        redirect: Callable[[PendingCall, redis.exceptions.ResponseError], bool],
        confirmer: WriteConfirmer | None,
        response_timeout: float,
    ) -> None:
        self.node = node
        self.inbox: deque[PendingCall] = deque()
        self.connection: Connection | None = None
        self._shown = shown
        self._topology = topology
        self._redirect = redirect
        """Takes over a call that the server redirected or postponed; returns whether it did."""
        self._confirmer = confirmer
        self._response_timeout = response_timeout
        self._arrived = asyncio.Event()
        self._response_deadline = Deadline(self._time_out)
        self._timed_out = False
        self._is_stale = False
        self._used_at = trio.current_time()
        """When the last round trip ended."""
        self._is_idle = False
        """Whether the actor waits for a call."""
        self._is_quiet = True
        """Whether the last round trip had at most one call."""
        self._sent_early: PendingCall | None = None
        """A call that was sent before the actor woke up."""

    def put(self, call: PendingCall) -> None:
        """Take a call; never blocks.

        While calls come one at a time, the call is sent at once, and the server works on it
        before the actor has woken up. While many come together, it waits to be sent with them.
        """
        if not (self._is_idle and self._is_quiet and self._send_early(call)):
            self.inbox.append(call)
        self._arrived.set()

    def _send_early(self, call: PendingCall) -> bool:
        if (
            self.connection is None
            or self._is_stale
            or self._confirmer
            or self.inbox
            or call.asking
            or self._is_cut(self.connection)
        ):
            return False
        try:
            packed = pack(call.command)
            write(self.connection, [packed])
        except (TypeError, ValueError, OSError):
            return False  # the actor refuses the call, or finds that the connection is broken
        self._is_idle = False
        self._sent_early = call
        return True

    def _is_cut(self, connection: Connection) -> bool:
        """Return whether the server has closed the connection since the last call."""
        idle = trio.current_time() - self._used_at
        return is_closed(connection) or (idle > IDLE_UNCHECKED and has_input(connection))

    def reconnect(self) -> None:
        """Close the connection, which breaks off a round trip, and open another for the next call."""
        self._is_stale = True
        if self._response_deadline.is_set or self._sent_early is not None:
            self._abort()
        self._arrived.set()

    def refuse_all(self, message: str) -> None:
        """Refuse every call that waits."""
        while self.inbox:
            self.inbox.popleft().refuse(ConnectionLost(message, sent=False))

    async def run(self) -> None:
        """Make round trips, on one connection after the other, until cancelled."""
        failures = 0
        try:
            while True:
                if not self.inbox:
                    self._arrived.clear()
                    self._is_idle = True
                    await self._arrived.wait()
                    self._is_idle = False
                if self._sent_early is not None:
                    assert self.connection is not None
                    early, self._sent_early = self._sent_early, None
                    if not await self._exchange(self.connection, [], [early], None):
                        await self._close()
                    continue
                if self._is_stale or (
                    self.connection is not None and self._is_cut(self.connection)
                ):
                    await self._close()
                if not self.inbox:
                    continue
                if self.connection is None:
                    try:
                        self.connection = await self._topology.connect(self.node)
                    except CONNECT_ERRORS as error:
                        self._topology.refresh_soon()
                        self._refuse_expired(error)
                        failures += 1
                        await asyncio.sleep(reconnect_delay(failures))
                        continue
                if await self._round_trip(self.connection):
                    failures = 0
                else:
                    await self._close()
        finally:
            self._is_idle = False
            self._response_deadline.stop()
            if self._sent_early is not None:
                self._sent_early.refuse(ConnectionLost("the client was closed under the call"))
            await self._close()

    def _time_out(self) -> None:
        self._timed_out = True
        self._abort()

    def _abort(self) -> None:
        if self.connection is not None:
            abort(self.connection)

    async def _close(self) -> None:
        self._is_stale = False
        connection, self.connection = self.connection, None
        if connection is not None:
            await disconnect(connection)

    async def _round_trip(self, connection: Connection) -> bool:
        """Send the calls that wait; return whether the connection is still usable."""
        calls, packed = self._take_calls()
        if not calls:
            return True
        confirmer = self._confirmer
        if confirmer and any(call.confirm for call in calls):
            packed.append(pack(confirmer.command))
        else:
            confirmer = None
        return await self._exchange(connection, packed, calls, confirmer)

    async def _exchange(
        self,
        connection: Connection,
        packed: list[bytes],
        calls: list[PendingCall],
        confirmer: WriteConfirmer | None,
    ) -> bool:
        """Send `packed` and answer the calls; return whether the connection is still usable."""
        answered = 0
        again: list[PendingCall] = []
        written: list[tuple[PendingCall, Any]] = []
        self._timed_out = False
        self._response_deadline.set(self._response_timeout)
        try:
            if packed:
                # The loop sends what the kernel does not accept at once while replies are read.
                write(connection, packed)
            for call in calls:
                await self._receive(connection, call, again, written if confirmer else None)
                answered += 1
            if confirmer and not confirmer.resolve(
                written, await self._read_confirmation(connection)
            ):
                # A master that lost its replicas may have been replaced.
                self._topology.refresh_soon()
        except _ClosedByServer:
            # Nothing after the refused call was carried out.
            again += calls[answered + 1 :]
            lost = ConnectionLost(f"{self._shown} closed the connection before it confirmed writes")
            for call, _ in written:
                call.refuse(lost)
            return False
        except BROKEN_ERRORS as error:
            why = f"no answer for {self._response_timeout:g} s" if self._timed_out else repr(error)
            lost = ConnectionLost(f"the connection to {self._shown} broke: {why}")
            unanswered = [*calls[answered:], *(call for call, _ in written)]
            self._topology.refresh_soon()
            self._response_deadline.clear()
            try:
                if not self._timed_out:
                    await refuse_too_large(unanswered, self._topology, self.node)
            finally:
                for call in unanswered:
                    call.refuse(lost)
            return False
        except BaseException:
            for call in (*calls[answered:], *(call for call, _ in written)):
                call.refuse(ConnectionLost("the client was closed under the call"))
            raise
        finally:
            self._response_deadline.clear()
            self._used_at = trio.current_time()
            # Before the calls that came since, in their order.
            self.inbox.extendleft(reversed(again))
        return not self._is_stale

    def _take_calls(self) -> tuple[list[PendingCall], list[bytes]]:
        builder = PipelineBuilder()
        inbox = self.inbox
        left = PIPELINE_COMMANDS_MAX
        while inbox and left:
            call = inbox.popleft()
            if call.is_awaited:  # else its caller was cancelled before the call was sent
                builder.add(call)
                left -= 1
        self._is_quiet = left >= PIPELINE_COMMANDS_MAX - 1
        calls: list[PendingCall] = []
        packed: list[bytes] = []
        for call in builder.build():
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
        call: PendingCall,
        again: list[PendingCall],
        written: list[tuple[PendingCall, Any]] | None,
    ) -> None:
        """Read a reply and answer the call; append to `again` a call that must be sent again."""
        try:
            if call.asking:
                call.asking = False
                await read(connection)
            reply = await read(connection)
        except redis.exceptions.ResponseError as error:
            is_unknown = isinstance(error, redis.exceptions.NoScriptError)
            if is_unknown and call.script is not None and call.command[0] == b"EVALSHA":
                call.command = (b"EVAL", call.script.source, *call.command[2:])
                again.append(call)
            else:
                self._refuse(call, error)
        else:
            if written is not None and call.confirm:
                written.append((call, reply))
            else:
                call.answer(reply)

    def _refuse(self, call: PendingCall, error: redis.exceptions.ResponseError) -> None:
        """Refuse or redirect a call that was answered with an error."""
        line = line_of(error)
        if needs_reconnect(line):
            # The server is a replica now, say. The next connection goes to the master.
            self._is_stale = True
            self._topology.refresh_soon()
        if not self._redirect(call, error):
            size = len(pack(call.command)) if is_size_error(line) else 0
            call.refuse(translate_error(line, call.script, key=call.key, size=size))
        if closes_connection(line):
            raise _ClosedByServer

    async def _read_confirmation(self, connection: Connection) -> Any:
        try:
            return await read(connection)
        except redis.exceptions.ResponseError as error:
            return Unconfirmed(f"the server cannot confirm writes: {error}")

    def _refuse_expired(self, error: Exception) -> None:
        latest = trio.current_time() - UNSENT_WAIT_MAX
        while self.inbox and self.inbox[0].created_at <= latest:
            message = (
                f"no connection to {self._shown} for {UNSENT_WAIT_MAX:g} s: {reason_of(error)}"
            )
            self.inbox.popleft().refuse(ConnectionLost(message, sent=False))
