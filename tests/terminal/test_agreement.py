"""One snapshot in four places: the command line, its JSON, the page and the terminal show the same numbers."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.operate.output import Output
from rediq_trio.cli.operate.queue import show_list
from rediq_trio.cli.operate.status import QUEUE_HEADS, show_alerts, show_brief
from rediq_trio.cli.tasks.shown import show_task
from rediq_trio.dash.board import Board
from rediq_trio.dash.frame import draw
from rediq_trio.dash.pages.overview import OverviewPage
from rediq_trio.dash.pages.task import TaskDetailPage
from rediq_trio.observe.alerts import alerts_of
from rediq_trio.observe.single import TaskView, look_at_task
from rediq_trio.observe.views import FleetView, look
from rediq_trio.observe.words import count, duration, rate
from rediq_trio.values.hiding import Hiding
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right
from tests.cli.conftest import eventually
from tests.servers import require_any_server, running_server
from tests.web_page.visiting import asking

NUMBERS = "pending", "active", "retry", "dead"


@attrs.frozen
class Shown:
    """What each place shows of one snapshot."""

    view: FleetView
    task: TaskView
    lines: dict[str, dict[str, str]]
    """Cells of the command line, by queue and head."""
    alerts: str
    said: dict[str, dict[str, int]]
    """Numbers of `--json`, by queue."""
    page: dict[str, str]
    """Rows of the page as text, by queue."""
    page_alerts: str
    screen: dict[str, str]
    """Rows of the terminal, by queue."""
    screen_alerts: str
    task_lines: str
    task_json: dict[str, object]
    task_page: str
    task_screen: str


def printed(print_it: Callable[[Output], object], *, as_json: bool = False) -> str:
    found = StringIO()
    with redirect_stdout(found):
        print_it(Output(as_json, None))
    return found.getvalue()


def text_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def a_board(view: FleetView) -> Board:
    board = Board(start=lambda _: None, changed=lambda: None, copy=lambda _: None, where="here")
    board.stacks[0] = [OverviewPage()]
    board.see(view)
    return board


def drawn(board: Board) -> list[str]:
    return ["".join(span.text for span in each) for each in draw(board, 200, 60).lines]


async def _fill(client: rediq.Client, url: str) -> None:
    for number, name in enumerate(("billing", "crawl", "emails"), 1):
        await client.enqueue_many(
            [rediq.Task("mail:send", {"n": n}, queue=name) for n in range(number * 1_217)]
        )
    app = rediq.App()

    @app.task("mail:fail", queue="failing", max_retry=3, backoff=rediq.Fixed(3600))
    async def fail(n: int) -> None:
        raise ValueError("later")

    @app.task("mail:die", queue="failing", max_retry=0)
    async def die(n: int) -> None:
        raise ValueError("never")

    await client.enqueue_many([fail.task(n=n) for n in range(7)])
    await client.enqueue_many([die.task(n=n) for n in range(4)])

    async def failed() -> bool:
        stats = await client.queue("failing").stats()
        return (stats.retry, stats.dead) == (7, 4)

    async with rediq.serve(app, url, queues=["failing"]):
        await eventually(failed)


async def shown_everywhere() -> Shown:
    with running_server(require_any_server()) as redis:
        async with rediq.connect(redis.url) as client:
            await _fill(client, redis.url)
            view = await look(client, before=None)
            # The queues worked at different rates a moment ago: nothing runs while the four places look.
            queues = tuple(attrs.evolve(each, rate=0.25 * n) for n, each in enumerate(view.queues))
            view = attrs.evolve(view, queues=queues)
            (first,) = await client.queue("failing").tasks("retry", limit=1)
            task = await look_at_task(client.task(first.id))
            site = Site(client, access=Access(open_to=Right.LOOK, name="ada"))
            async with site.open(), asking(site) as browser:
                assert site._opened is not None

                async def frozen() -> FleetView:
                    return view

                site._opened.shared.view = frozen
                answer = (await browser.get("/")).text
                task_page = (await browser.get(f"/tasks/{first.id}")).text
            board = a_board(view)
            overview = drawn(board)
            page = TaskDetailPage(first.id)
            await page.read(client, Hiding.of(""))
            board.open(page)
            return Shown(
                view, task, _cells(printed(lambda out: show_brief(out, view))),
                printed(lambda out: show_alerts(out, view)),
                {
                    found["name"]: found["stats"]
                    for text in printed(lambda out: show_list(out, view), as_json=True).splitlines()
                    for found in [json.loads(text)]
                },
                {
                    name: text_of(row)
                    for name, row in re.findall(r'<tr id="queue-(\w+)"(.*?)</tr>', answer, re.DOTALL)
                },
                text_of(answer),
                {each.name: _row(overview, each.name) for each in view.queues},
                "\n".join(overview),
                printed(lambda out: show_task(out, task)),
                json.loads(printed(lambda out: show_task(out, task), as_json=True)),
                text_of(task_page), "\n".join(drawn(board)),
            )  # fmt: skip


def _cells(text: str) -> dict[str, dict[str, str]]:
    heads = (*QUEUE_HEADS, "rate")
    rows = [re.split(r"\s{2,}", each.strip()) for each in text.splitlines()]
    return {
        row[0]: dict(zip(heads, row, strict=True)) for row in rows[1:] if len(row) == len(heads)
    }


def _row(lines: list[str], name: str) -> str:
    (found,) = [each for each in lines if re.match(rf"[▌ ][▲△‖ ] {name} ", each)]
    return found


@pytest.fixture(scope="module")
def shown() -> Shown:
    return trio.run(shown_everywhere)


def test_each_number_of_a_queue_is_the_same_everywhere(shown: Shown) -> None:
    assert sorted(shown.lines) == sorted(each.name for each in shown.view.queues)
    for queue in shown.view.queues:
        for field in NUMBERS:
            number = getattr(queue.stats, field)
            text = count(number)
            assert shown.said[queue.name][field] == number
            assert shown.lines[queue.name][field] == text
        pending, dead, retry = (
            count(getattr(queue.stats, each)) for each in ("pending", "dead", "retry")
        )
        spaced = pending.replace(",", " ")  # the page groups digits by a narrow space
        assert f" {pending} " in shown.screen[queue.name]
        assert re.search(rf" {retry} +{dead} ", shown.screen[queue.name])
        assert re.search(rf" {spaced} .* {retry} {dead} ", shown.page[queue.name])


def test_rates_and_times_are_worded_the_same_everywhere(shown: Shown) -> None:
    for queue in shown.view.queues:
        speed = queue.rate or 0.0
        assert shown.lines[queue.name]["rate"] == rate(speed)
        assert rate(speed) in shown.screen[queue.name]
        if speed:
            assert rate(speed) in shown.page[queue.name]
        if queue.stats.pending:
            age = duration(queue.stats.oldest_pending_age)
            assert shown.lines[queue.name]["oldest"] == age
            brief = " ".join(age.split(" ")[:2])
            assert f" {brief} " in shown.screen[queue.name]


def test_alerts_are_the_same_everywhere(shown: Shown) -> None:
    alerts = alerts_of(shown.view)
    assert len(alerts) >= 3
    for alert in alerts[:3]:
        assert f"{alert.subject}: {alert.text}" in shown.alerts
        assert f"{alert.subject}: {alert.text}" in shown.screen_alerts
        assert alert.text in shown.page_alerts


def test_a_task_is_the_same_everywhere(shown: Shown) -> None:
    info = shown.task.info
    attempt = f"{count(info.attempt)} of {count(info.max_retry + 1)}"
    assert attempt in shown.task_lines
    assert attempt in shown.task_screen
    assert attempt in shown.task_page
    assert shown.task_json["attempt"] == info.attempt
    assert shown.task_json["max_retry"] == info.max_retry
    for text in (info.id, info.type, info.state.value, "ValueError: later"):
        assert text in shown.task_lines
        assert text in shown.task_screen
        assert text in shown.task_page
