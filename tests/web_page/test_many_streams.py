"""As many streams as files may be open: so many are served, the others are told, and the page goes on."""

from __future__ import annotations

import resource
from collections import Counter

import pytest
import trio

from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site import live
from rediq_trio.web.site.page import Right
from tests.web_page.test_live import WITHIN, served

MANY = 10_000
SERVED = 100
"""Streams that may be open: each of them is sent a tick in each second, which takes the time of the rest."""
SECONDS = 60.0
"""Seconds for which further ones are opened: a busy machine opens fewer than there are to be."""
OTHER_FILES = 500
"""Files that this process has open for other reasons, at most."""
AT_ONCE = 50
"""Connections that are being made at the same time."""


def sockets() -> int:
    """Return how many connections can be made here, of which this process has both ends."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MANY if most == resource.RLIM_INFINITY else min(MANY, (most - OTHER_FILES) // 2)


@pytest.mark.slow
async def test_of_thousands_of_streams_so_many_are_served_and_the_page_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "STREAMS_MAX", SERVED)
    statuses: Counter[bytes] = Counter()
    numbers = iter(range(sockets()))

    async with served(Access(open_to=Right.LOOK)) as (browser, _):
        host, port = browser.base_url.host, browser.base_url.port or 0
        request = f"GET /live HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()

        async def open_some() -> None:
            for _ in numbers:
                if trio.current_time() > end:
                    return
                stream = await trio.open_tcp_stream(host, port)
                kept.append(stream)
                await stream.send_all(request)
                statuses[(await stream.receive_some(4096))[9:12]] += 1

        kept: list[trio.SocketStream] = []
        end = trio.current_time() + SECONDS
        with trio.fail_after(SECONDS + WITHIN):
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(open_some)
            print(f"{statuses.total():,} streams were asked for: {statuses}")
            assert statuses.total() > 2 * SERVED
            assert statuses == {b"200": SERVED, b"503": statuses.total() - SERVED}
            assert (await browser.get("/help")).status_code == 200
            refused = await browser.get("/live")
            assert refused.status_code == 503
            assert "Close some, or reload for new numbers." in refused.text
            for stream in kept:
                await stream.aclose()
            # Those that have left make room for others.
            while (await browser.head("/live")).status_code != 200:
                await trio.sleep(0.1)
