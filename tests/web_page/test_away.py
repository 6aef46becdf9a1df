"""Redis that is not there: before the page is started, and after it was looked at."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import redis as redis_py
import trio

import rediq_trio as rediq
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.fleet import LINGER
from rediq_trio.web.site.opening import opened_patiently
from rediq_trio.web.site.page import Right
from tests.servers import Server, require_any_server, require_server, wait_ready
from tests.web_page.visiting import asking

WITHIN = 60.0
"""Seconds after which nothing more is waited for."""


@contextmanager
def running_redis(path: Path, *options: str) -> Generator[None]:
    """Run a server at a socket for the block."""
    command = [str(require_server(require_any_server())), "--port", "0", "--unixsocket", str(path),
               "--dir", str(path.parent), "--save", "", *options]  # fmt: skip
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        if not options:
            wait_ready(child, str(path))
        yield
    finally:
        child.terminate()
        child.wait(WITHIN)


def site_of(source: str) -> Site:
    return Site(source, access=Access(open_to=Right.LOOK))


def counted_queues(answer: httpx.Response) -> str:
    """Return the number of queues in the navigation."""
    found = re.search(r'id="nav-queues"[^>]*>Queues(?:<span class="n">(\d+)</span>)?', answer.text)
    assert found is not None
    return found[1] or ""


async def status_of(browser: httpx.AsyncClient, path: str, wanted: int) -> httpx.Response:
    """Ask until there is an answer of a status."""
    with trio.fail_after(WITHIN):
        while (answer := await browser.get(path)).status_code != wanted:
            await trio.sleep(0.1)
    return answer


async def test_the_frame_names_the_server_and_its_version(
    start_server: Callable[[str], Server],
) -> None:
    url = start_server(require_any_server()).url
    with redis_py.Redis.from_url(url) as raw:
        info = raw.info("server")
    version = info.get("valkey_version", info["redis_version"])
    site = site_of(url)
    async with site.open(), asking(site) as browser:
        page = (await browser.get("/help")).text
    assert f" {version} on " in page


async def test_what_was_last_seen_is_still_counted_while_redis_is_away(tmp_path: Path) -> None:
    path = tmp_path / "s"
    site = site_of(f"unix://{path}")
    async with AsyncExitStack() as stack:
        with running_redis(path):
            async with rediq.connect(f"unix://{path}") as client:
                names = ("one", "two", "three")
                await client.enqueue_many([rediq.Task("x", queue=name) for name in names])
            browser = await stack.enter_async_context(asking(site))
            await stack.enter_async_context(site.open())
            seen = counted_queues(await browser.get("/help"))
            assert seen == "3"
            await trio.sleep(2 * LINGER)  # nobody looks, so nothing is read
        away = await browser.get("/help")
        assert "Redis has been away" in away.text
        assert counted_queues(away) == seen


async def test_a_page_that_is_started_before_redis_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    site = site_of(f"unix://{path}")
    async with opened_patiently(site) as at_once, asking(site) as browser:
        assert at_once is False
        page = await browser.get("/queues")
        assert page.status_code == 503
        assert page.headers["Refresh"] == page.headers["Retry-After"] == "3"
        assert "Redis is away" in page.text
        assert (await browser.post("/queues/x/pause")).headers.get("Refresh") is None
        assert (await browser.get("/static/look.css")).status_code == 200
        with running_redis(path):
            assert "Queues" in (await status_of(browser, "/queues", 200)).text
    assert (await asking(site).get("/queues")).text.startswith("rediq's web page is not open")


async def test_one_that_finds_redis_is_open_at_once(start_server: Callable[[str], Server]) -> None:
    site = site_of(start_server(require_any_server()).url)
    async with opened_patiently(site) as at_once, asking(site) as browser:
        assert at_once is True
        assert (await browser.get("/help")).status_code == 200


async def test_a_wrong_password_and_a_user_without_rights_are_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running_redis(path, "--requirepass", "right"):
        with trio.fail_after(WITHIN):
            while not path.exists():
                await trio.sleep(0.05)
        with redis_py.Redis(unix_socket_path=str(path), password="right") as raw:
            raw.acl_setuser("weak", enabled=True, passwords=["+weak"], commands=["+ping"])
        for user in (":wrong", "weak:weak"):
            with pytest.raises(rediq.ConfigError):
                async with opened_patiently(site_of(f"unix://{user}@{path}")):
                    pass
