"""hypercorn --worker-class trio mounted_page:app"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from rediq_trio.web import asgi
from rediq_trio.web.site.page import Right, Visitor


def authorize(request: Request) -> Visitor | None:
    if request.headers.get("x-key") == os.environ.get("OPS_KEY", "open sesame"):
        return Visitor("ops", Right.ACT)
    return None


page = asgi(os.environ.get("REDIQ_URL"), name="staging", color="b", authorize=authorize)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with page:
        yield


app = Starlette(routes=[Mount("/ops", page)], lifespan=lifespan)
