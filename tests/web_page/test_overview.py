from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import httpx
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, Task
from rediq_trio.observe.type_steps import NO_ATTEMPTS, TYPES_STEP, AttemptCounts, TypeSteps
from rediq_trio.observe.views import FleetView, look
from rediq_trio.values.task import WorkerInfo
from rediq_trio.web.fleet_parts.memory import FleetMemory
from rediq_trio.web.fleet_parts.readings import Readings, _series_again, readings_of, seen
from rediq_trio.web.pages.overview import show
from rediq_trio.web.site.page import Right, Shared, Visit, Visitor
from tests.web_page.visiting import visiting

NOW = dt.datetime(2026, 11, 29, 12, 0, tzinfo=dt.UTC)


@asynccontextmanager
async def fleet(
    right: Right = Right.LOOK,
) -> AsyncGenerator[tuple[rediq.Client, httpx.AsyncClient]]:
    """Run a worker of two queues on a store in memory, and yield a client and a browser."""
    app = rediq.App()

    @app.task("mail:send", queue="emails", max_retry=0)
    async def send(to: str) -> str:
        if to == "nobody":
            raise ConnectionError("<b>refused</b> \x1b[31m")
        return to

    @app.task("mail:wait", queue="emails", timeout=600)
    async def wait() -> None:
        await trio.sleep_forever()

    async with (
        rediq.serve(
            app, MemoryStore(), queues=["emails", "other"], concurrency=4, name="mail-1",
            heartbeat=0.2, lease=2, shutdown_grace=0,
        ) as server,
        visiting(right, source=server.client) as browser,
    ):  # fmt: skip
        yield server.client, browser


async def page_with(browser: httpx.AsyncClient, path: str, *wanted: str) -> str:
    """Return a page once it has these words."""
    text = ""
    with trio.move_on_after(30):
        while not all(word in text for word in wanted) or not text:
            await trio.sleep(0.1)
            text = (await browser.get(path)).text
    assert [word for word in wanted if word not in text] == []
    return text


async def test_where_there_is_nothing_yet_the_steps_to_the_first_task_are_shown() -> None:
    async with visiting(source="memory://") as browser:
        text = (await browser.get("/")).text
    assert "Nothing yet." in text
    assert "rediq run worker_app:app --queues emails --url memory://" in text
    assert "rediq enqueue email:send to=a@example.com --queue emails --url memory://" in text


async def test_the_overview_shows_alerts_charts_queues_kinds_and_what_runs() -> None:
    async with fleet() as (client, browser):
        await client.enqueue(Task("mail:send", {"to": "nobody"}, queue="emails"))
        await client.enqueue(Task("mail:wait", queue="emails"))
        await client.enqueue(Task("x", queue="lonely"))
        text = await page_with(
            browser,
            "/",
            "mail:wait",
            "ConnectionError",
            "no worker serves it",
            '1<span class="faint"> of 4',
        )
    assert "<b>lonely</b></a>: no live worker serves it, and it has 1 waiting task" in text
    for name in ("rates", "waits", "depths", "slots"):
        assert f'id="{name}-plot" data-live' in text
    assert "&lt;b&gt;refused&lt;/b&gt; \\x1b[31m" in text
    assert text.index('id="queue-lonely"') < text.index('id="queue-emails"')
    assert 'href="/queues?' not in text
    assert 'href="/?span=24h"' in text
    assert "style=" not in text


async def test_each_span_and_each_sort_is_a_link() -> None:
    async with fleet() as (client, browser):
        for name in ("emails", "beta", "alpha"):
            await client.enqueue(Task("mail:send", {"to": "a"}, queue=name))
        await client.enqueue(Task("x", queue="alpha"))
        await page_with(
            browser, "/", *(f'id="queue-{name}"' for name in ("alpha", "beta", "emails"))
        )
        for span in ("15m", "1h", "6h", "24h", "7d", "30d", "nonsense"):
            text = (await browser.get("/", params={"span": span})).text
            assert text.count("<figure") == 4
        for sort, first in (
            ("name", "alpha"),
            ("-name", "emails"),
            ("pending", "alpha"),
            ("-pending", "emails"),
        ):
            text = (await browser.get("/", params={"sort": sort})).text
            at = min(text.index(f'id="queue-{name}"') for name in ("alpha", "beta", "emails"))
            assert text[at:].startswith(f'id="queue-{first}"')
        assert 'aria-sort="descending"' in (await browser.get("/?sort=pending")).text
        assert 'aria-sort="ascending"' in (await browser.get("/?sort=-pending")).text


async def test_no_worker_at_all_is_a_red_band_that_says_since_when() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("x", queue="emails"))
        text = (await browser.get("/")).text
    assert "No worker is alive, and 1 task waits." in text
    assert "rediq run module:app" in text


async def test_alerts_of_one_queue_are_one_line_and_all_are_a_link_away() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        for n in range(8):
            await client.enqueue(Task("x", queue=f"q{n}"))
            await client.queue(f"q{n}").pause()
        text = (await browser.get("/")).text
        assert text.count("no live worker serves it, and") == 5
        assert 'href="/?alerts=all">3 more' in text
        assert (await browser.get("/?alerts=all")).text.count("no live worker serves it, and") == 8


@pytest.mark.mock_clock
async def test_readings_are_shared_and_kept_for_their_time() -> None:
    readings, calls = Readings(), 0

    async def read() -> int:
        nonlocal calls
        calls += 1
        await trio.sleep(1)
        return calls

    found: list[int | None] = []

    async def visit() -> None:
        found.append(await readings.get(("a",), 10.0, read))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(visit)
    assert found == [1] * 5
    await trio.sleep(9.5)
    assert await readings.get(("a",), 10.0, read) == 1
    await trio.sleep(1)
    assert await readings.get(("a",), 10.0, read) == 2
    await trio.sleep(100)
    assert await readings.get(("a",), 10.0, read, away=True) == 2
    assert await readings.get(("b",), 10.0, read, away=True) is None
    assert calls == 2


@pytest.mark.mock_clock
async def test_a_reading_of_what_did_not_change_counts_for_longer() -> None:
    readings, calls = Readings(), 0

    async def read() -> int:
        nonlocal calls
        calls += 1
        return calls

    assert await readings.get(("a",), 10.0, read, tag=5, same=60.0) == 1
    await trio.sleep(30)
    assert await readings.get(("a",), 10.0, read, tag=5, same=60.0) == 1
    assert await readings.get(("a",), 10.0, read, tag=6, same=60.0) == 2
    await trio.sleep(61)
    assert await readings.get(("a",), 10.0, read, tag=6, same=60.0) == 3


@pytest.mark.mock_clock
async def test_what_cannot_be_read_is_what_was_read_before() -> None:
    readings = Readings()

    async def read() -> int:
        return 1

    async def fail() -> int:
        raise rediq.ConnectionLost("away")

    assert await readings.get(("a",), 1.0, fail) is None
    assert await readings.get(("a",), 1.0, read) == 1
    await trio.sleep(2)
    assert await readings.get(("a",), 1.0, fail) == 1


def worker(name: str, *, beat: float = 0.0, state: str = "working", slots: int = 4) -> WorkerInfo:
    return WorkerInfo(
        id=name, host="h", pid=1, queues=("emails",), concurrency=slots, running=1,
        started_at=NOW - dt.timedelta(hours=1), last_heartbeat=NOW + dt.timedelta(seconds=beat), version="1",
        instance=f"{name}#1", state=state, settings={"heartbeat": 2.0, "lease": 30.0},  # type: ignore[arg-type]
    )  # fmt: skip


def view(seconds: float, *workers: WorkerInfo) -> FleetView:
    return FleetView(at=NOW + dt.timedelta(seconds=seconds), workers=workers)


def test_workers_that_are_gone_are_remembered_for_ten_minutes() -> None:
    memory = FleetMemory()
    memory.note(view(7, worker("a"), worker("b", beat=6), worker("c", state="stopping")))
    memory.note(view(9, worker("b", beat=8)))
    gone = memory.gone(NOW + dt.timedelta(seconds=9))
    assert {each.info.id: each.ending for each in gone} == {"a": "silent", "c": "stopped"}
    assert "what it ran, 1, goes to others" in next(
        each.why for each in gone if each.info.id == "a"
    )
    assert memory.gone(NOW + dt.timedelta(minutes=11)) == []


def test_a_worker_that_says_that_it_ends_is_not_silent() -> None:
    memory = FleetMemory()
    memory.note(view(1, worker("a")))
    memory.note(view(3))
    (gone,) = memory.gone(NOW + dt.timedelta(seconds=3))
    assert (gone.ending, gone.why) == ("stopped", "stopped in good order")


def test_how_a_worker_ended_is_not_known_if_nobody_looked() -> None:
    memory = FleetMemory()
    memory.note(view(1, worker("a")))
    memory.note(view(60))
    (gone,) = memory.gone(NOW + dt.timedelta(seconds=60))
    assert gone.ending == "unseen"


def test_a_worker_that_comes_back_is_not_gone() -> None:
    memory = FleetMemory()
    memory.note(view(1, worker("a")))
    memory.note(view(3))
    memory.note(view(5, worker("a", beat=5)))
    assert memory.gone(NOW + dt.timedelta(seconds=5)) == []


def test_a_view_of_redis_away_says_nothing_of_workers() -> None:
    memory = FleetMemory()
    memory.note(view(1, worker("a")))
    memory.note(FleetView(at=NOW + dt.timedelta(seconds=5), away="refused"))
    assert memory.gone(NOW + dt.timedelta(seconds=5)) == []


def test_slots_are_known_since_the_youngest_worker_came() -> None:
    memory = FleetMemory()
    memory.note(view(1, worker("a"), worker("b", slots=8)))
    memory.note(view(3, worker("a"), worker("b", slots=8)))
    memory.note(view(5, worker("a")))
    assert list(memory.slots) == [
        (NOW - dt.timedelta(hours=1), 12), (NOW + dt.timedelta(seconds=5), 4),
    ]  # fmt: skip


def attempts(completed: int) -> AttemptCounts:
    return AttemptCounts((completed, *NO_ATTEMPTS.counts[1:]))


def test_what_was_read_of_types_is_followed_by_what_is_new() -> None:
    steps = [NOW + TYPES_STEP * n for n in range(4)]
    before = TypeSteps(
        steps[2] + TYPES_STEP / 2,
        {
            "a": {steps[0]: attempts(1), steps[1]: attempts(2), steps[2]: attempts(3)},
            "b": {steps[1]: attempts(7)},
        },
    )
    newer = TypeSteps(
        steps[3],
        {"a": {steps[2]: attempts(5), steps[3]: attempts(1)}, "c": {steps[3]: attempts(9)}},
    )
    found = before.followed_by(newer, TYPES_STEP * 2)
    assert found.at == newer.at
    assert {name: {at: each.ended for at, each in one.items()} for name, one in found.types.items()} == {
        "a": {steps[1]: 2, steps[2]: 5, steps[3]: 1}, "b": {steps[1]: 7}, "c": {steps[3]: 9},
    }  # fmt: skip
    assert found.lately(TYPES_STEP).ended == 15


async def test_a_series_that_is_read_again_is_what_a_reading_of_all_of_it_would_be() -> None:
    async with fleet() as (client, browser):
        await client.enqueue(Task("mail:send", {"to": "a"}, queue="emails"))
        await page_with(browser, "/", 'id="queue-emails"')
        hour = dt.timedelta(hours=1)
        shared = Shared(client, None, None)  # type: ignore[arg-type]
        visit = Visit(client=client, visitor=Visitor("a"), shared=shared, path="/")
        first = await _series_again(visit, "emails", hour, None)
        again = await _series_again(visit, "emails", hour, first)
        whole = await client.queue("emails").series(hour)
        assert again.step == whole.step
        assert [each.at for each in again.points][-3:] == [each.at for each in whole.points][-3:]
        assert sum(each.completed for each in again.points) == sum(
            each.completed for each in whole.points
        )


async def test_while_redis_is_away_the_last_view_is_shown_and_nothing_is_called() -> None:
    async with fleet() as (client, browser):
        await client.enqueue(Task("mail:send", {"to": "a"}, queue="emails"))
        await page_with(browser, "/", 'id="queue-emails"')
        here = dt.datetime.now(dt.UTC)
        gone = attrs.evolve(FleetView.empty(), at=here, away="refused")
        shared = Shared(client, None, None)  # type: ignore[arg-type]
        visit = Visit(client=client, visitor=Visitor("a"), shared=shared, path="/")
        before = await look(client)
        readings_of(visit).memory.note(before)

        async def away() -> FleetView:
            return gone

        shared.view = away
        found = await seen(visit)
        assert (found.away, found.queues, found.at) == ("refused", before.queues, before.at)
        values = (await show(visit)).values
        assert readings_of(visit).calls == 0
        assert [row.name for row in values["rows"]] == ["emails"]
        assert [each.chart.rows for each in values["charts"]] == [()] * 4
