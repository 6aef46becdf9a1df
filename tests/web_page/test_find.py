"""The search field."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
import pytest

import rediq_trio as rediq
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right
from tests.web_page.visiting import asking

app = rediq.App()


@app.task("mails:send", queue="emails", max_retry=0)
async def send(to: str) -> None:
    raise ValueError(f"cannot reach {to}")


@asynccontextmanager
async def looking() -> AsyncGenerator[tuple[httpx.AsyncClient, rediq.Client]]:
    async with rediq.connect("memory://") as client:
        site = Site(client, access=Access(open_to=Right.LOOK))
        async with site, asking(site) as browser:
            yield browser, client


async def led_to(browser: httpx.AsyncClient, text: str) -> str:
    answer = await browser.get("/find", params={"q": text})
    return str(answer.headers.get("location", answer.status_code))


async def test_an_id_leads_straight_to_its_task() -> None:
    async with looking() as (browser, client):
        handle = await client.enqueue(send.task(to="ada"))
        assert await led_to(browser, handle.id) == f"/tasks/{handle.id}"
        assert await led_to(browser, f"  {handle.id} ") == f"/tasks/{handle.id}"


async def test_a_queue_leads_straight_to_its_page() -> None:
    async with looking() as (browser, client):
        await client.enqueue(send.task(to="ada"))
        assert await led_to(browser, "emails") == "/queues/emails"


async def test_a_workflow_leads_straight_to_its_page() -> None:
    async with looking() as (browser, client):
        workflow = await client.enqueue(rediq.chain(send.task(to="a"), send.task(to="b")))
        assert await led_to(browser, workflow.id) == f"/workflows/{workflow.id}"


async def test_an_id_without_its_queue_is_found() -> None:
    async with looking() as (browser, client):
        handle = await client.enqueue(send.task(to="ada"))
        answer = await browser.get("/find", params={"q": handle.id.partition("/")[2]})
        assert f'href="/tasks/{handle.id}"' in answer.text


async def test_a_part_of_a_name_lists_what_has_it_and_where_to_look_further() -> None:
    async with looking() as (browser, client):
        await client.enqueue(send.task(to="ada"))
        answer = await browser.get("/find", params={"q": "mail"})
        assert 'href="/queues/emails"' in answer.text
        assert 'href="/failures?q=mail"' in answer.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing/0190",
        "<script>alert(1)</script>",
        "\x1b[31mred",
        "x" * 400,
        "emails/../../etc",
        "%00",
        "\u202egnp",
    ],
)
async def test_anything_may_be_looked_for(text: str) -> None:
    async with looking() as (browser, _):
        answer = await browser.get("/find", params={"q": text})
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "\x1b" not in answer.text
        assert "\u202e" not in answer.text
