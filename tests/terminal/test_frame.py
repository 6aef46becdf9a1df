"""The screen as lines, by a board whose tasks are in memory."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import attrs
import pytest

import rediq_trio as rediq
from rediq_trio.dash.board import Board
from rediq_trio.dash.frame import draw, scrolled
from rediq_trio.dash.pages.overview import OverviewPage
from rediq_trio.dash.pages.page import ScreenPage
from rediq_trio.dash.pages.task import AXIS, TaskDetailPage, attempt_axis
from rediq_trio.dash.pages.tasks import TasksPage
from rediq_trio.dash.palette import Palette
from rediq_trio.dash.question import AskedQuestion, Prompt, StartedAct
from rediq_trio.dash.seen import Seen
from rediq_trio.dash.text import Column, TableRow, TextSpan, width_of
from rediq_trio.observe.views import FleetView, look
from rediq_trio.values.hiding import Hiding
from rediq_trio.values.observed.attempt import Attempt


class NumbersPage(ScreenPage):
    """Forty rows."""

    name = "Numbers"
    columns = (Column("N", 5, right=True), Column("WORD"))

    def rows(self, seen: Seen) -> list[TableRow]:
        return [
            TableRow(f"k{n}", (TextSpan(str(n)), TextSpan("even" if n % 2 == 0 else "odd")))
            for n in range(40)
        ]


def a_board(**more: object) -> tuple[Board, list[StartedAct], list[str]]:
    started: list[StartedAct] = []
    copied: list[str] = []
    board = Board(
        start=started.append, changed=lambda: None, copy=copied.append, where="here", **more
    )  # type: ignore[arg-type]
    board.stacks[0] = [NumbersPage()]
    return board, started, copied


def texts(board: Board, width: int = 80, height: int = 24) -> list[str]:
    found = draw(board, width, height)
    assert len(found.lines) == height
    assert all(width_of(each) == width for each in found.lines)
    return ["".join(span.text for span in each) for each in found.lines]


async def a_view() -> FleetView:
    async with rediq.connect("memory://") as client:
        await client.enqueue(rediq.Task("x", {}, queue="emails"))
        return await look(client)


@pytest.mark.parametrize(
    ("top", "at", "high", "total", "found"),
    [
        (0, 0, 5, 40, 0),
        (0, 4, 5, 40, 0),
        (0, 5, 5, 40, 1),
        (10, 3, 5, 40, 3),
        (38, 39, 5, 40, 35),
        (9, 2, 5, 3, 0),
    ],
)
def test_the_cursor_is_always_seen(top: int, at: int, high: int, total: int, found: int) -> None:
    assert scrolled(top, at, high, total) == found


def test_keys_move_within_the_rows() -> None:
    board, _, _ = a_board()
    texts(board)
    for key, number in (
        ("up", 0),
        ("j", 1),
        ("pagedown", 13),
        ("end", 39),
        ("j", 39),
        ("k", 38),
        ("home", 0),
    ):
        board.press(key, key if len(key) == 1 else None)
        frame = draw(board, 80, 24)
        assert frame.cursor is not None
        assert f" {number} " in "".join(span.text for span in frame.lines[frame.cursor])


def test_a_filter_is_typed_edited_kept_and_dropped() -> None:
    board, _, _ = a_board()
    for key in "/evem":
        board.press("slash" if key == "/" else key, key)
    assert texts(board)[-1].startswith(" filter: evem▏")
    assert any("Nothing fits" in each for each in texts(board))
    board.press("backspace")
    board.press("n", "n")
    board.press("enter", "\r")
    assert [row.key for row in board.page.shown_rows(board)] == [f"k{n}" for n in range(0, 40, 2)]
    board.press("escape")
    assert len(board.page.shown_rows(board)) == 40
    for key in ("slash", "ctrl+u", "escape"):
        board.press(key, "/" if key == "slash" else None)
    assert board.prompt is None


def test_rows_are_selected_and_copied() -> None:
    board, _, copied = a_board()
    for key in ("space", "space"):
        board.press(key, " ")
    assert board.page.chosen == {"k0", "k1"}
    board.press("up")
    board.press("space", " ")
    assert board.page.chosen == {"k0"}
    board.press("y", "y")
    assert copied == ["k2"]
    assert board.said == "copied k2"


def test_q_leaves_from_the_top_only() -> None:
    board, _, _ = a_board()
    board.open(NumbersPage())
    board.press("q", "q")
    assert not board.left
    board.press("escape")
    assert not board.left
    board.press("q", "q")
    assert board.left


def test_a_question_is_answered_by_yes_or_no_or_its_name() -> None:
    board, started, _ = a_board()

    async def run(_: rediq.Client) -> str:
        return "done"

    board.question = AskedQuestion("Go?", ("It goes.",), "Go", run)
    assert any("[ Go ]" in each for each in texts(board))
    board.press("x", "x")
    assert board.question is not None
    board.press("n", "n")
    assert board.question is None
    assert started == []
    board.question = AskedQuestion("Go?", (), "Go", run)
    board.press("y", "y")
    assert started == [run]
    board.question = AskedQuestion("Flush?", (), "Flush", run, named="em")
    for key in ("y", "enter", "backspace", "e", "enter"):
        board.press(key, key if len(key) == 1 else None)
    assert len(started) == 1
    assert "type em, or Esc" in board.said
    board.press("m", "m")
    board.press("enter")
    assert started == [run, run]


def test_acts_are_refused_on_a_read_only_screen_and_while_redis_is_away() -> None:
    board, started, _ = a_board(read_only=True)
    board.press("2", "2")
    board.press("p", "p")
    assert board.said == "pause: refused, this screen is read-only"
    board.read_only = False
    board.away_since = dt.datetime.now(dt.UTC)
    board.press("p", "p")
    assert board.said == "pause: refused while Redis is away"
    assert started == []


async def test_the_banner_says_since_when_redis_is_away_and_numbers_are_stale() -> None:
    board, _, _ = a_board()
    view = await a_view()
    board.see(view)
    assert draw(board, 80, 24).stale == (0, 0)
    board.see(attrs.evolve(view, away="no answer"))
    since = board.away_since
    board.see(attrs.evolve(view, away="no answer"))
    assert board.away_since == since
    assert "⊘ Redis has been away for" in texts(board)[3]
    assert "as of" in texts(board)[0]
    assert draw(board, 80, 24).stale == (4, 22)
    board.see(view)
    assert not board.away


def bold(board: Board) -> list[str]:
    """Return the numbers that are bold because they have changed."""
    spans = [span for each in draw(board, 120, 40).lines for span in each if span.changed]
    return [span.text.strip() for span in spans]


async def test_a_number_that_has_changed_is_bold_for_one_view() -> None:
    board, _, _ = a_board()
    board.stacks[0] = [OverviewPage()]
    view = await a_view()
    board.see(view)
    assert bold(board) == []
    (queue,) = view.queues
    grown = attrs.evolve(queue, stats=attrs.evolve(queue.stats, pending=12, dead=3))
    board.see(attrs.evolve(view, queues=(grown,)))
    assert bold(board) == bold(board) == ["12", "3"]
    board.see(attrs.evolve(view, queues=(grown,)))
    assert bold(board) == []
    board.frozen = True
    board.see(view)
    assert bold(board) == []
    board.frozen = False
    board.see(view)
    board.page.cursor = "emails"
    assert bold(board) == ["1", "0"]
    board.tab = 1
    board.see(attrs.evolve(view, queues=(grown,)))
    assert bold(board) == []  # the page did not show them before


def test_numbers_that_a_page_reads_are_compared_with_those_of_its_last_read() -> None:
    board, _, _ = a_board()
    page = NumbersPage()
    page.columns, page.counts_reads = (Column("N", 5, counts=True), Column("WORD")), True
    board.stacks[0] = [page]
    assert bold(board) == []
    page.rows = lambda _: [TableRow("k1", (TextSpan("7"), TextSpan("odd")))]  # type: ignore[method-assign]
    page.reads += 1
    assert bold(board) == ["7"]
    page.reads += 1
    assert bold(board) == []


def test_what_has_changed_is_bold_also_without_colors_but_not_while_redis_is_away() -> None:
    for colors in ("truecolor", "standard", "none"):
        palette = Palette(colors=colors)
        assert palette.style("faint", changed=True).bold
        assert not palette.style("faint").bold
        assert not palette.style("faint", changed=True, away=True).bold


def test_the_end_of_a_long_typed_line_is_seen_and_text_is_pasted() -> None:
    board, started, _ = a_board()
    typed: list[str] = []
    board.paste("q")
    assert not board.left
    board.prompt = Prompt("export dead tasks to", "", typed.append)
    board.paste("/a/long/" + "x" * 100 + "/path\nq")
    assert texts(board)[-1].startswith(" export dead tasks to: …xxx")
    assert texts(board)[-1].endswith("xx/path▏ Enter, Esc ")
    board.press("enter", "\r")
    assert typed == ["/a/long/" + "x" * 100 + "/path"]
    assert started == []


async def test_all_dead_tasks_of_a_queue_are_deleted_after_a_question_with_their_number() -> None:
    app = rediq.App()

    @app.task("x", queue="emails", max_retry=0)
    async def fail() -> None:
        raise ValueError("no")

    board, started, _ = a_board()
    board.stacks[0] = [OverviewPage()]
    async with rediq.serve(app, rediq.MemoryStore(), queues=["emails"]) as server:
        for handle in await server.client.enqueue_many([fail.task() for _ in range(3)]):
            await handle.wait()
        board.see(await look(server.client))
        draw(board, 80, 24)
        board.press("D", "D")
        question = await started[-1](server.client)
        assert isinstance(question, AskedQuestion)
        board.answer(question)
        shown = "\n".join(texts(board))
        assert "Delete 3 dead tasks?" in shown
        assert "This cannot be undone." in shown
        board.press("y", "y")
        assert await started[-1](server.client) == "deleted 3 tasks of emails"
        assert (await server.client.queue("emails").stats()).dead == 0
    board.read_only = True
    board.press("D", "D")
    assert board.said == "delete dead: refused, this screen is read-only"


async def test_what_a_page_of_tasks_shows_is_exported_to_a_new_file(tmp_path: Path) -> None:
    board, started, _ = a_board()
    page = TasksPage("emails", rediq.State.PENDING, "type:mail")
    board.stacks[0] = [page]
    async with rediq.connect("memory://") as client:
        await client.enqueue_many(
            [rediq.Task(kind, {}, queue="emails") for kind in ("mail", "mail", "news")]
        )
        board.see(await look(client))
        board.press("e", "e")
        assert board.said == "there is no task here to export"
        await page.read(client, Hiding())
        board.press("space", " ")
        board.press("e", "e")
        assert board.said == "e exports all that match: * selects them, space unselects a row"
        board.press("*", "*")
        board.press("e", "e")
        assert texts(board)[-1].startswith(" export pending tasks to: emails-pending.jsonl▏")
        board.press("escape")
        assert board.said == "nothing was exported"
        for path, said in (
            (tmp_path / "tasks", f"wrote 2 pending tasks of emails to {tmp_path}/tasks"),
            (tmp_path / "tasks", f"{tmp_path}/tasks: path"),
            (tmp_path / "none" / "tasks", f"cannot write {tmp_path}/none/tasks: No such file"),
        ):
            board.press("e", "e")
            board.press("ctrl+u")
            board.paste(str(path))
            board.press("enter", "\r")
            try:
                found = await started[-1](client)
            except rediq.RediqError as error:
                found = str(error)
            assert isinstance(found, str)
            assert found.startswith(said), found
        assert (tmp_path / "tasks").read_text("utf-8").count('"mail"') == 2
        many = len(started)
        board.press("e", "e")
        board.press("ctrl+u")
        board.press("enter", "\r")
        assert board.said == "nothing was exported: no file was named"
        await page.read(client, Hiding.of("payload.to"))
        board.press("e", "e")
        assert "some values are hidden here" in board.said
        assert len(started) == many


async def test_a_task_is_edited_unless_a_worker_runs_it() -> None:
    board, started, _ = a_board()
    edited: list[str] = []

    async def edit(client: rediq.Client) -> str:
        return "done"

    def begin(task_id: str) -> StartedAct:
        edited.append(task_id)
        return edit

    async with rediq.connect("memory://") as client:
        handle = await client.enqueue(rediq.Task("x", {}, queue="emails"))
        page = TaskDetailPage(handle.id)
        board.stacks[0] = [page]
        await page.read(client, Hiding())
        assert "e edit  " in texts(board, 120)[-1]
        board.press("e", "e")
        assert board.said == "there is no editor here"
        board.edit = begin
        board.press("e", "e")
        assert (edited, started) == ([handle.id], [edit])
        await handle.cancel()
        await page.read(client, Hiding())
        assert "e edit a copy" in texts(board, 120)[-1]
        assert page.info is not None
        page.info = attrs.evolve(page.info, state=rediq.State.ACTIVE)
        assert "e edit" not in texts(board, 120)[-1]
        board.read_only = True
        page.info = attrs.evolve(page.info, state=rediq.State.PENDING)
        board.press("e", "e")
        assert board.said == "edit: refused, this screen is read-only"


async def test_the_cursor_is_at_the_first_row_until_a_key_is_pressed() -> None:
    board, _, _ = a_board()
    board.stacks[0] = [OverviewPage()]
    page, view = board.page, await a_view()
    (queue,) = view.queues
    board.see(attrs.evolve(view, queues=(attrs.evolve(queue, name="zebra"),)))
    draw(board, 80, 24)
    assert page.here(page.shown_rows(board)) == "zebra"
    both = (queue, attrs.evolve(queue, name="zebra"))
    board.see(attrs.evolve(view, queues=both))
    draw(board, 80, 24)
    assert page.here(page.shown_rows(board)) == "emails"
    board.press("x", "x")
    board.see(attrs.evolve(view, queues=(attrs.evolve(queue, name="ant"), *both)))
    draw(board, 80, 24)
    assert page.here(page.shown_rows(board)) == "emails"
    board.click(0)
    assert page.here(page.shown_rows(board)) == "ant"


async def test_an_alert_says_since_when_if_that_was_seen() -> None:
    board, _, _ = a_board()
    board.stacks[0] = [OverviewPage()]
    view = await a_view()
    board.see(view)
    assert not any("since" in each for each in texts(board))
    board.see(attrs.evolve(view, queues=()))
    board.see(view)
    board.see(attrs.evolve(view, at=view.at + dt.timedelta(seconds=90)))
    raised = f"since {view.at:%H:%M:%S}"
    assert sum(f"since {view.at:%H:%M} " in each for each in texts(board)) == 1
    assert sum(raised in each for each in texts(board, 130, 40)) == 1


async def test_a_wide_screen_shows_how_long_tasks_have_waited() -> None:
    board, _, _ = a_board()
    board.stacks[0] = [OverviewPage()]
    board.see(await a_view())
    board.waits = {"emails": 41.0}
    assert any("P95" in each for each in texts(board, 130, 40))
    assert any(" emails " in each and " 41 s " in each for each in texts(board, 130, 40))
    assert not any("P95" in each for each in texts(board))


async def test_a_frozen_screen_keeps_its_view() -> None:
    board, _, _ = a_board()
    view = await a_view()
    board.see(view)
    board.press("full_stop", ".")
    board.see(attrs.evolve(view, queues=()))
    assert board.view is view
    board.press("full_stop", ".")
    board.see(attrs.evolve(view, queues=()))
    assert board.view is not view


async def test_a_name_that_is_typed_opens_a_queue_or_a_task() -> None:
    board, _, _ = a_board()
    board.see(await a_view())
    for text, page in (("emails", "Tasks"), ("emails/x1", "Task")):
        for key in f":{text}":
            board.press(key, key)
        board.press("enter")
        assert board.page.name == page
    for text, says in (("nowhere", "no queue nowhere"), ("a b/c", "a b")):
        for key in f":{text}":
            board.press(key, key)
        board.press("enter")
        assert says in board.said
        assert board.refused


def test_a_screen_that_is_too_small_says_what_it_needs() -> None:
    board, _, _ = a_board()
    assert texts(board, 79, 24)[0].startswith("rediq dash needs 80 x 24; this is 79 x 24")
    assert texts(board, 80, 23)[0].startswith("rediq dash needs 80 x 24; this is 80 x 23")
    assert texts(board, 5, 1) == ["redi…"]


@pytest.mark.parametrize(
    ("start", "end", "after", "axis"),
    [(0, 50, 75, "▓" * 15 + "▒" * 7), (50, 100, None, " " * 15 + "▓" * 15), (0, 0, 100, "▓" + "▒" * 29),
     (100, 100, None, " " * 29 + "▓")],
)  # fmt: skip
def test_an_attempt_is_a_bar_on_the_axis(
    start: int, end: int, after: int | None, axis: str
) -> None:
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def at(seconds: int) -> dt.datetime:
        return begin + dt.timedelta(seconds=seconds)

    attempt = Attempt(
        number=1, delivery=1, worker="w", started_at=at(start), ended_at=at(end), outcome="failed",
    )  # fmt: skip
    drawn = attempt_axis(attempt, begin, at(100), None if after is None else at(after))
    assert drawn == axis.ljust(AXIS)
