"""Requests that no browser of ours sends: too large, too slow, without their fields, with hostile names."""

from __future__ import annotations

import re
from contextlib import closing
from urllib.parse import quote

import httpx
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, Task
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site import requests as site_requests
from rediq_trio.web.site.all_pages import ACTS, PAGES
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right
from rediq_trio.web.site.serving import listen, serve_site
from tests.web_page.visiting import visiting

WITHIN = 60.0
"""Seconds after which nothing more is waited for."""
GIB = 2**30
HOSTILE = (
    "<script>alert(1)</script>",
    "' OR 1=1; DROP TABLE tasks--",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egnp.exe",
    "\U0001f600\U00020000",
    "nul\x00nul",
    "{{7*7}}${7*7}{% raw %}",
    "../../etc/passwd",
    "%",
    "a" * 5_000,
)
"""Names that are HTML, SQL, ANSI, right-to-left, of 4 bytes, with NUL, templates, paths and long."""
PATTERNS = sorted({page.path for page in PAGES} | {act.path for act in ACTS})
ACT_PATHS = sorted(act.path for act in ACTS)


async def answered(head: str, *, body: bytes = b"") -> bytes:
    """Serve a page, send what is no good request, and return what comes until the first line is there."""
    stop = trio.Event()
    site = Site("memory://", access=Access(open_to=Right.CHANGE))
    found = b""
    with trio.fail_after(WITHIN), closing(listen("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with site, trio.open_nursery() as nursery:
            nursery.start_soon(serve_site, site, listener, stop.wait)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                lines = f"{head}\r\nHost: 127.0.0.1:{port}\r\nSec-Fetch-Site: same-origin\r\n\r\n"
                await stream.send_all(lines.encode() + body)
                while b"\r\n" not in found and (part := await stream.receive_some()):
                    found += part
            stop.set()
    return found


FORM = "POST /queues/x/pause HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded"


async def test_a_form_of_1_gb_is_refused_before_it_is_sent() -> None:
    assert b" 413 " in await answered(f"{FORM}\r\nContent-Length: {GIB}")


async def test_one_that_does_not_say_its_size_is_refused_at_the_bound() -> None:
    part = b"x" * 2**20
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for _ in range(2))
    assert b" 413 " in await answered(f"{FORM}\r\nTransfer-Encoding: chunked", body=body)


async def test_one_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_requests, "BODY_TIMEOUT", 0.2)
    assert b" 408 " in await answered(f"{FORM}\r\nContent-Length: 100", body=b"back=")


def filled(pattern: str, text: str) -> str:
    return re.sub(r"\{[^}]+\}", quote(text, safe=""), pattern)


async def wrong_answers(browser: httpx.AsyncClient, method: str, path: str, **form: str) -> list[str]:
    """Return what is wrong with the answer: a failure of the page, or text that is a part of it."""
    answer = await browser.request(method, path, data=form or None, params={"q": form.get("x", "")})
    wrong = [] if answer.status_code < 500 else [f"{method} {path[:80]}: {answer.status_code}"]
    seen = re.sub(r"<[^>]*>", "", answer.text)  # what people read: attributes are not shown
    if "<script>alert" in answer.text or "\x1b" in seen or "\u202e" in seen:
        wrong.append(f"{method} {path[:80]} has the text as it is")
    return wrong


@pytest.mark.parametrize("text", HOSTILE, ids=[ascii(text[:12]) for text in HOSTILE])
async def test_names_are_text_on_each_page_and_in_each_act(text: str) -> None:
    wrong: list[str] = []
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        for pattern in PATTERNS:
            wrong += await wrong_answers(browser, "GET", filled(pattern, text), x=text)
        for pattern in ACT_PATHS:
            fields = dict.fromkeys(("name", "queue", "text", "rate", "key", "back", "token", "x"), text)
            wrong += await wrong_answers(browser, "POST", filled(pattern, text), **fields)
        for query in ("q", "filter", "after", "queue", "span", "back", "key", "sort", "all", "looked"):
            for page in PAGES:
                path = f"{filled(page.path, 'x')}?{query}={quote(text, safe='')}"
                wrong += await wrong_answers(browser, "GET", path)
    assert wrong == []


@pytest.mark.parametrize("pattern", ACT_PATHS)
async def test_an_act_without_its_fields_is_a_page_that_says_so(pattern: str) -> None:
    async with rediq.connect(MemoryStore()) as client, visiting(source=client) as browser:
        task: Task[object] = Task("t", queue="mail")
        made = await client.enqueue(task)
        path = pattern.replace("{task:path}", made.id).replace("{queue}", "mail")
        path = filled(path.replace("{state}", "pending"), "none")
        assert await wrong_answers(browser, "POST", path) == []
