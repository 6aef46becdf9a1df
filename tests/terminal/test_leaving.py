"""What follows a terminal ends with it: by a signal, or because the terminal or the pipe is gone."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.cli.conftest import cli_environment
from tests.terminal.conftest import WITHIN, Fleet, pane

pytestmark = pytest.mark.slow

ENDS_WITHIN = 20.0
"""Seconds that the end may take on a busy machine; it takes less than one on an idle one."""
HERE = Path(__file__).parent
IGNORES = (
    "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Goes on as another program, which ignores SIGHUP, as `nohup` does."""


@attrs.define
class Terminal:
    """A terminal without a window: what is written to it is read here."""

    child: subprocess.Popen[bytes]
    master: int
    written: bytes = b""

    def until(self, text: bytes) -> None:
        """Read until the command has written a text."""
        give_up = time.monotonic() + WITHIN
        while text not in self.written:
            assert time.monotonic() < give_up, self.written[-2000:]
            if select.select([self.master], [], [], 0.2)[0]:
                self.written += os.read(self.master, 65536)

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def close(self) -> None:
        """Close the terminal, as a window that is closed does."""
        if self.master >= 0:
            os.close(self.master)
        self.master = -1

    def end(self) -> int:
        """Read until the command has ended; return its status."""
        give_up = time.monotonic() + ENDS_WITHIN
        while self.child.poll() is None:
            assert time.monotonic() < give_up, "it outlives its terminal"
            if self.master >= 0 and select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.written += os.read(self.master, 65536)
                except OSError:  # nobody has it open any more
                    time.sleep(0.05)
            elif self.master < 0:
                time.sleep(0.05)
        return self.child.returncode


@contextmanager
def terminal(*words: str, nohup: bool = False) -> Iterator[Terminal]:
    """Run the command line in a terminal of its own, as the leader of its session."""
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    ignoring = [sys.executable, "-c", IGNORES] if nohup else []
    child = subprocess.Popen(
        [*ignoring, sys.executable, "-m", "rediq_trio", *words],
        stdin=slave, stdout=slave, stderr=slave, cwd=HERE, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0) and None,
        env=cli_environment(LANG="C.UTF-8", TERM="xterm-256color"),
    )  # fmt: skip
    os.close(slave)
    shown = Terminal(child, master)
    try:
        yield shown
    finally:
        child.kill()
        child.wait()
        shown.close()


@pytest.mark.parametrize("nohup", [False, True], ids=["hangup", "nohup"])
def test_the_screen_ends_with_its_terminal(fleet: Fleet, nohup: bool) -> None:
    with terminal("dash", *fleet.flags, "--dark", nohup=nohup) as shown:
        shown.until(b"live")
        shown.close()
        shown.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_screen_of_a_terminal_that_is_not_read(
    fleet: Fleet, number: signal.Signals
) -> None:
    with terminal("dash", *fleet.flags, "--dark") as shown:
        shown.until(b"live")
        for n in range(60):  # each size is a whole screen, more than the kernel keeps
            shown.resize(200 + n, 60)
            time.sleep(0.02)
        os.kill(shown.child.pid, number)
        assert shown.child.wait(ENDS_WITHIN) in (0, 1)


def test_a_second_interrupt_changes_nothing(fleet: Fleet) -> None:
    with terminal("dash", *fleet.flags, "--dark") as shown:
        shown.until(b"live")
        os.kill(shown.child.pid, signal.SIGINT)
        os.kill(shown.child.pid, signal.SIGINT)
        assert shown.end() == 0


def test_the_screen_ends_with_the_server_of_tmux(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until("● live")
        pid = screen.pid()
        server = int(screen.tmux("display-message", "-p", "#{pid}"))
        os.kill(server, signal.SIGKILL)
        give_up = time.monotonic() + ENDS_WITHIN
        while Path(f"/proc/{pid}/stat").exists() and is_running(pid):
            assert time.monotonic() < give_up, "it outlives its terminal"
            time.sleep(0.05)
        (screen.folder / "status").touch()  # its shell has ended before it could write one


def test_a_watch_ends_with_its_terminal_though_it_ignores_the_hangup(fleet: Fleet) -> None:
    with terminal("status", "--watch", "10m", *fleet.flags, nohup=True) as shown:
        shown.until(b"emails")
        shown.close()
        shown.end()


def test_a_watch_ends_with_the_reader_of_its_pipe(fleet: Fleet) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "rediq_trio", "status", "--watch", "10m", *fleet.flags],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=cli_environment(),
    )  # fmt: skip
    try:
        with child.stdout, child.stderr:  # type: ignore[union-attr]
            assert child.stdout.readline().startswith(b"-- ")  # at once, though a pipe has a buffer
            child.stdout.close()
            child.wait(ENDS_WITHIN)
            assert child.stderr.read() == b""
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize(
    ("words", "text"),
    [(("web", "--port=0"), b"http://"), (("run", "served:app", "--queues=none"), b"serves none")],
    ids=["web", "run"],
)
def test_a_server_ends_with_its_terminal(fleet: Fleet, words: tuple[str, ...], text: bytes) -> None:
    with terminal(*words, *fleet.flags) as shown:
        shown.until(text)
        shown.close()
        shown.end()


def test_a_screen_that_was_stopped_goes_on(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until("● live")
        os.kill(screen.pid(), signal.SIGTSTP)
        screen.until(gone="● live")
        os.kill(screen.pid(), signal.SIGCONT)
        os.kill(screen.pid(), signal.SIGCONT)
        screen.until("● live", "QUEUE")
        screen.press("2")
        screen.until("queues, 1 worker")
        screen.press("q")
        assert screen.status() == 0
        assert screen.stty("after") == screen.stty("before")


def test_the_demo_shows_a_story_and_leaves_nothing() -> None:
    with terminal("demo", "--dash") as shown:
        shown.until(b"live")
        shown.until(b"emails")
        shown.until(b"[demo]")
        os.write(shown.master, b"q")
        assert shown.end() == 0
    assert shown.written.rindex(b"\x1b[?1049l") > shown.written.rindex(b"\x1b[?1049h")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
