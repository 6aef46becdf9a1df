"""Real processes of the command, and a real server for them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest
import trio

import rediq_trio as rediq

T = TypeVar("T")

HERE = Path(__file__).parent
WITHIN = 90.0
"""Seconds that anything awaited may take on a busy machine; usually it is a fraction of one."""


def cli_environment(**more: str) -> dict[str, str]:
    """Give an environment without settings of the library, and with the library under test."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("REDIQ_")}
    return clean | {"PYTHONPATH": str(Path(rediq.__file__).parents[1])} | more


def cli_call(*arguments: str, cwd: Path = HERE, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "rediq_trio", *arguments],
        cwd=cwd,
        env=cli_environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN * 2,
        check=False,
    )


def alive(pid: int) -> bool:
    """Say whether a process runs; one that waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def call(kind: str, **arguments: Any) -> rediq.Task[Any]:
    """Make a task for a handler of `served.py`."""
    return rediq.Task(kind, arguments)


async def eventually(look: Callable[[], Awaitable[T]], *, within: float = WITHIN) -> T:
    """Look again and again until what is seen is true; give it."""
    with trio.fail_after(within):
        while True:
            if seen := await look():
                return seen
            await trio.sleep(0.02)
    raise AssertionError


@attrs.define(eq=False)
class Command:
    """A running command."""

    child: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.child.pid

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.child.send_signal(number)

    def said(self) -> str:
        """Give what it wrote so far, on both outputs."""
        return self.log.read_text("utf-8")

    def end(self, within: float = WITHIN) -> int:
        """Wait for its end; give its exit status."""
        return self.child.wait(within)

    async def wait_said(self, text: str) -> str:
        async def look() -> str:
            said = self.said()
            assert self.child.poll() is None or text in said, said
            return said if text in said else ""

        return await eventually(look)


Start = Callable[..., Command]


@pytest.fixture
def cli_start(tmp_path: Path) -> Iterator[Start]:
    """Give a function that starts the command; what it started ends with the test."""
    started: list[Command] = []

    def start(
        *arguments: str, program: tuple[str, ...] = ("-m", "rediq_trio"), **more: str
    ) -> Command:
        log = tmp_path / f"log{len(started)}"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, *program, *arguments],
                cwd=HERE,
                env=cli_environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        started.append(Command(child, log))
        return started[-1]

    yield start
    for command in started:
        if command.child.poll() is None:
            command.child.kill()
            command.child.wait()


@pytest.fixture(scope="session")
def cli_redis(embedded_server: str) -> Iterator[str]:
    """Give the URL of a server."""
    with tempfile.TemporaryDirectory(prefix="rediq-cli-") as folder:
        path = f"{folder}/s"
        child = subprocess.Popen(
            [embedded_server, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            give_up = time.monotonic() + WITHIN
            while not _listens(path):
                assert time.monotonic() < give_up
                assert child.poll() is None
                time.sleep(0.01)
            yield f"unix://{path}"
        finally:
            child.terminate()
            child.wait()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@attrs.frozen
class Place:
    """A part of the server that is a test's own."""

    url: str
    prefix: str

    @property
    def flags(self) -> tuple[str, ...]:
        return f"--url={self.url}", f"--key-prefix={self.prefix}"

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[rediq.Client]:
        with trio.fail_after(WITHIN * 2):
            async with rediq.connect(self.url, key_prefix=self.prefix) as client:
                yield client


@pytest.fixture
def cli_place(cli_redis: str) -> Place:
    """Give a place on the server that nobody else uses."""
    return Place(cli_redis, f"t{uuid.uuid4().hex}")
