"""The command on a real terminal of 80 columns: colors, tables, questions, and Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import re
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
import trio

import rediq_trio as rediq
from tests.cli import test_operate as operate
from tests.cli.conftest import HERE, WITHIN, Place, cli_environment

COLUMNS = 80
WITHOUT_RICH = "raise ImportError('there is no rich here')"
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


@attrs.define
class Terminal:
    """A command on a terminal, as its user sees it."""

    child: subprocess.Popen[bytes]
    screen: int
    path: str
    seen: bytes = b""

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def wait_read(self) -> None:
        """Wait until the command has read all that was typed."""
        side = os.open(self.path, os.O_RDWR | os.O_NOCTTY)
        try:
            give_up = time.monotonic() + WITHIN
            while struct.unpack("i", fcntl.ioctl(side, termios.FIONREAD, b"\0" * 4))[0]:
                assert time.monotonic() < give_up, self.text
                time.sleep(0.02)
        finally:
            os.close(side)

    def read_until(self, text: str) -> str:
        """Read until the text was seen; an empty one is never seen, so this reads to the end."""
        give_up = time.monotonic() + WITHIN
        while not text or text not in self.text:
            assert time.monotonic() < give_up, self.text
            if not select.select([self.screen], [], [], 1.0)[0]:
                continue
            try:
                read = os.read(self.screen, 65536)
            except OSError:  # Linux: nobody has the terminal open any more
                read = b""
            if not read:
                assert not text, self.text
                break
            self.seen += read
        return self.text

    @property
    def text(self) -> str:
        return self.seen.decode("utf-8", "replace").replace("\r\n", "\n")

    def end(self) -> tuple[int, str]:
        """Return its exit status, and all that was seen."""
        said = self.read_until("")
        return self.child.wait(WITHIN), said


@contextmanager
def terminal(*arguments: str, stdout: int | None = None, **more: str) -> Iterator[Terminal]:
    """Run the command on a terminal of its own."""
    screen, side = pty.openpty()
    path = os.ttyname(side)
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    environment = cli_environment(**({"TERM": "xterm-256color"} | more))
    for name in ("NO_COLOR", "COLUMNS", "FORCE_COLOR"):
        if name not in more:
            environment.pop(name, None)
    child = subprocess.Popen(
        [sys.executable, "-c", _AS_SESSION, *arguments],
        cwd=HERE, env=environment, stdin=side, stderr=side,
        stdout=side if stdout is None else stdout, start_new_session=True,
    )  # fmt: skip
    os.close(side)
    try:
        yield Terminal(child, screen, path)
    finally:
        if child.poll() is None:
            child.kill()
        child.wait()
        os.close(screen)


# Makes the terminal that of the process, so that Ctrl-C is a signal to it, as in a shell.
_AS_SESSION = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "from rediq_trio.cli.main import main; sys.exit(main())"
)


@pytest.fixture
def no_rich(tmp_path: Path) -> dict[str, str]:
    """Return the environment of an installation without rich."""
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text(WITHOUT_RICH, "utf-8")
    path = cli_environment()["PYTHONPATH"]
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{path}"}


def put(place: Place, count: int = 2) -> None:
    async def enqueue() -> None:
        async with place.client() as client:
            tasks = [rediq.Task("mail:send", {}, queue="emails", id=f"t{n}") for n in range(count)]
            await client.enqueue_many(tasks)

    trio.run(enqueue)


def pending(place: Place) -> int:
    async def read() -> int:
        async with place.client() as client:
            return (await client.queue("emails").stats()).pending

    return trio.run(read)


def test_a_terminal_has_colors_and_80_columns(cli_place: Place) -> None:
    put(cli_place)
    with terminal("queue", "list", *cli_place.flags) as shown:
        status, text = shown.end()
    assert status == 0
    assert "\x1b[1m" in text
    lines = _STYLE.sub("", text).splitlines()
    assert all(len(line) <= COLUMNS for line in lines)
    assert lines[0].split()[:3] == ["queue", "pending", "active"]
    assert lines[1].split()[:2] == ["emails", "2"]


@pytest.mark.parametrize("how", ["NO_COLOR", "--no-color"])
def test_colors_can_be_turned_off(how: str, cli_place: Place) -> None:
    put(cli_place)
    flags = (how,) if how.startswith("-") else ()
    more = {} if flags else {how: "1"}
    with terminal("status", *flags, *cli_place.flags, **more) as shown:
        status, text = shown.end()
    assert status == 1
    assert text.startswith("critical  emails: no live worker serves it")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", text)


def test_without_rich_it_is_plain_text(cli_place: Place, no_rich: dict[str, str]) -> None:
    put(cli_place)
    with terminal(*cli_place.flags, **no_rich) as shown:
        status, text = shown.end()
    assert (status, "\x1b" in text) == (0, False)
    lines = text.splitlines()
    assert len(lines) <= 10
    assert all(len(line) <= COLUMNS for line in lines[:2])
    assert lines[1].split()[:2] == ["emails", "2"]


@pytest.mark.parametrize(
    ("answer", "left"), [("y\n", 0), ("YES\n", 0), ("\n", 2), ("no\n", 2), ("\x04", 2)]
)
def test_what_destroys_asks_first(answer: str, left: int, cli_place: Place) -> None:
    put(cli_place)
    with terminal("queue", "flush", "emails", *cli_place.flags) as shown:
        assert shown.read_until("[y/N] ").endswith("Delete 2 tasks of emails? [y/N] ")
        shown.type(answer)
        status, text = shown.end()
    assert status == 0
    assert ("nothing was changed" in text) == bool(left)
    assert pending(cli_place) == left


def test_a_change_of_many_tasks_shows_how_far_it_is_and_then_the_end(
    cli_place: Place, no_rich: dict[str, str]
) -> None:
    operate.put(cli_place, *(operate.task("bad", payload={"text": "no"}) for _ in range(2)))
    operate.work(cli_place, "emails")

    async def read() -> str:
        async with cli_place.client() as client:
            (kind,) = await client.queue("emails").failures()
            return kind.kind

    kind = trio.run(read)
    with terminal("failures", "retry", "emails", kind, *cli_place.flags, **no_rich) as shown:
        asked = f"Retry 2 dead tasks of emails of the kind {kind} (ValueError)? [y/N] "
        assert shown.read_until("[y/N] ").endswith(asked)
        shown.type("y\n")
        status, text = shown.end()
    assert status == 0
    assert "\r\x1b[K2 ready again, 2 of 2 looked at" in text
    assert text.endswith("\r\x1b[K2 tasks ready again\n")


def test_ctrl_c_at_a_question_ends_with_130(cli_place: Place) -> None:
    put(cli_place)
    with terminal("queue", "flush", "emails", *cli_place.flags) as shown:
        shown.read_until("[y/N] ")
        shown.type("\x03")
        status, text = shown.end()
    assert status == 130
    assert "Traceback" not in text
    assert "Fatal" not in text
    assert pending(cli_place) == 2


def test_the_question_does_not_go_where_the_output_goes(cli_place: Place, tmp_path: Path) -> None:
    put(cli_place)
    with (tmp_path / "out").open("wb") as output:
        flush = ("queue", "flush", "emails", "--json", *cli_place.flags)
        with terminal(*flush, stdout=output.fileno()) as shown:
            shown.read_until("[y/N] ")
            shown.type("\x03")
            status, text = shown.end()
    assert (status, "Fatal" in text) == (130, False)
    assert (tmp_path / "out").read_bytes() == b""


@pytest.mark.parametrize("arguments", [("enqueue", "-"), ("task", "delete", "-", "--yes")])
def test_ctrl_c_while_it_reads_lines_ends_with_130(
    arguments: tuple[str, ...], cli_place: Place
) -> None:
    with terminal(*arguments, "--timeout=100", *cli_place.flags) as shown:
        shown.type("\n")
        shown.read_until("\n")  # its echo
        shown.wait_read()
        shown.child.send_signal(signal.SIGINT)
        status, text = shown.end()
    assert status == 130
    assert "Traceback" not in text
    assert "Fatal" not in text


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("status",), ("no live worker serves it", "waiting tasks")),
        (("task", "list"), ("-- 2", "pending", "-- 2", "pending")),
        (("dead", "list"), ("-- 2", "no dead tasks", "-- 2")),
    ],
    ids=["status", "task list", "dead list"],
)
def test_ctrl_c_ends_what_watches(
    cli_place: Place, arguments: tuple[str, ...], texts: tuple[str, ...]
) -> None:
    put(cli_place)
    with terminal(*arguments, "--watch=100ms", *cli_place.flags) as shown:
        for text in texts:
            shown.read_until(text)
        shown.type("\x03")
        status, text = shown.end()
    assert status == 130
    assert "Traceback" not in text
