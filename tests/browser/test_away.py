"""Redis goes away and comes back while somebody looks."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio
from playwright.sync_api import expect

import rediq_trio as rediq
from rediq_trio import Task
from tests.browser.stage import WITHIN, NewContext, served, watch
from tests.servers import require_any_server, require_server, wait_ready

pytestmark = pytest.mark.slow

SOON = WITHIN * 1000


@contextmanager
def redis(folder: Path) -> Generator[str]:
    """Run a server that keeps its data in a folder."""
    path = folder / "s"
    command = [
        str(require_server(require_any_server())), "--port", "0", "--unixsocket", str(path),
        "--dir", str(folder), "--save", "", "--appendonly", "yes",
    ]  # fmt: skip
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_ready(child, str(path))
        yield f"unix://{path}"
    finally:
        child.terminate()
        child.wait(WITHIN)


async def enqueue(url: str) -> None:
    async with rediq.connect(url) as client:
        await client.enqueue(Task("t", queue="kept"))


def test_while_redis_is_away_the_page_says_so_and_keeps_what_it_knew(
    new_context: NewContext, tmp_path: Path
) -> None:
    context = new_context()
    tab = watch(context)
    with ExitStack() as stack:
        with redis(tmp_path) as url:
            trio.run(enqueue, url)
            site, _ = stack.enter_context(served(url, "rediq", "--write"))
            tab.go(site + "/check")
            expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
            expect(tab.page.locator("#queues")).to_contain_text("kept")
        expect(tab.page.locator("#band")).to_contain_text("Redis has been away", timeout=SOON)
        expect(tab.page.locator("#queues")).to_contain_text("kept")
        expect(tab.page.locator("body.stale")).to_have_count(1)
        with redis(tmp_path):
            expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
            expect(tab.page.locator("body.stale")).to_have_count(0)
            expect(tab.page.locator("#queues")).to_contain_text("kept")
    # A browser tells of each answer that is no page of 200, which is what this is about.
    assert [line for line in tab.heard if "status of 503" not in line] == []
