"""`rediq dash` in a real terminal: its screens, its keys, and how it leaves."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.cells import cell_len

import rediq_trio as rediq
from tests.cli.conftest import cli_environment
from tests.servers import require_any_server, require_server, wait_ready
from tests.terminal.conftest import Fleet, Pane, pane

pytestmark = pytest.mark.slow

LIVE = "● live"
SGR = re.compile(rb"\x1b\[([0-9;]*)m")
TABS = "1 Overview", "2 Queues", "3 Tasks", "4 Failures", "5 Workers", "6 Schedules", "7 Workflows"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60)])
def test_each_tab_fits_its_terminal(fleet: Fleet, width: int, height: int) -> None:
    shown = {
        "1": ("emails: no live worker serves it", "QUEUE", "RUNNING", "billing", "video:encode"),
        "2": ("queues, 1 worker", "emails", "video", "1/4"),
        "3": ("[P 30]" if width < 110 else "pending 30", "mail:send", "user0", "no live worker"),
        "4": ("2 kinds of failure", "ValueError", "billing:charge", "NEW"),
        "5": ("1 worker, 1 of 4 slots", "worker-1", "working"),
        "6": ("1 schedule, 0 paused", "nightly", "every 3600 s"),
        "7": ("1 workflow", "import-7", "1/2"),
    }
    with pane(*fleet.flags, "--environment=staging", width=width, height=height) as screen:
        screen.until(LIVE, "[staging]", *TABS[1:], "QUEUE")
        for tab, texts in shown.items():
            screen.press(tab)
            screen.until(*texts)
            lines = screen.lines()
            assert all(cell_len(each) <= width for each in lines)
            assert lines[2].startswith("─" * 80)
            assert lines[height - 2].startswith("─" * width)
            assert "? keys" in lines[height - 1]
        screen.press("q")
        assert screen.status() == 0


def test_keys_move_open_filter_and_go(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE, "emails")
        screen.press("2")
        screen.until("queues, 1 worker")
        screen.until_cursor("billing")
        for key, name in (
            ("j", "emails"),
            ("Down", "etl"),
            ("k", "emails"),
            ("Up", "billing"),
            ("End", "video"),
        ):
            screen.press(key)
            screen.until_cursor(name)
        screen.press("/")
        screen.type("emai")
        screen.until("filter: emai▏", "emails", gone="billing")
        screen.press("Enter", "Enter")
        screen.until("mail:send", "[P 30]")
        screen.press("Escape")
        screen.until("OLDEST", gone="mail:send")
        screen.press("Escape")
        screen.until("queues, 1 worker", "billing")
        screen.press("s")
        screen.press("Home")
        screen.until_cursor("emails")
        screen.press(":")
        screen.type("billing/nothing")
        screen.press("Enter")
        screen.until("billing/nothing", "It is there no longer")
        screen.press("q")
        screen.until("[3 Tasks]", gone="no longer")
        screen.press(":")
        screen.type("nowhere")
        screen.press("Enter")
        screen.until("there is no queue nowhere")
        screen.press("?")
        screen.until("Everywhere", "copy the id", "run first")
        screen.press("x")
        screen.until(LIVE, gone="Everywhere")
        screen.press("q")
        assert screen.status() == 0


def test_tasks_are_found_selected_and_acted_on(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        screen.press(":")
        screen.type("emails")
        screen.press("Enter")
        screen.until("mail:send", "user0")
        screen.press("/")
        screen.type("payload.to:user7")
        screen.press("Enter")
        screen.until("filter: payload.to:user7", "found 1", '"user7"', gone='"user8"')
        screen.press("y")
        screen.until("copied emails/mail07")
        assert b"\x1b]52;c;" + base64.b64encode(b"emails/mail07") in screen.raw
        screen.press("D")
        screen.until("Delete emails/mail07?", "This cannot be undone", "y yes")
        screen.press("n")
        screen.until("nothing was changed", gone="cannot be undone")
        assert fleet.stats("emails").pending == 30
        screen.press("D", "y")
        screen.until("deleted emails/mail07")
        assert fleet.stats("emails").pending == 29
        screen.press("Escape")
        screen.until("user8", "[P 29]")
        screen.press("Home", "Space", "Space")
        screen.until("2 selected.")
        screen.press("c")
        screen.until("Cancel 2 tasks?", "emails/mail00", "can be retried")
        screen.press("y")
        screen.until("cancelled 2 tasks", "X 2")
        screen.press("h")  # from pending, twice back and round to cancelled
        screen.press("h", "h", "h")
        screen.until("[X 2]", "mail01")
        screen.press("*", "r")
        screen.until("All that match", "Retry 2 cancelled tasks?", "At most 100 a second")
        screen.press("Enter")
        screen.until("retried 2 tasks of emails", "X 0")
        screen.press("l", "l")
        screen.until("B 0")
        screen.press("Escape", "q")


def test_a_queue_is_paused_resumed_and_flushed_by_its_name(fleet: Fleet) -> None:
    def fill(client: rediq.Client) -> object:
        return client.enqueue_many([rediq.Task("x", {}, queue="zz-flush") for _ in range(12)])

    fleet.ask(fill)
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        screen.press("2", "End")
        screen.until_cursor("zz-flush")
        screen.press("p")
        screen.until("paused zz-flush", "▌‖ zz-flush")
        assert fleet.stats("zz-flush").paused
        screen.press("p")
        screen.until("resumed zz-flush", "▌▲ zz-flush")
        screen.press("F")
        screen.until("Flush zz-flush?", "all 12 tasks", "cannot be undone")
        screen.press("y", "Enter")
        screen.until("type zz-flush")
        assert fleet.stats("zz-flush").pending == 12
        screen.press("BSpace")
        screen.type("zz-flush")
        screen.until("zz-flush▏")
        screen.press("Enter")
        screen.until("removed 12 tasks of zz-flush")
        assert fleet.stats("zz-flush").pending == 0
        who = fleet.ask(lambda client: client.audit(limit=3))
        assert "flush" in str(who)


def test_failures_are_listed_and_retried_by_kind(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        screen.press("4")
        screen.until("ValueError", "RuntimeError")
        screen.press("s", "s", "Home")
        screen.until("card declined")
        screen.press("r")
        screen.until("Retry 6 dead tasks?", "Kind ValueError in billing")
        screen.press("y")
        screen.until("retried 6 tasks of billing")
        screen.press("l")
        screen.until("filter: kind:", "billing:charge")
        screen.until("[D 6]")  # they have failed again
        screen.press("Enter")
        screen.until("billing:charge", "✗ dead (D)", "Traceback", "served.py")
        screen.press("Escape", "Escape", "Escape")
        screen.until("kinds of failure")
        screen.press("7")
        screen.until("import-7")
        screen.press("Enter")
        screen.until("transform", "extract", "1 of 2 done")
        screen.press("5")
        screen.until("worker-1")
        screen.press("Enter")
        screen.until("video:encode", "40 %")
        screen.press("Enter")
        screen.until("▶ active (A)", "frame 4")
        screen.press("6")
        screen.until("nightly")
        screen.press("p")
        screen.until("paused nightly", "1 paused")
        screen.press("p")
        screen.until("resumed nightly", "0 paused")


def test_tasks_are_exported_to_a_file_and_one_is_edited(fleet: Fleet, tmp_path: Path) -> None:
    def fill(client: rediq.Client) -> object:
        tasks = [rediq.Task("news", {"n": n}, queue="zz-edit", id=f"n{n}") for n in range(3)]
        return client.enqueue_many(tasks)

    fleet.ask(fill)
    editor, file = tmp_path / "editor.py", tmp_path / "news.jsonl"
    # It changes what it is called with at first so that it is no JSON; it shows and reads the terminal.
    editor.write_text(
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "text = path.read_text()\n"
        "print('EDITOR: Enter goes on', flush=True)\n"
        "sys.stdin.readline()\n"
        "if 'priority' in text and '777' not in text:\n"
        "    path.write_text(text.replace('\"n\": 1', '\"n\": 777,'))\n"
        "else:\n"
        "    path.write_text(text.replace('777,', '777'))\n",
        "utf-8",
    )
    with pane(*fleet.flags, EDITOR=f"{sys.executable} {editor}") as screen:
        screen.until(LIVE)
        screen.type(":zz-edit\r")
        screen.until("news", "[P 3]")
        screen.press("e")
        screen.until("export pending tasks to: zz-edit-pending.jsonl")
        screen.press("C-u")
        screen.type(f"{file}")
        screen.press("Enter")
        screen.until("wrote 3 pending tasks of zz-edit to")
        assert file.read_text("utf-8").count('"news"') == 3
        screen.type(":zz-edit/n1\r")
        screen.until("○ pending (P)", "e edit")
        screen.press("e")
        screen.until("EDITOR: Enter goes on", gone=LIVE)
        time.sleep(2)  # what is drawn meanwhile does not come to the terminal
        assert "Overview" not in screen.screen()
        screen.press("Enter")
        screen.until("Edit zz-edit/n1 again?", "no JSON at line", "is kept in")
        screen.press("y")
        screen.until("EDITOR: Enter goes on", gone=LIVE)
        screen.press("Enter")
        screen.until("zz-edit/n1: changed: payload", '"n": 777', LIVE)
        screen.press("q", "q", "q")
        assert screen.status() == 0
        left_as_found(screen, times=3)
    info = fleet.ask(lambda client: client.task("zz-edit/n1").info())
    assert isinstance(info, rediq.TaskInfo)
    assert info.payload == {"n": 777}


def test_read_only_refuses_every_act(fleet: Fleet) -> None:
    with pane(*fleet.flags, "--read-only") as screen:
        screen.until(LIVE, "read-only")
        screen.press("2", "j")
        screen.until_cursor("emails")
        for key, label in (("p", "pause"), ("r", "retry dead"), ("F", "flush")):
            screen.press(key)
            screen.until(f"{label}: refused, this screen is read-only")
        assert not fleet.stats("emails").paused


def test_a_click_opens_and_the_wheel_moves(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        screen.type("\x1b[<0;15;2M\x1b[<0;15;2m")
        screen.until("[2 Queues]", "OLDEST")
        screen.type("\x1b[<65;15;9M")
        screen.until_cursor("emails")
        row = next(n for n, each in enumerate(screen.lines(), 1) if " video" in each)
        screen.type(f"\x1b[<0;5;{row}M\x1b[<0;5;{row}m")
        screen.until_cursor("video")
        screen.type(f"\x1b[<0;5;{row}M\x1b[<0;5;{row}m")
        screen.until("video:encode")


def test_it_follows_the_size_and_says_what_it_needs(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE, "QUEUE", gone="TARGET")
        screen.resize(130, 40)
        screen.until("TARGET", "DRAINS", "RUNS LONGEST")
        screen.resize(79, 24)
        screen.until("rediq dash needs 80 x 24; this is 79 x 24", gone="QUEUE")
        screen.resize(80, 24)
        screen.until(LIVE, "QUEUE", gone="TARGET")
        screen.press(".")
        screen.until("frozen")
        screen.press(".")
        screen.until(LIVE)


def test_redis_goes_away_and_comes_back(tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    program = str(require_server(require_any_server()))

    def start() -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", path, "--dir", str(tmp_path), "--save", ""],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        wait_ready(child, path)
        return child

    child = start()
    fleet = Fleet(f"unix://{path}", "rediq")
    try:
        fleet.ask(lambda client: client.enqueue(rediq.Task("x", {}, queue="emails")))
        with pane(*fleet.flags) as screen:
            screen.until(LIVE, "emails")
            child.kill()
            child.wait()
            screen.until("Redis has been away for", "⊘ as of", "numbers are of", "emails")
            screen.press("p")
            screen.until("pause: refused while Redis is away")
            screen.press("3")
            screen.until("[3 Tasks]", "Redis has been away")
            child = start()
            fleet.ask(lambda client: client.enqueue(rediq.Task("x", {}, queue="letters")))
            screen.press("2")
            screen.until(LIVE, "letters", gone="away")
            screen.press("q")
            assert screen.status() == 0
    finally:
        child.kill()
        child.wait()


def left_as_found(screen: Pane, times: int = 1) -> None:
    assert screen.stty("after") == screen.stty("before")
    assert screen.raw.rstrip().count(b"\x1b[?1049h") == screen.raw.count(b"\x1b[?1049l") == times
    assert screen.raw.rindex(b"\x1b[?25h") > screen.raw.rindex(b"\x1b[?25l")
    for mode in (b"1000", b"1003", b"1006", b"2004"):
        assert screen.raw.rindex(b"\x1b[?%bl" % mode) > screen.raw.rindex(b"\x1b[?%bh" % mode)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_the_terminal_as_it_was(fleet: Fleet, number: signal.Signals) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        os.kill(screen.pid(), number)
        assert screen.status() == 0
        left_as_found(screen)


def test_ctrl_c_leaves_from_anywhere(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        screen.press("2", ":")
        screen.until("go to: ▏")
        screen.press("C-c")
        assert screen.status() == 0
        left_as_found(screen)


def test_an_error_of_ours_leaves_the_terminal_and_is_printed(fleet: Fleet, tmp_path: Path) -> None:
    # A page that cannot be drawn, as only a bug can make it.
    (tmp_path / "sitecustomize.py").write_text(
        "import rediq_trio.dash.pages.queues as queues\n"
        "def broken(*_): raise ZeroDivisionError('a bug')\n"
        "queues.QueuesPage.head = broken\n",
        "utf-8",
    )
    path = f"{tmp_path}{os.pathsep}{cli_environment()['PYTHONPATH']}"
    with pane(*fleet.flags, PYTHONPATH=path) as screen:
        screen.until(LIVE)
        screen.press("2")
        assert screen.status() == 1
        assert "ZeroDivisionError: a bug" in screen.screen()
        left_as_found(screen)


def test_hostile_texts_are_shown_and_never_obeyed(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        screen.tmux("select-pane", "-T", "mine")
        for keys, text in (
            ("3:odd\r", "\\u001b]0;pwned\\u0007"), ("3:odd/odd1\r", "\\u202e"), ("4", "kinds of failure"),
        ):  # fmt: skip
            screen.type(keys)
            screen.until(text)
        screen.press("Enter")
        screen.until("filter: kind:", "\\x1b")
        screen.type(":video\r")
        screen.until("frame 4 \\x1b]0;pwned")
        title = screen.tmux("display-message", "-p", "#{pane_title}").strip()
        assert title == "mine"
        screen.press("C-c")
        assert screen.status() == 0


def test_what_is_hidden_is_neither_shown_nor_found(fleet: Fleet) -> None:
    with pane(*fleet.flags, REDIQ_HIDE="payload.to error") as screen:
        screen.until(LIVE)
        screen.type(":emails/mail11\r")
        screen.until("mail:send", "PAYLOAD", '"to"', gone="user11")
        screen.type("3:emails\r")
        screen.until("mail:send", gone="user1")
        screen.type("/payload.to:user11\r")
        screen.until("payload.to is hidden, and cannot be searched", gone="mail:send")
        screen.press("Escape")
        screen.until("mail:send")
        screen.type("/error:card\r")
        screen.until("error is hidden, and cannot be searched", gone="mail:send")
        screen.type("4")
        screen.until("kinds of failure", "billing:charge", gone="card declined")
        screen.press("C-c")
        assert screen.status() == 0
        assert b"card declined" not in screen.raw


def test_the_bytes_of_a_screen_of_hostile_texts_are_ours(fleet: Fleet) -> None:
    with pane(*fleet.flags) as screen:
        screen.until(LIVE)
        screen.type(":odd/odd1\r")
        screen.until("\\x1b]0;pwned")
        screen.type("4")
        screen.until("card declined \\x1b]0;pwned")
        raw = screen.raw
    assert b"pwned" in raw
    assert b"\x1b]0;" not in raw
    assert b"\x1b]2;" not in raw
    assert b"\x1b[2J\x1b[9;9H" not in raw
    assert b"\x9b31m" not in raw
    assert "\u202e".encode() not in raw


@pytest.mark.parametrize(
    ("more", "flag", "wanted", "unwanted"),
    [
        ({"NO_COLOR": "1"}, "--dark", rb"\b[17]\b", rb"\b(3[0-7]|9[0-7]|38|48|4[0-7])\b"),
        ({"TERM": "xterm-16color", "COLORTERM": ""}, "--dark", rb"\b9[0-7]\b", rb"\b[34]8;"),
        ({"TERM": "xterm-256color", "COLORTERM": ""}, "--dark", rb"\b38;5;", rb"38;2;"),
        ({"COLORTERM": "truecolor"}, "--dark", rb"38;2;251;139;128", rb"38;2;179;20;27"),
        ({"COLORTERM": "truecolor"}, "--light", rb"38;2;179;20;27", rb"38;2;251;139;128"),
    ],
    ids=["none", "16", "256", "dark", "light"],
)
def test_colors_are_those_of_the_terminal(
    fleet: Fleet, more: dict[str, str], flag: str, wanted: bytes, unwanted: bytes
) -> None:
    with pane(*fleet.flags, flag, **more) as screen:
        screen.until(LIVE, "▲ emails")
        styles = {found[1] for found in SGR.finditer(screen.raw)}
    assert any(re.search(wanted, style) for style in styles), styles
    assert not [style for style in styles if re.search(unwanted, style)]


def test_a_terminal_without_utf_8_has_letters(fleet: Fleet) -> None:
    with pane(*fleet.flags, LANG="C", LC_ALL="POSIX", PYTHONCOERCECLOCALE="0") as screen:
        text = screen.until("* live", "QUEUE")
        assert "---" in text
        screen.press("2")
        screen.until(">! billing")


def test_without_a_terminal_it_says_what_there_is_for_programs(fleet: Fleet) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rediq_trio", "dash", *fleet.flags],
        env=cli_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert (
        done.stderr
        == "rediq: rediq dash needs a terminal: for programs there is 'rediq status --json'\n"
    )


def test_without_textual_it_names_the_extra(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['textual'] = None\nfrom rediq_trio.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", hide, "dash"],
        env=cli_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "the extra 'dash': pip install 'rediq-trio[dash]'" in done.stderr


def test_help_needs_neither_textual_nor_trio() -> None:
    look = (
        "import sys; from rediq_trio.cli.main import make_parser; make_parser('dash');"
        "print([name for name in ('textual', 'rich', 'trio', 'redis') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=cli_environment(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
