"""FastAPI on asyncio: uvicorn fastapi_app:web, beside a worker: rediq run reports:app"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from reports import make_report

import rediq_trio as rediq
import rediq_trio.asyncio


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncGenerator[dict[str, Any]]:
    async with rediq.asyncio.connect() as client:
        yield {"client": client}


async def client_of(request: Request) -> rediq.asyncio.AsyncioClient:
    client: rediq.asyncio.AsyncioClient = request.state.client
    return client


Client = Annotated[rediq.asyncio.AsyncioClient, Depends(client_of)]
web = FastAPI(lifespan=lifespan)


@web.post("/reports", status_code=202)
async def order(client: Client, customer: str, pages: int) -> dict[str, str]:
    handle = await client.enqueue(make_report.task(customer, pages))
    return {"id": handle.id}


@web.get("/reports/{id:path}")
async def look(client: Client, id: str) -> dict[str, Any]:
    try:
        info = await client.task(id).info()
    except (rediq.ConfigError, rediq.TaskNotFound):
        raise HTTPException(404, "there is no such report") from None
    return {"state": info.state, "result": info.result}
