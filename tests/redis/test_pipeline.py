from __future__ import annotations

import pytest
import redis.exceptions
import trio
from redis.asyncio.connection import Connection

from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.connection.address import RedisNode, parse_address
from rediq_trio.store.redis.connection.calls import PendingCall
from rediq_trio.store.redis.connection.connection import Connector
from rediq_trio.store.redis.connection.event_loop import as_trio, open_loop
from rediq_trio.store.redis.connection.pipeline import Pipeline
from rediq_trio.store.redis.connection.timeouts import UNSENT_WAIT_MAX
from rediq_trio.store.redis.connection.topology import Topology


class Gone(Topology):
    """A server that nobody can connect to; notes when it is dialled, and how often it is reported."""

    def __init__(self) -> None:
        super().__init__(Connector(parse_address("redis://gone:1")))
        self.dials: list[float] = []
        self.refreshes = 0

    async def connect(self, node: RedisNode) -> Connection:
        self.dials.append(trio.current_time())
        raise redis.exceptions.ConnectionError("nobody is there")

    def refresh_soon(self) -> None:
        self.refreshes += 1


@pytest.mark.mock_clock
async def test_a_server_that_is_gone_is_dialled_less_and_less_often_until_the_call_is_given_up() -> (
    None
):
    gone = Gone()
    pipeline = Pipeline(RedisNode("gone", 1), "gone:1", gone, lambda call, error: False, None, 10.0)
    now = trio.current_time()
    pipeline.put(PendingCall((b"GET", b"k"), None, b"k", Confirm.NO, now, waiter=None))
    with trio.move_on_after(60):
        async with open_loop():
            await as_trio(pipeline.run)()
    assert 5 <= len(gone.dials) <= 15
    assert gone.dials[-1] - now < UNSENT_WAIT_MAX + 2
    assert gone.refreshes == len(gone.dials)
    assert not pipeline.inbox
