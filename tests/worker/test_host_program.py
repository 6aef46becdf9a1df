"""A worker inside somebody's Trio program: it takes nothing of the program, and hides nothing."""

from __future__ import annotations

import signal
import uuid

import pytest
import trio

import rediq_trio as rediq
from tests.servers import Server

COUNT = 200


async def test_a_server_of_tcp_enqueues_and_answers_beside_its_worker(redis_server: Server) -> None:
    app = rediq.App()

    @app.task("double")
    async def double(n: int) -> int:
        return 2 * n

    numbers = sorted(set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    before = {number: signal.getsignal(number) for number in numbers}
    answers: dict[int, bytes] = {}
    prefix = f"host-{uuid.uuid4().hex[:8]}"
    async with rediq.serve(app, redis_server.url, key_prefix=prefix, concurrency=20) as server:
        client = server.client

        async def answer(stream: trio.SocketStream) -> None:
            async with stream:
                n = int(await stream.receive_some(100))
                handle = await client.enqueue(double.task(n))
                await stream.send_all(b"%d" % await handle.result(timeout=120))

        async def ask(port: int, n: int) -> None:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"%d" % n)
                answers[n] = await stream.receive_some(100)

        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, answer, listeners)
            async with trio.open_nursery() as asking:
                for n in range(COUNT):
                    asking.start_soon(ask, port, n)
            nursery.cancel_scope.cancel()
        assert {number: signal.getsignal(number) for number in numbers} == before
    assert answers == {n: b"%d" % (2 * n) for n in range(COUNT)}
    assert {number: signal.getsignal(number) for number in numbers} == before


async def test_an_error_of_the_program_leaves_serve_as_it_was_raised(redis_server: Server) -> None:
    error = KeyError("the program's own")
    prefix = f"host-{uuid.uuid4().hex[:8]}"
    with pytest.raises(KeyError) as raised:
        async with rediq.serve(rediq.App(), redis_server.url, key_prefix=prefix):
            raise error
    assert raised.value is error
