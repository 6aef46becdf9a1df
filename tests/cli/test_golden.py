"""What people read: the main commands as they are typed, in a pipe and on a terminal of 80 columns.

The texts are kept in `golden/`. `python -m tests.cli.test_golden` writes them anew; look at the
difference before it is committed. Instants, durations, ids and versions are replaced by words.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.main import main
from tests.cli.conftest import Place
from tests.cli.test_operate import HOSTILE, put, task, work
from tests.cli.test_terminal import COLUMNS, terminal

GOLDEN = Path(__file__).parent / "golden"
COMMANDS = tuple(
    line.strip()
    for line in """
    status
    queue list
    queue show emails
    queue pause emails --dry-run
    queue limit emails
    task list emails
    task list emails --state dead --newest --limit 1
    task list emails --state scheduled --type x
    task show emails/report
    task show emails/failed
    task show emails/nobody
    task why emails/later
    task why emails/failed
    task cancel emails --state pending --payload user=ann --dry-run
    task delete emails/failed
    dead list
    failures
    worker list
    schedule list
    schedule next nightly -n 2
    group list
    limit list
    check emails
    queue show emials
    task list --limit 0
    enqueue mail:send {"to":
    """.strip().splitlines()
)  # fmt: skip
"""The commands, in their order; none changes anything."""
ON_TERMINAL = ("queue list", "task list emails", "")
"""Those whose output differs on a terminal, `rediq` alone too."""
_CHANGING = (
    (r"\x1b\[[0-9;?]*[a-zA-Z]", ""),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "<instant>"),
    (r"\b[0-9a-f]{8}-[0-9a-f-]{27}\b", "<id>"),
    (r"(?:\bin )?\b\d[\d.,]* (?:ms|s|min|h|d)\b(?: \d+ (?:s|min|h)\b)?(?: ago)?", "<time>"),
    (r"(?<=  |.\()now\b", "<time>"),
    (r"\|\d{13}\|", "|<ms>|"),
    (r"\b[0-9a-f]{12}\b", "<kind>"),
    (r"\S+:\d+:[0-9a-f]{6,8}", "<worker>"),
    (r"\d+ bytes|[\d.]+ KiB|\b\d+ B\b", "<size>"),
    (r"line \d+, in", "line <n>, in"),
    (r'File "[^"]*/', 'File "'),
    (r"[^\s\"]*/(test_operate\.py)", r"\1"),
    (r" +$", ""),
)


def settled(text: str) -> str:
    """Return a text without what differs from run to run; columns are two spaces apart."""
    for pattern, word in _CHANGING:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return re.sub(r"(?<=\S) {2,}", "  ", text)


def fill(place: Place) -> None:
    """Make what the commands show."""

    async def more() -> None:
        async with place.client() as client:
            await client.enqueue_many([
                task("mail", id="ann", payload={"user": "ann"}, limit_key="k", unique=rediq.Unique("u")),
                task("mail", id="bob", payload={"user": "bob"}, priority=9),
                task("mail", id="later", delay=3600, timeout=5.0, backoff=rediq.Fixed(5)),
                task("mail", id="blocked", depends_on="emails/later"),
                task("note", id="member", group="daily"),
                task("note", queue="reports", id="one"),
            ])  # fmt: skip
            await client.queue("emails").limit(key="k", concurrency=2, rate=rediq.Rate(100, per=60))
            await client.schedules().add("nightly", rediq.Cron("0 3 * * *"), task("mail"))

    # One after the other: which of two fails first is not known.
    put(place, task("bad", id="failed", payload={"text": "no such user 7"}, priority=7))
    work(place, "emails")
    put(
        place, task("bad", id="hostile", payload={"text": HOSTILE}),
        task("good", id="report", payload={"number": 4}, metadata={"for": HOSTILE}),
    )  # fmt: skip
    work(place, "emails")
    trio.run(more)


def piped(place: Place) -> str:
    """Return what all commands print in a pipe."""
    parts: list[str] = []
    for line in COMMANDS:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), _nobody_asked():
            try:
                status: Any = main([*_words(line), *place.flags])
            except SystemExit as ended:
                status = ended.code
        parts.append(f"$ rediq {line}\n{out.getvalue()}{err.getvalue()}-> {status}\n")
    return settled("\n".join(parts))


def _words(line: str) -> list[str]:
    # What is JSON is passed as it stands.
    words, mark, rest = line.partition(" {")
    return [*shlex.split(words), *([mark.strip() + rest] if mark else [])]


@contextmanager
def _nobody_asked() -> Iterator[None]:
    """Have a standard input that nobody answers on."""
    kept = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def shown(place: Place) -> str:
    """Return what is seen on a terminal of 80 columns, and check that it fits."""
    parts: list[str] = []
    for line in ON_TERMINAL:
        with terminal(*_words(line), *place.flags) as screen:
            status, text = screen.end()
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
        wide = [each for each in plain.splitlines() if len(each) > COLUMNS and "  " in each]
        assert not [each for each in wide if not each.startswith(("next", "critical", "warn"))]
        parts.append(f"$ rediq {line}\n{text}-> {status}\n")
    return settled("\n".join(parts))


@pytest.fixture
def filled(cli_place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.delenv("REDIQ_URL", raising=False)
    fill(cli_place)
    return cli_place


def compare(name: str, found: str) -> None:
    path = GOLDEN / name
    if os.environ.get("REDIQ_GOLDEN") == "write":
        path.write_text(found, "utf-8")
    assert found.splitlines() == path.read_text("utf-8").splitlines()
    assert not {*"\x1b\u202e\x9b\u2028"} & {*found}


def test_what_people_read_in_a_pipe_is_as_it_was(filled: Place) -> None:
    compare("pipe.txt", piped(filled))


def test_what_people_read_on_a_terminal_is_as_it_was(filled: Place) -> None:
    compare("terminal.txt", shown(filled))


if __name__ == "__main__":
    raise SystemExit(
        subprocess.call(
            [sys.executable, "-m", "pytest", "-q", __file__],
            env={**os.environ, "REDIQ_GOLDEN": "write"},
        )
    )
