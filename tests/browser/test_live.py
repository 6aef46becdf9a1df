"""What changes is seen without loading again: by one tab, by two browsers, by ten tabs of one."""

from __future__ import annotations

import re
import signal
import socket
import time
from urllib.parse import urlsplit

import pytest
import trio
from playwright.sync_api import expect

import rediq_trio as rediq
from rediq_trio import Task
from tests.browser.stage import WITHIN, NewContext, Stage, served, watch

pytestmark = pytest.mark.slow

SOON = WITHIN * 1000
"""Milliseconds in which a change is seen at the latest, on a busy machine."""
TABS = 10
STREAMS = 100
"""Browsers that look at once."""
ENDS_WITHIN = 2.0
"""Seconds in which a page that is served ends, whoever looks."""


def enqueue(stage: Stage, queue: str, count: int = 1) -> None:
    """Enqueue tasks that no worker runs."""

    async def work() -> None:
        async with rediq.connect(stage.url, key_prefix=stage.prefix) as client:
            await client.enqueue_many([Task("late", queue=queue) for _ in range(count)])

    trio.run(work)


def test_a_change_is_seen_in_place_in_two_browsers(new_context: NewContext, stage: Stage) -> None:
    enqueue(stage, "watched")
    contexts = [new_context() for _ in range(2)]
    tabs = [watch(context) for context in contexts]
    for tab in tabs:
        tab.go(stage.site + "/check")
        expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
        tab.page.evaluate("window.same = true")
    row = re.compile("watched-late")
    enqueue(stage, "watched-late")
    for tab in tabs:
        expect(tab.page.locator("#queues")).to_contain_text(row, timeout=SOON)
    # What one does, the other sees.
    tabs[0].page.locator("#queues tr", has_text="watched-late").get_by_role(
        "button", name="Check"
    ).click()
    expect(
        tabs[1].page.locator("#queues tr", has_text="watched-late").get_by_text("holds")
    ).to_be_visible(timeout=SOON)
    assert tabs[1].page.evaluate("window.same") is True
    assert [line for tab in tabs for line in tab.heard] == []


def test_ten_tabs_of_one_browser_load_and_are_live(new_context: NewContext, stage: Stage) -> None:
    context = new_context()
    tabs = [watch(context) for _ in range(TABS)]
    for tab in tabs:
        tab.go(stage.site + "/schedules")
    for tab in tabs:
        expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
    before = [tab.page.inner_text("#live .at") for tab in tabs]
    for tab, at in zip(tabs, before, strict=True):
        expect(tab.page.locator("#live .at")).not_to_have_text(at, timeout=SOON)
    assert [line for tab in tabs for line in tab.heard] == []


def test_the_page_is_paused_and_goes_on_by_its_key(new_context: NewContext, stage: Stage) -> None:
    context = new_context()
    tab = watch(context)
    tab.go(stage.site + "/help")
    expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
    tab.page.keyboard.press(".")
    expect(tab.page.locator("#live")).to_contain_text("paused at", timeout=SOON)
    tab.page.keyboard.press(".")
    expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
    assert tab.heard == []


@pytest.mark.parametrize("streams", [0, STREAMS])
def test_a_page_that_is_looked_at_ends_soon_after_a_signal(stage: Stage, streams: int) -> None:
    with served(stage.url, stage.prefix) as (site, child):
        where = urlsplit(site)
        address = (where.hostname or "", where.port or 0)
        looking: list[socket.socket] = []
        for _ in range(streams):
            one = socket.create_connection(address, timeout=WITHIN)
            one.sendall(f"GET /live HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
            looking.append(one)
        for one in looking:
            assert b" 200 " in one.recv(4096).splitlines()[0]
        began = time.monotonic()
        child.send_signal(signal.SIGTERM)
        status = child.wait(WITHIN)
        took = time.monotonic() - began
        for one in looking:
            one.close()
    assert status == 0
    print(f"it ended {took:.2f} s after the signal, with {streams} streams")
    # Twice the time, for a machine that does other things too.
    assert took < 2 * ENDS_WITHIN + 2
