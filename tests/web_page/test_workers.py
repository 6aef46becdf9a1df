from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import pytest

from rediq_trio import Task
from rediq_trio.values.observed.workers import WorkerHealth
from rediq_trio.web.fleet_parts.worker_words import health_of, usual_version
from rediq_trio.web.site.page import Right
from tests.web_page.test_overview import NOW, fleet, page_with, worker
from tests.web_page.visiting import visiting

LATER = NOW + dt.timedelta(seconds=1)


async def test_without_a_worker_the_page_says_how_to_start_one() -> None:
    async with visiting() as browser:
        text = (await browser.get("/workers")).text
    assert "Redis knows of no worker." in text
    assert "rediq run module:app --url memory://" in text


async def test_workers_are_shown_with_what_they_run() -> None:
    async with fleet() as (client, browser):
        await client.enqueue(Task("mail:wait", queue="emails"))
        text = await page_with(browser, "/workers", "mail:wait", "1 of 4 slots in use", "ready")
        assert "emails, other" in text
        assert "All are well, and 3 slots are free." in text
        assert "/stop" not in text
        page = await page_with(browser, "/workers/mail-1", "mail:wait")
        for word in ("alive, ready", "mail:send", "Loop delay", "shutdown_grace", "every 200 ms"):
            assert word in page
        for sort in ("name", "-name", "running", "delay", "memory", "heard", "nonsense"):
            assert (await browser.get("/workers", params={"sort": sort})).status_code == 200


async def test_a_queue_that_nobody_serves_is_the_first_thing_said() -> None:
    async with fleet() as (client, browser):
        await client.enqueue(Task("x", queue="lonely"))
        await page_with(browser, "/workers", "Nobody serves lonely, where tasks wait.")


async def test_a_worker_is_made_quiet_let_work_and_stopped() -> None:
    async with fleet(Right.CHANGE) as (client, browser):
        text = await page_with(browser, "/workers", "/quiet", "/stop?back")
        assert "Quiet mail-1?" in (await browser.get("/workers/mail-1/quiet")).text
        done = await browser.post("/workers/mail-1/quiet", data={"back": "/workers"})
        assert (done.status_code, done.headers["location"]) == (303, "/workers")
        text = await page_with(browser, "/workers", "quiet: nothing left to finish")
        assert "/work&#34;" in text or '/work"' in text
        await browser.post("/workers/mail-1/work", data={})
        await page_with(browser, "/workers", "> ready" if "> ready" in text else "ready")
        asked = (await browser.get("/workers/mail-1/stop")).text
        assert "Stop mail-1?" in asked
        assert "no attempt is charged" in asked
        assert (
            await browser.post("/workers/mail-1/stop", data={"grace": "soon"})
        ).status_code == 400
        assert (await browser.post("/workers/mail-1/stop", data={"grace": "1s"})).status_code == 303
        text = await page_with(browser, "/workers", "No worker is alive", 'class="gone"')
        assert "stopped in good order" in text
        page = (await browser.get("/workers/mail-1")).text
        assert "Stopped in good order." in page
        assert "Quiet" not in page
        assert [entry.what for entry in await client.audit()] == [
            "WorkerHandle.stop", "WorkerHandle.work", "WorkerHandle.quiet",
        ]  # fmt: skip


async def test_the_stacks_of_running_attempts_are_shown_when_asked_for() -> None:
    async with fleet(Right.ACT) as (client, browser):
        handle = await client.enqueue(Task[None]("mail:wait", queue="emails"))
        await page_with(browser, "/workers/mail-1", "mail:wait", "/stacks")
        text = (await browser.post("/workers/mail-1/stacks", data={})).text
        assert "sleep_forever" in text
        assert handle.id in text
        assert (await browser.get("/workers/mail-1/stacks")).headers[
            "location"
        ] == "/workers/mail-1"


@pytest.mark.parametrize("order", ["quiet", "stop", "work"])
async def test_who_may_only_act_gives_no_orders(order: str) -> None:
    async with fleet(Right.ACT) as (_, browser):
        assert (await browser.post(f"/workers/mail-1/{order}", data={})).status_code == 403
        text = await page_with(browser, "/workers", "mail-1")
        assert f"/workers/mail-1/{order}" not in text


async def test_a_worker_that_is_not_there_is_a_page() -> None:
    async with fleet() as (_, browser):
        await page_with(browser, "/workers", "mail-1")
        answer = await browser.get("/workers/mail-9")
    assert answer.status_code == 404
    assert "did you mean mail-1?" in answer.text


@pytest.mark.parametrize(
    ("changes", "shape", "text"),
    [
        ({}, "well", "ready"),
        ({"running": 4}, "well", "ready, all slots taken"),
        ({"last_heartbeat": NOW - dt.timedelta(seconds=20)}, "away", "silent for 21 s"),
        (
            {"health": WorkerHealth(alive=False, ready=False, reasons=("stuck\x1b",))},
            "bad",
            "stuck\\x1b",
        ),
        ({"health": WorkerHealth(alive=True, ready=False)}, "warning", "not ready"),
        ({"stuck": ("emails/1",)}, "warning", "1 attempt ran on after its timeout"),
        ({"loop_delay": 11.0}, "warning", "event loop was blocked for 11 s"),
        ({"leases_lost": 2}, "warning", "lost 2 leases in 10 min"),
        ({"unconfirmed": 1}, "warning", "1 write was not confirmed in 10 min"),
        ({"state": "quiet"}, "off", "quiet: finishes 1"),
        ({"state": "quiet", "running": 0}, "off", "quiet: nothing left to finish"),
        ({"state": "stopping"}, "off", "stops: finishes 1"),
        ({"state": "starting"}, "well", "starts"),
    ],
)
def test_the_health_of_a_worker_is_said_in_words(
    changes: dict[str, Any], shape: str, text: str
) -> None:
    found = health_of(attrs.evolve(worker("a"), **changes), LATER)
    assert (found.shape, found.text) == (shape, text)


def test_the_usual_version_is_that_of_most_workers() -> None:
    some = [
        attrs.evolve(worker(name), version=version)
        for name, version in (("a", "1"), ("b", "2"), ("c", "1"))
    ]
    assert usual_version(some) == "1"
    assert usual_version(some[:2]) == "2"
    assert usual_version([]) == ""
