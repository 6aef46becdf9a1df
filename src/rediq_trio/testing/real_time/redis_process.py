"""RedisProcess: the Redis of one fleet, and the breaking of connections to it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import BufferedRWPair

import trio

from rediq_trio._errors import RediqError
from rediq_trio.store.embedded import open_embedded
from rediq_trio.testing.world import World

REDIS_WITHIN = 60.0
"""Seconds within which the process starts, or ends."""


class RedisProcess:
    """A Redis without any data. It outlives the fleet, so it has a world of its own."""

    def __init__(self) -> None:
        self._world = World(real_time=True)
        self._urls: list[str] = []
        self._over = trio.Event()
        self._ended = False
        self._world.start(None, self._hold)
        try:
            self._run(lambda: bool(self._urls), "start")
        except BaseException:  # whatever kept it from starting: nobody else would close it
            self._world.close()
            raise

    async def _hold(self) -> None:
        async with open_embedded() as url:
            self._urls.append(url)
            await self._over.wait()
        self._ended = True

    def _run(self, over: Callable[[], bool], what: str) -> None:
        if not self._world.run(over, until=self._world.now + REDIS_WITHIN):
            raise RediqError(f"the Redis of a test did not {what} within {REDIS_WITHIN:g} s")

    def url(self, name: str) -> str:
        """Return its URL, for connections that have a name."""
        return f"{self._urls[0]}?client_name={name}"

    def break_connections(self, name: str) -> int:
        """Close all connections of a name, as a network that breaks does; return how many."""
        with self._opened() as stream:
            clients = _call(stream, "CLIENT LIST").splitlines()
            found = [each for each in clients if f" name={name} " in each]
            for each in found:
                number = re.match(r"id=(\d+)", each)
                assert number is not None, each
                _call(stream, f"CLIENT KILL ID {number[1]}")
        return len(found)

    @contextmanager
    def _opened(self) -> Generator[BufferedRWPair]:
        # Redis is another process, so this may block.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(REDIS_WITHIN)
            connection.connect(self._urls[0].removeprefix("unix://"))
            with connection.makefile("rwb") as stream:
                yield stream

    def close(self) -> None:
        """End the process."""
        try:
            with self._world.entered():
                self._over.set()
            self._run(lambda: self._ended, "end")
        finally:
            self._world.close()


def _call(stream: BufferedRWPair, command: str) -> str:
    stream.write(command.encode() + b"\r\n")
    stream.flush()
    first = stream.readline().decode().rstrip()
    if first.startswith("-"):
        raise RediqError(f"{command}: {first[1:]}")
    return stream.read(int(first[1:]) + 2).decode() if first.startswith("$") else first
