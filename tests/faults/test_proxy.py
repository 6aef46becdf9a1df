"""The fault bench's proxy: what it says it does to connections, it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from tests.chaos.proxy import Proxy, run_proxy

WITHIN = 20.0


@attrs.define
class Echo:
    """A server that answers each chunk with itself, and counts what it was sent."""

    port: int = 0
    heard: bytes = b""

    async def handle(self, stream: trio.SocketStream) -> None:
        try:
            async for data in stream:
                self.heard += data
                await stream.send_all(data)
        except trio.BrokenResourceError:
            pass


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Proxy, Echo]]:
    echo = Echo()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo.handle, 0)
        echo.port = listeners[0].socket.getsockname()[1]
        async with run_proxy(echo.port) as proxy:
            yield proxy, echo
        nursery.cancel_scope.cancel()


async def dial(proxy: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", proxy.port)


async def asked(stream: trio.SocketStream, data: bytes) -> bytes:
    await stream.send_all(data)
    with trio.fail_after(WITHIN):
        return bytes(await stream.receive_some(1000))


async def is_cut(stream: trio.SocketStream) -> bool:
    with trio.fail_after(WITHIN):
        try:
            return await stream.receive_some(1000) == b""
        except trio.BrokenResourceError:
            return True


async def test_it_carries_both_ways_and_counts_what_passes() -> None:
    async with proxied() as (proxy, _), await dial(proxy) as stream:
        assert await asked(stream, b"hello") == b"hello"
        assert proxy.passed == 10
        assert proxy.connections() == 1


async def test_a_client_that_leaves_takes_the_connection_along() -> None:
    async with proxied() as (proxy, _):
        async with await dial(proxy) as stream:
            await asked(stream, b"x")
        with trio.fail_after(WITHIN):
            while proxy.connections():
                await trio.sleep(0.01)


async def test_dropped_connections_are_cut_and_new_ones_serve() -> None:
    async with proxied() as (proxy, _), await dial(proxy) as first:
        assert await asked(first, b"1") == b"1"
        assert proxy.drop() == 1
        assert await is_cut(first)
        async with await dial(proxy) as second:
            assert await asked(second, b"2") == b"2"


async def test_what_is_stalled_arrives_later() -> None:
    async with proxied() as (proxy, echo), await dial(proxy) as stream:
        assert await asked(stream, b"1") == b"1"
        proxy.stall()
        await stream.send_all(b"2")
        with trio.move_on_after(0.2) as has_waiters:
            await stream.receive_some(1000)
        assert has_waiters.cancelled_caught
        assert echo.heard == b"1"
        proxy.flow()
        with trio.fail_after(WITHIN):
            assert await stream.receive_some(1000) == b"2"


async def test_what_is_delayed_takes_at_least_that_long_each_way() -> None:
    async with proxied() as (proxy, _), await dial(proxy) as stream:
        proxy.delay = 0.1
        begun = trio.current_time()
        assert await asked(stream, b"slow") == b"slow"
        assert trio.current_time() - begun >= 0.2


@pytest.mark.parametrize(("way", "heard"), [("up", b"1"), ("down", b"12")])
async def test_what_is_swallowed_is_lost_and_the_socket_stays_open_until_mended(
    way: str, heard: bytes
) -> None:
    async with proxied() as (proxy, echo), await dial(proxy) as stream:
        assert await asked(stream, b"1") == b"1"
        proxy.swallow(way)  # type: ignore[arg-type]
        await stream.send_all(b"2")
        with trio.move_on_after(0.2) as has_waiters:
            await stream.receive_some(1000)
        assert has_waiters.cancelled_caught
        assert echo.heard == heard
        assert proxy.connections() == 1
        proxy.mend()
        assert await is_cut(stream)


async def test_a_connection_that_vanished_passes_nothing_ever_and_others_do() -> None:
    async with proxied() as (proxy, echo):
        async with await dial(proxy) as gone:
            assert await asked(gone, b"1") == b"1"
            assert proxy.vanish() == 1
            await gone.send_all(b"2")
            async with await dial(proxy) as fresh:
                assert await asked(fresh, b"3") == b"3"
            assert echo.heard == b"13"
            assert proxy.vanished() == 1
        with trio.fail_after(WITHIN):
            while proxy.vanished():
                await trio.sleep(0.01)


async def test_connections_are_refused_until_they_are_admitted() -> None:
    async with proxied() as (proxy, _), await dial(proxy) as before:
        assert await asked(before, b"1") == b"1"
        proxy.refuse()

        async def refused() -> bool:
            try:
                stream = await dial(proxy)
            except OSError:
                return True
            # The listener was not closed yet: it takes part in no conversation.
            await stream.aclose()
            return False

        with trio.fail_after(WITHIN):
            while not await refused():
                await trio.sleep(0.01)
        assert await asked(before, b"2") == b"2"
        proxy.enqueue_promised()
        with trio.fail_after(WITHIN):
            while await refused():
                await trio.sleep(0.01)


async def test_a_lost_reply_is_one_to_a_request_that_was_carried_out() -> None:
    async with proxied() as (proxy, echo), await dial(proxy) as stream:
        assert await asked(stream, b"PING") == b"PING"
        proxy.lose_replies(1)
        assert await asked(stream, b"PING") == b"PING"  # no script is called: it passes
        await stream.send_all(b"EVALSHA")
        assert await is_cut(stream)
        assert echo.heard == b"PINGPINGEVALSHA"
        assert proxy.lost_replies == 1
        async with await dial(proxy) as fresh:
            assert await asked(fresh, b"EVALSHA") == b"EVALSHA"


async def test_a_server_that_is_away_cuts_who_comes() -> None:
    async with proxied() as (proxy, _):
        async with run_proxy(1) as nowhere, await dial(nowhere) as stream:
            assert await is_cut(stream)
        assert proxy.connections() == 0
