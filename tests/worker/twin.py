"""Two servers on one Redis, which race for everything."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import rediq_trio as rediq
from tests.servers import Server

SETTINGS: dict[str, Any] = {"lease": 5.0, "concurrency": 20}


@asynccontextmanager
async def twins(
    app: rediq.App,
    server: Server,
    queues: Sequence[Sequence[str]] = (("default",), ("default",)),
    **settings: Any,
) -> AsyncIterator[tuple[rediq.Client, rediq.Client]]:
    """Serve an app twice, each on a connection of its own; give their clients."""
    options = {**SETTINGS, "key_prefix": f"twins-{uuid.uuid4().hex[:8]}", **settings}
    mine, others = queues
    async with (
        rediq.serve(app, server.url, queues=list(mine), name="one", **options) as one,
        rediq.serve(app, server.url, queues=list(others), name="two", **options) as two,
    ):
        yield one.client, two.client


async def check_sound(client: rediq.Client) -> None:
    """Check every invariant of every queue, and that no message is left."""
    for name in await client.queues():
        assert await client.queue(name).check() == []
        assert await client._store.outbox(name, limit=0) == ()
