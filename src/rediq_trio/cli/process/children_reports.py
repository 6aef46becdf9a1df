"""What the service manager hears of several worker processes: one answer for all of them.

systemd listens to the parent only. So each child has a socket of the parent in place of systemd's: the
parent is ready when all children have been, and a child that is alive no more stops the watchdog.
The sockets are abstract, so they leave no file behind.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio

from rediq_trio.cli.process.service_manager import (
    SOCKET_VARIABLE,
    WATCHDOG_VARIABLE,
    ServiceManager,
)

_DATAGRAM_MAX = 4096
_LATE_AFTER = 0.75
"""The part of the watchdog's time after which a child that says nothing is alive no more."""


@attrs.define(eq=False)
class ChildrenReports:
    """Hears the children, and reports to the service manager. Made by `hear_children`."""

    _manager: ServiceManager
    _count: int
    _nursery: trio.Nursery
    _ready: set[int] = attrs.field(factory=set[int])
    """The children that run and are ready."""
    _alive_at: dict[int, float] = attrs.field(factory=dict[int, float])
    """When each of them last said that it is alive."""
    _all_ready: bool = False

    @asynccontextmanager
    async def child(self, number: int) -> AsyncGenerator[dict[str, str]]:
        """Yield the variables for a child, and hear it until the block ends."""
        if not self._manager.listens:
            yield {}
            return
        name = f"rediq-{os.getpid()}-{number}-{os.urandom(4).hex()}"
        variables = {SOCKET_VARIABLE: f"@{name}"}
        if self._manager.watchdog is not None:
            variables[WATCHDOG_VARIABLE] = str(round(self._manager.watchdog * 1e6))
        listener = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM)
        await listener.bind(f"\0{name}")
        scope = trio.CancelScope()
        self._nursery.start_soon(self._hear, number, listener, scope)
        try:
            yield variables
        finally:
            scope.cancel()
            self._ready.discard(number)

    async def _hear(
        self, number: int, listener: trio.socket.SocketType, scope: trio.CancelScope
    ) -> None:
        with listener, scope:
            while True:
                lines = (await listener.recv(_DATAGRAM_MAX)).decode("utf-8", "replace").split("\n")
                if "READY=1" in lines:
                    self._ready.add(number)
                if {"READY=1", "WATCHDOG=1"} & {*lines}:
                    self._alive_at[number] = trio.current_time()
                if "READY=1" in lines and len(self._ready) == self._count and not self._all_ready:
                    self._all_ready = True
                    self._manager.send("READY=1", self._status())

    async def run(self) -> None:
        """Report for as long as the parent runs."""
        while True:
            await trio.sleep(self._manager.interval)
            watchdog = self._manager.watchdog
            alive = watchdog is not None and self._alive(watchdog)
            self._manager.send(*(["WATCHDOG=1"] if alive else []), self._status())

    def _alive(self, watchdog: float) -> bool:
        """Return whether each child that has been ready is alive; one that starts again may be late."""
        oldest = min((self._alive_at[number] for number in self._ready), default=None)
        return oldest is None or trio.current_time() - oldest < watchdog * _LATE_AFTER

    def _status(self) -> str:
        return f"STATUS={len(self._ready)} of {self._count} processes are ready"


@asynccontextmanager
async def hear_children(manager: ServiceManager, count: int) -> AsyncGenerator[ChildrenReports]:
    """Report about `count` children until the block ends; without a service manager, do nothing."""
    async with trio.open_nursery() as nursery:
        reports = ChildrenReports(manager, count, nursery)
        if manager.listens:
            nursery.start_soon(reports.run)
        yield reports
        nursery.cancel_scope.cancel()
