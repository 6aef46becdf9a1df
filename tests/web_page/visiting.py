"""A browser without a window: asks a site over ASGI."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import httpx

from rediq_trio.client import Client
from rediq_trio.web.access.deciding import Access
from rediq_trio.web.site.application import Site
from rediq_trio.web.site.page import Right

URL = "http://127.0.0.1:8080"
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}
"""What a browser says of a form of the site itself."""


def asking(
    site: Site,
    *,
    address: str = "127.0.0.1",
    url: str = URL,
    headers: Mapping[str, str] = FROM_HERE,
) -> httpx.AsyncClient:
    """Return a browser at an address, with cookies of its own."""
    transport = httpx.ASGITransport(site, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url=url, headers=headers)


@asynccontextmanager
async def visiting(
    right: Right = Right.CHANGE, source: str | Client = "memory://"
) -> AsyncGenerator[httpx.AsyncClient]:
    """Open a site in which everybody has a right, and yield a browser."""
    site = Site(source, name="production", access=Access(open_to=right, name="ada"))
    async with site.open(), asking(site) as browser:
        yield browser
