"""A redis-server of the benchmark's own: nothing persisted, ended with the block."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import redis

from benchmarks.processes import running
from rediq_trio.store.embedded import find_server

OLDEST_PREFERRED = 7
"""The major version from which a server on PATH is taken before the embedded one."""
START_DEADLINE = 10.0
"""Seconds a server may take to start."""
ANSWER_DEADLINE = 60.0
"""Seconds it may take to answer later, on a machine that is busy with what is measured."""


@attrs.frozen
class Bench:
    """A running server."""

    url: str
    raw: redis.Redis = attrs.field(repr=False)
    """A plain connection, for what the benchmark itself asks."""
    program: str
    version: str

    def info(self, section: str) -> dict[str, object]:
        """Read a section of INFO."""
        found: dict[str, object] = self.raw.info(section)
        return found

    def cpu(self) -> float:
        """Give the seconds of CPU that the server has used."""
        found = self.info("cpu")
        return float(str(found["used_cpu_user"])) + float(str(found["used_cpu_sys"]))


def choose_program(path: str | None) -> str:
    """Give the server to run: the one named, a new enough one on PATH, else the embedded."""
    if path is not None:
        return path
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found and _major(found) >= OLDEST_PREFERRED:
            return found
    return find_server()


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    _, _, version = said.partition("v=")
    return int(version.split(".")[0] or 0)


def free_port() -> int:
    """Give a port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def run_server(path: str | None = None, *, unix: bool = False) -> Iterator[Bench]:
    """Run a server on a loopback port, or on a unix socket, while the block lasts."""
    program = choose_program(path)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        where = Path(folder) / "redis.sock"
        port = 0 if unix else free_port()
        arguments = [
            program, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "",
            "--appendonly", "no", "--maxmemory-policy", "noeviction", "--daemonize", "no",
            "--logfile", str(Path(folder) / "redis.log"),
        ]  # fmt: skip
        url = f"redis://127.0.0.1:{port}"
        if unix:
            arguments += ["--unixsocket", str(where)]
            url = f"unix://{where}"
        with (
            running(arguments, _end, stdout=subprocess.DEVNULL) as child,
            redis.Redis.from_url(url, socket_timeout=ANSWER_DEADLINE) as raw,
        ):
            version = str(_wait_ready(child, raw)["redis_version"])
            yield Bench(url, raw, program, version)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    child.wait(10)


def _wait_ready(child: subprocess.Popen[bytes], raw: redis.Redis) -> dict[str, object]:
    give_up = time.monotonic() + START_DEADLINE
    while time.monotonic() < give_up and child.poll() is None:
        try:
            found: dict[str, object] = raw.info("server")
        except redis.ConnectionError:
            time.sleep(0.02)
        else:
            return found
    raise SystemExit(f"the server did not start: {child.args!r}")
