"""Commands that one caller sends together, and waits for together."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio.testing

from rediq_trio import ConnectionLost, StoreError
from tests.servers import Server, open_redis_store


async def test_each_command_has_its_reply_or_its_error(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        gateway = opened.gateway
        await gateway.call(b"SET", b"text", b"x")
        first, wrong, last = await gateway.read_each(
            [(b"HLEN", b"none"), (b"HLEN", b"text"), (b"ZCARD", b"none")]
        )
        assert (first, last) == (0, 0)
        assert isinstance(wrong, StoreError)
        assert await gateway.read_each([]) == []
        many = await gateway.read_each([(b"HEXISTS", b"none", str(n)) for n in range(2000)])
        assert many == [0] * 2000


async def test_a_command_that_may_write_is_refused_and_none_is_sent(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        with pytest.raises(ValueError, match="not known to only read"):
            await opened.gateway.read_each([(b"HLEN", b"none"), (b"SET", b"a", b"b")])


async def test_a_caller_that_is_cancelled_leaves_the_connection_usable(
    redis_server: Server,
) -> None:
    async with open_redis_store(redis_server) as opened, trio.open_nursery() as nursery:
        gateway = opened.gateway
        before = await gateway.call(b"CLIENT", b"ID")
        nursery.start_soon(gateway.call, b"DEBUG", b"SLEEP", b"1.5")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.move_on_after(0.05) as scope:
            await gateway.read_each([(b"HLEN", b"none")] * 600)
        assert scope.cancelled_caught
        assert await gateway.read_each([(b"HLEN", b"none")]) == [0]
        assert await gateway.call(b"CLIENT", b"ID") == before


async def test_calls_of_a_client_that_closes_end(redis_server: Server) -> None:
    replies: list[object] = []
    async with trio.open_nursery() as nursery:
        async with open_redis_store(redis_server) as opened:
            gateway = opened.gateway

            async def ask() -> None:
                replies.extend(await gateway.read_each([(b"HLEN", b"none")] * 600))

            async def hold() -> None:
                with suppress(ConnectionLost):
                    await gateway.call(b"DEBUG", b"SLEEP", b"0.2")

            nursery.start_soon(hold)
            await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(ConnectionLost, match="closed"):
            await gateway.read_each([(b"HLEN", b"none")])
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert len(replies) == 600
    assert all(isinstance(reply, ConnectionLost) for reply in replies)
