"""Who did what."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx

import rediq_trio as rediq
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right
from tests.web_page.visiting import asking


@asynccontextmanager
async def looking() -> AsyncGenerator[tuple[httpx.AsyncClient, rediq.Client]]:
    async with rediq.connect("memory://") as client:
        site = Site(client, access=Access(open_to=Right.LOOK))
        async with site, asking(site) as browser:
            yield browser, client


async def test_without_entries_it_says_what_was_looked_at() -> None:
    async with looking() as (browser, _):
        answer = await browser.get("/audit")
        assert "Nobody has changed anything yet" in answer.text


async def test_an_entry_says_who_what_and_on_what_with_links() -> None:
    async with looking() as (browser, client):
        ada = client.acting(who="ada <b>", tool="rediq", where="192.0.2.7")
        await ada.queue("emails").pause(reason="smtp \x1b[31mis down")
        text = (await browser.get("/audit")).text
        assert "ada &lt;b&gt;" in text
        assert "Queue.pause" in text
        assert 'href="/queues/emails"' in text
        assert "192.0.2.7" in text
        assert "\x1b" not in text
        assert "\\x1b[31m" in text


async def test_entries_are_filtered_by_person_and_by_operation() -> None:
    async with looking() as (browser, client):
        await client.acting(who="ada").queue("emails").pause()
        await client.acting(who="bob").queue("images").pause()
        by_ada = (await browser.get("/audit", params={"who": "ada"})).text
        assert "/queues/emails" in by_ada
        assert "/queues/images" not in by_ada
        about_images = (await browser.get("/audit", params={"what": "IMAGES"})).text
        assert "/queues/emails" not in about_images
        assert "Looked at 2 entries, found 1." in about_images


async def test_older_entries_are_on_further_pages() -> None:
    async with looking() as (browser, client):
        ada = client.acting(who="ada")
        for n in range(60):
            await ada.mark(f"mark {n:02}")
        first = (await browser.get("/audit")).text
        assert "mark 59" in first
        assert "mark 10" in first
        assert "mark 09" not in first
        (older,) = [part.partition('"')[0] for part in first.split('href="') if "after=" in part]
        second = (await browser.get(older)).text
        assert "mark 09" in second
        assert "mark 00" in second
        assert "mark 10" not in second
        assert "older" not in second.partition("pager")[2]


async def test_a_page_that_begins_nowhere_says_so() -> None:
    async with looking() as (browser, _):
        answer = await browser.get("/audit", params={"after": "x"})
        assert answer.status_code == 400
        assert "after=" in answer.text
