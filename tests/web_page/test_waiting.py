"""Why a row of pending tasks waits, and how often a kind of failure was seen."""

from __future__ import annotations

import datetime as dt

import attrs

import rediq_trio as rediq
from rediq_trio import MemoryStore, Task
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.web.drawing.small import spark
from rediq_trio.web.fleet_parts.kind_hours import HOURS, hours_of
from tests.web_page.test_overview import fleet, page_with
from tests.web_page.visiting import visiting

NOW = dt.datetime(2026, 11, 29, 12, 20, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
KIND = FailureKind(
    kind="a1b2c3d4e5f6", count=9, first_seen=NOW - 3 * HOUR, last_seen=NOW - HOUR, type="t",
    error_type="ValueError", message=None, place=None, task_ids=(), hours=(4, 0, 5),
)  # fmt: skip


def test_hours_of_a_kind_end_with_the_present_one() -> None:
    zeros = (HOURS - 4) * (0.0,)
    assert hours_of(KIND, NOW) == (*zeros, 5.0, 0.0, 4.0, 0.0)
    # 20 min later a new hour has begun on the clock, 39 min later still the same.
    assert hours_of(KIND, NOW + dt.timedelta(minutes=39)) == (*zeros, 5.0, 0.0, 4.0, 0.0)
    assert hours_of(KIND, NOW + dt.timedelta(minutes=40))[-3:] == (4.0, 0.0, 0.0)
    assert hours_of(KIND, NOW + 30 * HOUR) == HOURS * (0.0,)


def test_hours_that_an_older_version_counted_are_not_known() -> None:
    older = attrs.evolve(KIND, first_seen=NOW - 5 * HOUR)
    assert hours_of(older, NOW)[-7:] == (0.0, None, None, 5.0, 0.0, 4.0, 0.0)
    none = attrs.evolve(KIND, hours=())
    assert hours_of(none, NOW)[-5:] == (0.0, None, None, None, 0.0)


def test_bars_have_no_ground_where_nothing_is_known() -> None:
    whole = str(spark([1, 2, 0, 3], width=40, height=20, bars=True))
    assert 'd="M0 19.5H40"' in whole
    part = str(spark([1, None, None, 3], width=40, height=20, bars=True))
    assert 'd="M0 19.5h10M30 19.5h10"' in part


async def test_each_pending_task_says_what_holds_it() -> None:
    async with fleet() as (client, browser):
        await client.queue("emails").limit(key="smtp-2", concurrency=1)
        await client.enqueue_many(
            Task("mail:wait", queue="emails", limit_key="smtp-2") for _ in range(3)
        )
        text = await page_with(
            browser, "/queues/emails/pending", "<th scope=\"col\">Why it waits</th>",
            "limit key smtp-2: 1 of 1 run",
        )  # fmt: skip
        assert "3 pending tasks" in text or "2 pending tasks" in text
        await client.queue("emails").pause()
        await page_with(browser, "/queues/emails/pending", "the queue is paused")
        assert "Why it waits" not in (await browser.get("/queues/emails/active")).text


async def test_pending_tasks_that_nobody_serves_say_so() -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        await client.enqueue(Task("t", queue="q"))
        assert "no live worker serves the queue" in (await browser.get("/queues/q/pending")).text
