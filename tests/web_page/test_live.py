"""The stream of ticks, over a real server, as the command serves it."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing

import httpx
import pytest
import redis as redis_py
import trio

import rediq_trio as rediq
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site import live
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.fleet import FLEET_EVERY, watching
from rediq_trio.web.site.page import Right
from rediq_trio.web.site.serving import listen, serve_site
from tests.servers import Server, require_any_server
from tests.web_page.visiting import visiting

WITHIN = 60.0
"""Seconds after which nothing more is waited for."""


@asynccontextmanager
async def served(
    access: Access, source: str = "memory://"
) -> AsyncGenerator[tuple[httpx.AsyncClient, trio.Event]]:
    """Serve a site; the event ends it, and the block waits for the end."""
    stop = trio.Event()
    site = Site(source, access=access)
    with closing(listen("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with (
            site,
            httpx.AsyncClient(base_url=url, timeout=WITHIN) as browser,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(serve_site, site, listener, stop.wait)
            yield browser, stop
            stop.set()


async def test_a_stream_has_a_tick_for_each_new_view() -> None:
    found: list[dict[str, object]] = []

    def authorize(_: object) -> Right:
        return Right.LOOK if len(found) < 2 else Right.NONE  # which ends the stream

    async with (
        served(Access(authorize=authorize)) as (browser, _),
        browser.stream("GET", "/live") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        with trio.fail_after(WITHIN):
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line.removeprefix("data: ")))
    first, second = found[:2]
    assert first["away_for"] is None
    assert int(str(second["number"])) > int(str(first["number"]))
    assert first["version"] == second["version"]


async def test_a_hundred_streams_end_at_once_when_the_server_stops() -> None:
    async with served(Access(open_to=Right.LOOK)) as (browser, stop):
        async with trio.open_nursery() as nursery:
            opened: list[None] = []

            async def look() -> None:
                async with browser.stream("GET", "/live") as answer:
                    opened.append(None)
                    async for _ in answer.aiter_lines():
                        pass

            browser_limits = 100
            for _ in range(browser_limits):
                nursery.start_soon(look)
            with trio.fail_after(WITHIN):
                while len(opened) < browser_limits:
                    await trio.sleep(0.05)
            asked = trio.current_time()
            stop.set()
        # Each stream has ended, well before a browser would have given up.
        assert trio.current_time() - asked < 20


async def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_MAX", 1)
    async with served(Access(open_to=Right.LOOK)) as (browser, _):
        async with browser.stream("GET", "/live") as first:
            assert first.status_code == 200
            second = await browser.get("/live")
            assert second.status_code == 503
            assert "Close some" in second.text
        with trio.fail_after(WITHIN):
            while (await browser.head("/live")).status_code != 200:
                await trio.sleep(0.05)


async def test_of_streams_that_are_opened_at_once_no_more_are_served_than_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "STREAMS_MAX", 3)
    statuses: list[int] = []
    async with served(Access(open_to=Right.LOOK)) as (browser, _), trio.open_nursery() as nursery:

        async def look() -> None:
            async with browser.stream("GET", "/live") as answer:
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    await trio.sleep_forever()

        for _ in range(40):
            nursery.start_soon(look)
        with trio.fail_after(WITHIN):
            while len(statuses) < 40:
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert statuses.count(200) == 3
    assert statuses.count(503) == 37


async def test_a_stream_is_for_those_who_may_look_and_ends_with_their_right() -> None:
    rights = [Right.LOOK]
    async with served(Access(authorize=lambda _: rights[-1])) as (browser, _):
        rights.append(Right.NONE)
        assert (await browser.get("/live")).status_code == 403
        rights.append(Right.LOOK)
        seen = 0
        async with browser.stream("GET", "/live") as answer:
            with trio.fail_after(WITHIN):
                async for line in answer.aiter_lines():
                    seen += line.startswith("data: ")
                    if seen:
                        rights.append(Right.NONE)
        assert seen


async def test_a_site_that_nobody_looks_at_reads_nothing() -> None:
    async with rediq.connect("memory://") as client, watching(client, every=0.01) as fleet:
        sampler = fleet._sampler
        assert sampler.readings == 0
        with fleet.looking():
            await fleet.after(0)
        with trio.fail_after(WITHIN):
            before = -1
            while before != sampler.readings:
                before = sampler.readings
                await trio.sleep(0.5)


AFTER_LAST = 5.0
"""Seconds after the last viewer has left, from which on Redis is asked nothing."""


async def test_redis_is_asked_nothing_5_s_after_the_last_viewer_has_left(
    start_server: Callable[[str], Server],
) -> None:
    url = start_server(require_any_server()).url
    async with rediq.connect(url) as client:
        await client.enqueue_many([rediq.Task("x", queue=f"q{n}") for n in range(5)])
    with redis_py.Redis.from_url(url) as raw:
        async with served(Access(open_to=Right.LOOK), url) as (browser, _):

            def calls() -> int:
                of_tests = ("cmdstat_info", "cmdstat_config")
                found = raw.info("commandstats").items()
                return sum(said["calls"] for name, said in found if not name.startswith(of_tests))

            async def look() -> None:
                async with browser.stream("GET", "/live") as answer:
                    async for _ in answer.aiter_lines():
                        pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(look)
                for path in ("/", "/queues/q1", "/dead", "/workers", "/failures", "/check"):
                    await browser.get(path)
                await trio.sleep(3 * FLEET_EVERY)
                nursery.cancel_scope.cancel()
            before = calls()
            assert before
            await trio.sleep(AFTER_LAST)
            after = calls()
            await trio.sleep(3 * FLEET_EVERY)
            assert calls() == after


async def test_after_a_change_a_page_shows_what_is_there_then() -> None:
    async with rediq.connect("memory://") as client, watching(client, every=math.inf) as fleet:
        assert (await fleet.view()).queues == ()
        await client.enqueue(rediq.Task("x", queue="emails"))
        assert (await fleet.view()).queues == ()  # the next reading is far away
        fleet.changed()
        assert [each.name for each in (await fleet.view()).queues] == ["emails"]


async def test_a_page_does_not_end_a_stream() -> None:
    async with visiting() as browser:
        assert (await browser.head("/live")).status_code == 200
