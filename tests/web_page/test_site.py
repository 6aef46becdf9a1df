"""The site: how it is opened and mounted, its frame, and what it does about what goes wrong."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
import trio
from starlette.requests import Request

import rediq_trio as rediq
from rediq_trio._errors import AccessRefused, ConnectionLost, NewerTask, ServerRefused
from rediq_trio.web import asgi
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site import requests
from rediq_trio.web.site.application import NOT_OPEN, Site
from rediq_trio.web.site.page import Done, Refused, Right, Shown, Undo, Visit
from rediq_trio.web.site.trouble import trouble_of
from tests.servers import require_any_server, running_server
from tests.web_page.visiting import FROM_HERE, URL, asking, visiting


async def test_each_answer_has_the_headers_that_keep_a_page_to_itself() -> None:
    async with visiting() as browser:
        for path in ("/help", "/nowhere", "/static/look.js", "/static/nowhere"):
            headers = (await browser.get(path)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"


async def test_pages_are_not_stored_and_files_are_kept_by_their_content() -> None:
    async with visiting() as browser:
        page = await browser.get("/help")
        assert page.headers["cache-control"] == "no-store"
        for link in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text):
            assert "?v=" in link
            file = await browser.get(link)
            assert file.status_code == 200
            assert "immutable" in file.headers["cache-control"]


async def test_script_and_style_are_small() -> None:
    async with visiting() as browser:
        assert len((await browser.get("/static/look.js")).content) <= 20 * 1024
        style = await browser.get("/static/look.css")
        assert len(style.content) <= 25 * 1024
        assert "/*" not in style.text
        assert "--paper:light-dark(#fbfaf7,#171513);" in style.text


async def test_a_page_has_no_inline_script_or_style() -> None:
    async with visiting() as browser:
        text = (await browser.get("/help")).text
        assert " style=" not in text
        assert "<style" not in text
        assert re.findall(r"<script(?! src=)", text) == []
        assert re.findall(r" on\w+=", text) == []


async def test_the_frame_names_the_environment_and_the_page() -> None:
    site = Site("memory://", name="<prod>", color="b", access=Access(open_to=Right.LOOK))
    async with site, asking(site) as browser:
        text = (await browser.get("/help")).text
        assert "<title>Help · &lt;prod&gt; · rediq</title>" in text
        assert 'class="env-b"' in text
        assert 'aria-current="page"' in text.partition("Help<")[0].rpartition("<a ")[2]


async def test_a_part_has_what_changes_and_not_the_rest() -> None:
    async with visiting() as browser:
        part = (await browser.get("/help", headers={"X-Rediq-Part": "main"})).text
        assert '<main id="main"' in part
        assert 'id="nav-queues"' in part
        assert 'role="search"' not in part
        assert "look.css" not in part


async def test_theme_and_zone_are_forms_that_come_back_to_the_page() -> None:
    async with visiting() as browser:
        done = await browser.post("/settings", data={"theme": "dark", "back": "/help?x=1"})
        assert (done.status_code, done.headers["location"]) == (303, "/help?x=1")
        assert 'data-theme="dark"' in (await browser.get("/help")).text
        await browser.post("/settings", data={"zone": "local", "place": "Asia/Tokyo"})
        assert " JST" in (await browser.get("/help")).text
        await browser.post("/settings", data={"zone": "local", "place": "../../etc/passwd"})
        assert (await browser.get("/help")).status_code == 200
        await browser.post("/settings", data={"zone": "utc", "theme": "<b>"})
        assert " UTC" in (await browser.get("/help")).text


@pytest.mark.parametrize(
    "back",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/help\r\nX: y", "help", ""],
)
async def test_the_way_back_stays_within_the_site(back: str) -> None:
    async with visiting() as browser:
        done = await browser.post("/settings", data={"theme": "dark", "back": back})
        assert done.headers["location"] == "/"


@pytest.mark.parametrize("base", ["/ops", "/ops/rediq", "/ops/"])
async def test_below_a_path_every_link_has_it_whether_a_proxy_takes_it_away_or_not(
    base: str,
) -> None:
    site = Site("memory://", base_path=base, access=Access(open_to=Right.LOOK))
    bare = base.rstrip("/")
    async with site, asking(site) as browser:
        for path in ("/help", f"{bare}/help", f"{bare}/help/"):
            text = (await browser.get(path)).text
            links = re.findall(r'(?:href|src|action)="(/[^"]*)"', text)
            assert links
            assert all(link.startswith(f"{bare}/") for link in links), links
            assert f'data-base="{bare}"' in text
        assert (await browser.get(bare)).status_code == (await browser.get(f"{bare}/")).status_code


async def test_mounted_in_an_app_it_is_below_the_app_s_path() -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    async with asgi("memory://") as page:
        app = Starlette(routes=[Mount("/ops", page)])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url=URL, headers=FROM_HERE
        ) as browser:
            text = (await browser.get("/ops/help")).text
            assert 'href="/ops/queues"' in text
            done = await browser.post("/ops/settings", data={"theme": "dark", "back": "/ops/help"})
            assert done.headers["location"] == "/ops/help"
            assert "Path=/ops;" in done.headers["set-cookie"]


async def lifespan_of(app: Any) -> list[dict[str, Any]]:
    """Start and stop an app; return what it says."""
    wanted = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return wanted.pop(0)

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return said


async def test_it_opens_and_closes_with_the_lifespan_of_its_server() -> None:
    said = await lifespan_of(asgi("memory://"))
    assert [each["type"] for each in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_server_that_cannot_be_reached_fails_the_start_with_the_reason() -> None:
    (said,) = await lifespan_of(asgi("redis://127.0.0.1:1"))
    assert said["type"] == "lifespan.startup.failed"
    assert "127.0.0.1:1" in said["message"]


async def test_before_it_is_open_it_says_how_to_open_it() -> None:
    async with asking(asgi("memory://")) as browser:
        answer = await browser.get("/help")
        assert (answer.status_code, answer.text) == (503, NOT_OPEN + "\n")


async def test_it_is_open_once() -> None:
    async with asgi("memory://") as page:
        with pytest.raises(rediq.ConfigError, match="open already"):
            async with page.open():
                pass


def test_a_host_on_asyncio_is_told_what_to_do() -> None:
    async def ask() -> tuple[list[dict[str, Any]], httpx.Response]:
        page = asgi("memory://")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url=URL) as browser:
            return await lifespan_of(page), await browser.get("/help")

    (failed,), answer = asyncio.run(ask())
    assert failed["type"] == "lifespan.startup.failed"
    for said in (failed["message"], answer.text):
        assert "this one is on asyncio" in said
        assert "--worker-class trio" in said
        assert "rediq web" in said
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ConnectionLost("no answer from cache-1"), 503, ("away", "comes back by itself")),
        (AccessRefused("no permission to run XADD"), 503, ("XADD", "rediq doctor")),
        (ServerRefused("out of memory"), 503, ("out of memory", "Try again")),
        (NewerTask("emails/1", 9), 409, ("newer", "Upgrade")),
        (rediq.TaskNotFound("emails/1"), 404, ("purged",)),
        (rediq.ConfigError("limit=0: must be 1 or more"), 400, ("limit=0", "change it")),
        (RecursionError("deep"), 500, ("its log under", "other pages work")),
    ],
)
def test_what_goes_wrong_says_what_to_do(
    error: Exception, status: int, words: tuple[str, ...]
) -> None:
    trouble = trouble_of(error)
    assert trouble.status == status
    said = f"{trouble.title} {trouble.why} {trouble.next_step}"
    assert all(word.lower() in said.lower() for word in words), said
    assert trouble.next_step


def test_an_unexpected_error_keeps_its_words_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    trouble = trouble_of(RuntimeError("the password is hunter2"))
    assert "hunter2" not in f"{trouble}"
    (record,) = caplog.records
    assert record.args is not None
    assert str(record.args[0]) in trouble.why  # type: ignore[index]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["gone", "silent"])
async def test_while_redis_is_away_the_last_numbers_stay_and_it_is_said(
    how: signal.Signals,
) -> None:
    with running_server(require_any_server()) as server:
        site = Site(server.url, name="production", access=Access(open_to=Right.LOOK))
        try:
            await see_it_go_away(site, partial(os.kill, server.pid, how))
        finally:
            if how is signal.SIGSTOP:
                os.kill(server.pid, signal.SIGCONT)


async def see_it_go_away(site: Site, end: Callable[[], None]) -> None:
    async with site, asking(site) as browser:
        text = (await browser.get("/help")).text
        assert "Redis has been away" not in text
        end()
        with trio.fail_after(30):
            while "Redis has been away" not in text:
                await trio.sleep(0.2)
                text = (await browser.get("/help")).text
        assert " stale" in text
        assert 'role="alert"' in text
        task = await browser.get("/find", params={"q": "emails/1"})
        assert task.status_code == 503
        assert "comes back by itself" in task.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused(method: str) -> None:
    async with visiting() as browser:
        assert (await browser.request(method, "/help")).status_code == 405


async def test_a_head_is_answered() -> None:
    async with visiting() as browser:
        assert (await browser.head("/help")).status_code == 200


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with visiting() as browser:
        told = await browser.post("/settings", content=b"x" * (requests.BODY_MAX + 1))
        assert told.status_code == 413
        assert "1,048,576 bytes" in told.text


async def test_a_body_without_a_length_is_read_up_to_the_bound_only() -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 65_536
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    scope = {"type": "http", "method": "POST", "headers": []}
    with pytest.raises(Refused, match="larger than") as caught:
        await requests.read_form(Request(scope, receive))
    assert caught.value.status == 413
    assert read <= requests.BODY_MAX + 65_536


@pytest.mark.mock_clock
async def test_a_body_that_does_not_arrive_is_given_up() -> None:
    async def receive() -> dict[str, Any]:
        await trio.sleep(3600)
        raise AssertionError

    scope = {"type": "http", "method": "POST", "headers": []}
    with pytest.raises(Refused, match="within 10 s") as caught:
        await requests.read_form(Request(scope, receive))
    assert caught.value.status == 408


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"a&" * 30_000, "application/x-www-form-urlencoded", 400),
    ],
)
async def test_a_body_that_is_no_form_is_refused(content: bytes, kind: str, status: int) -> None:
    async with visiting() as browser:
        answer = await browser.post("/settings", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status
        assert "<h1>" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/queues/%F0%9F%98%80",
        "/../etc/passwd",

        "/queues/" + "x" * 5000,
        "/%3Cscript%3E",
    ],
)
async def test_an_odd_path_is_a_page(path: str) -> None:
    async with visiting() as browser:
        answer = await browser.get(path)
        assert answer.status_code in (303, 400, 404)
        assert "<script>" not in answer.text


def test_the_health_server_needs_neither_templates_nor_pages() -> None:
    code = (
        "import sys, rediq_trio.web, rediq_trio.web.health_server\n"
        "found = [m for m in sys.modules if m == 'jinja2' or m.startswith('rediq_trio.web.site')]\n"
        "assert not found, found\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_extra_it_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("rediq_trio.web.site")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(rediq.ConfigError, match=r"pip install 'rediq-trio\[web\]'"):
        asgi("memory://")


async def test_what_an_act_did_is_said_once_with_the_way_back() -> None:
    from rediq_trio.web.site.toast import ToastSigner

    signer = ToastSigner()
    done = Done(said="Paused <b>.", to="/", undo=Undo(path="/queues/x/resume", word="Resume"))
    toast = signer.read(signer.written(done))
    assert toast is not None
    assert (toast.said, toast.undo) == (done.said, done.undo)
    assert ToastSigner().read(signer.written(done)) is None
    assert signer.read(signer.written(done) + "0") is None
    assert signer.read("") is None
    assert signer.read("e30.0") is None
    long = signer.written(Done(said="x" * 5000, to="/"))
    assert len(long) < 3900


async def test_links_escape_what_paths_cannot_hold() -> None:
    async with visiting() as browser:
        assert browser is not None
    visit = Visit(client=None, visitor=None, shared=None, path="/q", base="/ops")  # type: ignore[arg-type]
    assert visit.link("/queues/a b?<>", x="1 2", y=None, z="") == "/ops/queues/a%20b%3F%3C%3E?x=1+2"
    assert visit.here(a=1) == "/ops/q?a=1"
    assert Shown(template="x", title="y").status == 200
