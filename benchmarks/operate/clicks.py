"""What clicks of a real browser leave behind: in the page, and in the process that serves it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import attrs
import trio
from playwright.sync_api import CDPSession, Page, sync_playwright

from benchmarks.operate.filling import spread
from benchmarks.operate.page import QUEUES, served
from benchmarks.operate.rows import Row
from benchmarks.peers.looking import resident
from benchmarks.scaling.stage import Stage

CLICKS_FEW, CLICKS_MANY = 2_000, 10_000
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
MIB = 1024 * 1024


@attrs.frozen
class Left:
    """What there is after some clicks."""

    heap: float
    """MiB that the scripts of the page hold, after a collection."""
    nodes: int
    """Nodes of all documents that are still known."""
    server: float
    """MiB that the page's process has resident."""


class Clicker:
    """Clicks through the pages of a site in one tab, and between two pages on what stays on a page."""

    def __init__(self, page: Page, site: str, pid: int) -> None:
        self._page = page
        self._pid = pid
        self._session: CDPSession = page.context.new_cdp_session(page)
        self._session.send("Performance.enable")
        self.done = 0
        page.goto(site)
        self._links = page.locator("#nav a").count()

    def click(self, times: int, goes_on: Callable[[], bool] = lambda: True) -> None:
        """Click so many times, or as long as it is to go on."""
        for _ in range(times):
            if not goes_on():
                return
            if self.done % 3 == 2:
                self._page.locator("button[name=theme]").nth(self.done % 2 + 1).click()
            else:
                self._page.locator("#nav a").nth(self.done % self._links).click()
            self.done += 1

    def left(self) -> Left:
        """Return what there is now, of what no collection takes away."""
        self._session.send("HeapProfiler.collectGarbage")
        metrics: list[dict[str, Any]] = self._session.send("Performance.getMetrics")["metrics"]
        known = {each["name"]: each["value"] for each in metrics}
        return Left(known["JSHeapUsedSize"] / MIB, int(known["Nodes"]), resident([self._pid]))


async def clicks(stage: Stage) -> list[Row]:
    """Measure what the page and its process hold after few clicks, and after many."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    few, many = stage.some(CLICKS_FEW), stage.some(CLICKS_MANY)
    what = f"{many:,} clicks in a browser"
    if program is None:
        return [Row(what, None, "", note="no chromium is on this machine")]
    await spread(stage, QUEUES)

    def work(site: str, pid: int) -> tuple[Left, Left]:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=arguments)
            clicker = Clicker(browser.new_page(), site, pid)
            clicker.click(few)
            first = clicker.left()
            stage.say(f"{few:,} clicks: {first}")
            clicker.click(many - few)
            last = clicker.left()
            browser.close()
            return first, last

    async with served(stage) as page:
        before, after = await trio.to_thread.run_sync(work, str(page.browser.base_url), page.pid)
    grown = f"what it grew by after {few:,} clicks"
    return [
        Row(f"memory of the page's process after {what}", after.server, "MB", 120),
        Row(f"{grown}", max(0.0, after.server - before.server), "MB", 3),
        Row(f"heap of the page after {what}", after.heap, "MB"),
        Row(f"heap of the page: {grown}", max(0.0, after.heap - before.heap), "MB", 1,
            note=f"{before.nodes:,} nodes, then {after.nodes:,}"),
    ]  # fmt: skip
