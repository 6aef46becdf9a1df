"""What commands print, whom they ask, and which queue or task they mean."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import pty
import sys
from typing import Any

import pytest
import trio
from rich.console import Console

import rediq_trio as rediq
from rediq_trio import Client, ConfigError, ConnectionLost, MemoryStore, Task, TaskNotFound
from rediq_trio._errors import ServerRefused
from rediq_trio.cli.operate.output import Output, cell, open_output
from rediq_trio.cli.operate.session import GaveUp, Session, WaitNote, execute, in_time
from rediq_trio.cli.operate.status import busiest, row_of, show_alerts, show_brief, status
from rediq_trio.cli.statuses import DONE, NotThere
from rediq_trio.observe.views import FleetView
from tests.observe.views import AT, queue

PLAIN, FOR_PROGRAMS = Output(False, None), Output(True, None)


def console(width: int = 40) -> tuple[Output, io.StringIO]:
    """Return an output on a terminal of true colors, and what it writes."""
    screen = io.StringIO()
    options: Any = {"force_terminal": True, "color_system": "truecolor", "width": width}
    return Output(False, Console(file=screen, highlight=False, emoji=False, **options)), screen


def session(client: Client, out: Output = PLAIN, **arguments: Any) -> Session:
    return Session(client, out, argparse.Namespace(**{"dry_run": False} | arguments))


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    FOR_PROGRAMS.say("words")
    FOR_PROGRAMS.fields("title", [("a", "b")])
    FOR_PROGRAMS.table(("a",), [("b",)])
    FOR_PROGRAMS.note("a note")
    FOR_PROGRAMS.object({"a": 1})
    out, err = capsys.readouterr()
    assert (json.loads(out), err) == ({"rediq": 1, "a": 1}, "a note\n")
    PLAIN.object({"a": 1})
    assert capsys.readouterr().out == ""


def test_lines_in_a_pipe_are_aligned_without_spaces_at_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    PLAIN.table(("queue", "dead", "error"), [("a", "1", ""), ("longer", "12,345", "no")])
    PLAIN.table(("queue",), [])
    PLAIN.fields("a title", [("a", "1"), ("long", "2"), ("none", "")])
    assert capsys.readouterr().out.split("\n") == [
        "queue     dead  error",
        "a            1",
        "longer  12,345  no",
        "a title",
        "  a     1",
        "  long  2",
        "  none",
        "",
    ]


def test_a_terminal_shows_markup_as_text_and_does_not_wrap_a_line() -> None:
    out, screen = console(20)
    out.say("[red]not red[/red] and longer than the screen")
    assert screen.getvalue() == "[red]not red[/red] and longer than the screen\n"


def test_a_table_on_a_terminal_has_numbers_to_the_right_and_colors() -> None:
    out, screen = console()
    out.table(("state", "count"), [("dead", "1"), ("[red]open", "12,345")])
    first, dead, other = screen.getvalue().splitlines()
    assert "\x1b[31mdead " in dead
    assert dead.rstrip().endswith("     1")
    assert "[red]open" in other
    assert "count" in first


def test_a_pipe_has_no_colors_and_a_terminal_has(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", pipe)
    assert open_output(json=False, color=True)._console is None
    print("…", flush=True)
    assert pipe.buffer.getvalue() == b"\\u2026\n"  # type: ignore[attr-defined]
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert open_output(json=False, color=True)._console is not None
        assert open_output(json=True, color=True)._console is None
        monkeypatch.undo()
    os.close(ours)


def test_a_cell_is_text_that_no_terminal_obeys() -> None:
    assert [cell(value) for value in (None, "", 0, "a\x1b\n")] == ["-", "-", "0", r"a\x1b\n"]
    assert cell("abcdef", 3) == "ab…"


async def test_a_queue_that_was_never_used_is_named_with_one_like_it() -> None:
    async with rediq.connect(MemoryStore()) as client:
        for name in ("mail", "reports"):
            await client.enqueue(Task("t", queue=name))
        work = session(client)
        with pytest.raises(NotThere, match=r"no queue mial; did you mean mail\?"):
            await work.known("mial")
        with pytest.raises(NotThere, match="no queue xyz; see 'rediq queue list'"):
            await work.known("xyz")
        assert await work.known_queues(["reports", "mail", "reports"]) == ["reports", "mail"]
        assert await work.known_queues([]) == ["mail", "reports"]
        with pytest.raises(NotThere, match="no queue xyz"):
            await work.task_info(client.task("xyz/a"))
        with pytest.raises(TaskNotFound):
            await work.task_info(client.task("mail/a"))


async def test_what_destroys_asks_and_only_yes_agrees(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = ["y", "YES", "n", "yesterday", ""]
    asked = list[str]()

    async def answer(question: str) -> str:
        asked.append(question)
        return answers.pop(0)

    monkeypatch.setattr("rediq_trio.cli.operate.session.answer_to", answer)
    async with rediq.connect(MemoryStore()) as client:
        monkeypatch.setattr("rediq_trio.cli.operate.session.is_asked", lambda: False)
        work = session(client, yes=False)
        with pytest.raises(ConfigError, match="this would flush it, and nobody can be asked"):
            await work.agreed("flush it")
        assert await session(client, yes=True).agreed("flush it")
        assert await session(client).agreed("pause it")
        assert not await session(client, FOR_PROGRAMS, yes=True, dry_run=True).agreed("flush it")
        out, err = capsys.readouterr()
        assert json.loads(out) == {"rediq": 1, "dry_run": True, "would": "flush it"}
        assert err == "would flush it; nothing was changed\n"
        monkeypatch.setattr("rediq_trio.cli.operate.session.is_asked", lambda: True)
        assert [await work.agreed("flush it") for _ in range(5)] == [True, True, False, False, False]
    assert asked == ["Flush it? [y/N] "] * 5


def test_what_ends_with_its_process_is_not_looked_at() -> None:
    arguments = argparse.Namespace(url="memory://", key_prefix=None)
    with pytest.raises(ConfigError, match="that of a server: what is in memory:// ends"):
        execute(arguments)


async def test_a_command_that_takes_too_long_gives_up() -> None:
    async def work() -> int:
        await trio.sleep(3600)
        return DONE

    with pytest.raises(GaveUp, match="it was not done within 10 ms"):
        await in_time(argparse.Namespace(timeout=0.01), work)

    async def quick() -> int:
        return DONE

    assert await in_time(argparse.Namespace(timeout=math.inf), quick) == DONE


def test_the_busiest_queues_come_first_by_name_if_they_are_alike(
    capsys: pytest.CaptureFixture[str],
) -> None:
    queues = tuple(queue(name, pending=n) for name, n in zip("gfedcba", (1, 1, 1, 1, 1, 1, 9), strict=True))
    view = FleetView(at=AT, queues=queues)
    assert [each.name for each in busiest(view)] == ["a", "b", "c", "d", "e"]
    assert show_brief(PLAIN, view) == DONE
    assert "and 2 queues more: rediq queue list" in capsys.readouterr().out


def test_of_several_alerts_the_worst_is_shown_with_the_number_of_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    queues = tuple(queue(name, workers=(), pending=1) for name in ("a", "b\x1b"))
    view = FleetView(at=AT, queues=queues)
    show_brief(PLAIN, view)
    said = capsys.readouterr().out
    assert "critical  a: no live worker serves it" in said
    assert "(and 1 more: rediq status)" in said
    show_alerts(PLAIN, view)
    said = capsys.readouterr().out
    assert r"critical  b\x1b: no live worker" in said
    assert "\x1b" not in said
    assert "nothing is wrong" not in said


def test_a_row_has_the_age_of_what_waits_and_whether_it_is_paused() -> None:
    assert row_of(queue("q", oldest_pending_age=3, paused=True))[-3:] == ("-", "1", "paused")
    assert row_of(queue("q", pending=1, oldest_pending_age=3))[-3:] == ("3.0 s", "1", "open")


async def test_status_does_not_look_again_without_a_pause() -> None:
    async with rediq.connect(MemoryStore()) as client:
        work = session(client, post=None, watch=0.01, brief=False, fail_on="warn")
        with trio.fail_after(20), pytest.raises(ConfigError, match=r"at least 0\.1 seconds"):
            await status(work)


def test_why_there_is_no_answer_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    note = WaitNote(FOR_PROGRAMS)
    for left in (12.0, 11.0):
        note(ServerRefused("READONLY of redis://:secret@h:1 \x1b.", sent=False), left)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rediq: trying again for 12 s more, Ctrl-C ends that: READONLY of redis://")
    assert err.endswith(r"\x1b; a replica takes writes only if it becomes a primary" + "\n")
    assert err.count("\n") == 1
    assert "secret" not in err
    WaitNote(PLAIN)(ConnectionLost("away", sent=False), math.inf)
    assert capsys.readouterr().err == (
        "rediq: trying again until it answers, Ctrl-C ends that: away\n"
    )
