from __future__ import annotations

import pytest
import redis.exceptions
import trio
from redis.asyncio.connection import Connection

from rediq_trio.store.redis.connection.event_loop import open_loop
from rediq_trio.store.redis.connection.subscriber import Subscriber
from rediq_trio.store.redis.keys import Keys


@pytest.mark.mock_clock
async def test_a_server_that_is_gone_is_dialled_less_and_less_often() -> None:
    dials: list[float] = []

    async def connect() -> Connection:
        dials.append(trio.current_time())
        raise redis.exceptions.ConnectionError("nobody is there")

    subscriber = Subscriber(Keys("test"), connect)
    with subscriber.listen([("q", "")]), trio.move_on_after(60):
        async with open_loop():
            await subscriber.run()
    # A pause is at most 2 s; the first ones are shorter.
    assert 30 <= len(dials) <= 80
