"""A fleet to look at, and a terminal of tmux in which the real command runs."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trio

import rediq_trio as rediq
from tests.cli.conftest import cli_environment, eventually
from tests.servers import SETTING, ServerMissing, require_any_server, running_server
from tests.terminal.served import HOSTILE, charge, encode, load

HERE = Path(__file__).parent
WITHIN = 60.0
"""Seconds that anything awaited may take on a busy machine."""


@attrs.frozen
class Fleet:
    """A server with tasks in most states, and a worker."""

    url: str
    prefix: str
    worker: int = 0

    @property
    def flags(self) -> tuple[str, ...]:
        return f"--url={self.url}", f"--key-prefix={self.prefix}"

    def ask(self, look: Callable[[rediq.Client], Awaitable[object]]) -> object:
        """Return what a function finds with a client."""

        async def ask() -> object:
            async with rediq.connect(self.url, key_prefix=self.prefix) as client:
                return await look(client)

        return trio.run(ask)

    def stats(self, queue: str) -> rediq.QueueStats:
        found = self.ask(lambda client: client.queue(queue).stats())
        assert isinstance(found, rediq.QueueStats)
        return found


async def _fill(client: rediq.Client) -> None:
    await client.enqueue_many(
        [
            rediq.Task("mail:send", {"to": f"user{n}"}, queue="emails", id=f"mail{n:02}")
            for n in range(30)
        ]
    )
    hostile = {"name": HOSTILE}
    await client.enqueue(
        rediq.Task("odd", hostile, queue="odd", id="odd1", metadata={"who": HOSTILE})
    )
    await client.enqueue(rediq.Task("mail:later", {}, queue="emails", id="later", delay=3600))
    await client.enqueue(encode.task())
    workflow = rediq.Workflow("import-7")
    first = workflow.add(load.task(n=1), "extract")
    workflow.add(load.task(n=2), "transform", after=first)
    await client.enqueue(workflow)

    async def failed() -> bool:
        return (await client.queue("etl").stats()).dead == 1

    # The newest kind of failure is that of the charges.
    await eventually(failed)
    await client.enqueue_many([charge.task(n=n) for n in range(6)])


async def _settled(client: rediq.Client) -> bool:
    billing, video = await client.queue("billing").stats(), await client.queue("video").stats()
    etl = await client.queue("etl").stats()
    progress = [each.progress for each in await client.queue("video").tasks("active")]
    schedules = await client.schedules().list()
    return (
        billing.dead == 6
        and video.active == 1
        and etl.dead == 1
        and all(progress)
        and bool(schedules)
    )


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Return a server with a worker, some of whose tasks have failed."""
    with running_server(require_any_server()) as server:
        found = Fleet(server.url, f"t{uuid.uuid4().hex[:8]}")
        child = subprocess.Popen(
            [sys.executable, "-m", "rediq_trio", "run", "served:app", *found.flags,
             "--queues=billing,video,etl", "--name", "worker-1", "--concurrency", "4"],
            cwd=HERE, env=cli_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:

            async def fill(client: rediq.Client) -> None:
                await _fill(client)
                await eventually(lambda: _settled(client))

            found.ask(fill)
            yield attrs.evolve(found, worker=child.pid)
        finally:
            child.kill()  # a task of it never ends
            child.wait()


def require_tmux() -> str:
    """Return the program of tmux; without it the test is not run."""
    if (found := shutil.which("tmux")) is not None:
        return found
    what, why = "tmux is not on this machine", "looked on PATH"
    if os.environ.get(SETTING) == "all":
        pytest.fail(f"{what} ({why}), and {SETTING}=all asks for it")
    raise ServerMissing(what, why)


@attrs.define
class Pane:
    """A terminal in which the command runs."""

    program: str
    socket: Path
    folder: Path

    def tmux(self, *words: str) -> str:
        done = subprocess.run(
            [self.program, "-S", str(self.socket), "-f", "/dev/null", "-u", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WITHIN, check=False,
        )  # fmt: skip
        return done.stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", "0")

    def lines(self) -> list[str]:
        return self.screen().split("\n")

    def press(self, *keys: str) -> None:
        """Press keys by the names of tmux."""
        for key in keys:
            self.tmux("send-keys", "-t", "0", key)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-t", "0", "-l", text)

    def until(self, *texts: str, gone: str | None = None) -> str:
        """Wait until all of the texts are on the screen, and another one is gone from it."""
        give_up = time.monotonic() + WITHIN
        while True:
            screen = self.screen()
            if all(text in screen for text in texts) and (gone is None or gone not in screen):
                return screen
            assert time.monotonic() < give_up, f"{texts}, without {gone}:\n{screen}"
            time.sleep(0.05)

    def until_cursor(self, text: str) -> None:
        """Wait until the cursor is on a row that has a text."""
        give_up = time.monotonic() + WITHIN
        while not (lines := [each for each in self.lines() if each[:1] == "▌" and text in each]):
            assert time.monotonic() < give_up, f"{text}, {lines}:\n{self.screen()}"
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        self.tmux("resize-window", "-t", "0", "-x", str(width), "-y", str(height))

    @property
    def raw(self) -> bytes:
        """All bytes that the command wrote to the terminal."""
        return (self.folder / "raw").read_bytes()

    def pid(self) -> int:
        return int((self.folder / "pid").read_text("ascii"))

    def status(self) -> int:
        """Wait for the end of the command; return its status."""
        give_up = time.monotonic() + WITHIN
        ended = self.folder / "status"
        while not ended.exists() or not ended.read_text("ascii").strip():
            assert time.monotonic() < give_up, self.screen()
            time.sleep(0.05)
        return int(ended.read_text("ascii"))

    def stty(self, when: str) -> str:
        return (self.folder / f"stty-{when}").read_text("ascii")


Show = Callable[..., "Iterator[Pane]"]


@contextmanager
def pane(*arguments: str, width: int = 80, height: int = 24, **more: str) -> Iterator[Pane]:
    """Run `rediq dash` in a terminal of its own, between two looks at what `stty` says of it."""
    program = require_tmux()
    folder = Path(tempfile.mkdtemp(prefix="rediq-tmux-"))
    shown = Pane(program, folder / "tmux", folder)
    environment = (
        cli_environment(LANG="C.UTF-8", LC_ALL="C.UTF-8", PYTHONUTF8="0", TERM="tmux-256color")
        | more
    )
    names = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "PYTHONUTF8", *more)
    exports = "; ".join(f"export {name}={shlex.quote(environment[name])}" for name in names)
    command = shlex.join([sys.executable, "-m", "rediq_trio", "dash", *arguments])
    script = folder / "script"
    script.write_text(
        f"cd {shlex.quote(str(HERE))}; {exports}\n"
        f"while [ ! -e {folder}/go ]; do sleep 0.02; done\n"
        f"stty -a >{folder}/stty-before\n"
        f"sh -c 'echo $$ >{folder}/pid; exec {command}'\n"
        f"echo $? >{folder}/status.new\nstty -a >{folder}/stty-after\n"
        f"mv {folder}/status.new {folder}/status\nsleep 600\n",
        "utf-8",
    )
    try:
        shown.tmux("new-session", "-d", "-x", str(width), "-y", str(height), f"exec sh {script}")
        shown.tmux("set-option", "-g", "set-clipboard", "external")
        shown.tmux("pipe-pane", "-t", "0", f"cat >{folder}/raw")
        (folder / "go").touch()
        yield shown
    finally:
        pid = folder / "pid"
        if pid.exists() and not (folder / "status").exists():
            os.kill(int(pid.read_text("ascii")), signal.SIGKILL)
        shown.tmux("kill-server")
        shutil.rmtree(folder, ignore_errors=True)
