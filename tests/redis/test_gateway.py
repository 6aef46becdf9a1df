"""The gateway on a real server that is cut, paused, restarted and refuses."""

from __future__ import annotations

import re
import signal
import uuid
from functools import partial
from typing import Any

import pytest
import redis.exceptions
import trio
import trio.testing

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost, State, StoreError
from rediq_trio.spec.messages import Answer, AnswerKind, NewTask
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.redis.connection import calls, pipeline, subscriber
from rediq_trio.store.redis.connection.address import RedisNode
from rediq_trio.store.redis.connection.gateway import (
    Gateway,
    open_gateway,
    parse_address,
)
from rediq_trio.store.redis.keys import Keys
from tests.faults.crew import crew
from tests.servers import Server, open_redis_store


async def test_a_caller_that_is_cancelled_costs_the_others_nothing(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        call = opened.gateway.call
        before = await call(b"CLIENT", b"ID")
        async with trio.open_nursery() as nursery:
            for n in range(50):
                nursery.start_soon(call, b"ECHO", str(n))
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert await call(b"ECHO", b"still here") == b"still here"
        assert await call(b"CLIENT", b"ID") == before


async def test_a_call_whose_caller_is_cancelled_before_it_is_sent_is_not_sent(
    redis_server: Server,
) -> None:
    async with open_redis_store(redis_server) as opened, trio.open_nursery() as nursery:
        call = opened.gateway.call
        nursery.start_soon(call, b"DEBUG", b"SLEEP", b"0.5")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.move_on_after(0.05):
            await call(b"SET", b"never", b"x")
        assert await call(b"EXISTS", b"never") == 0


async def test_a_script_that_the_server_has_forgotten_is_sent_again(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        await opened.gateway.call(b"SCRIPT", b"FLUSH")
        with trio.fail_after(10):
            assert await opened.store.enqueue("q", [NewTask("t", b"x")]) == (State.PENDING,)


async def test_a_server_that_has_become_a_replica_is_left_after_its_refusal(
    redis_server: Server,
) -> None:
    async with open_redis_store(redis_server) as opened:
        call = opened.gateway.call
        before = await call(b"CLIENT", b"ID")
        await call(b"REPLICAOF", b"127.0.0.1", b"1")
        try:
            with pytest.raises(ConnectionLost, match="READONLY") as lost:
                await call(b"SET", b"k", b"x")
            assert not lost.value.sent
            assert await call(b"CLIENT", b"ID") != before
        finally:
            await call(b"REPLICAOF", b"NO", b"ONE")


async def test_a_call_that_comes_right_after_a_reconnect_goes_over_the_new_connection(
    redis_server: Server,
) -> None:
    async with open_redis_store(redis_server) as opened:
        before = await opened.gateway.call(b"CLIENT", b"ID")
        await trio.testing.wait_all_tasks_blocked(0.01)
        (line,) = opened.gateway._pipelines.values()
        line.reconnect()
        assert await opened.gateway.call(b"CLIENT", b"ID") != before


async def test_what_waits_is_sent_in_one_round_trip_and_each_has_its_answer(
    redis_server: Server,
) -> None:
    async with open_redis_store(redis_server) as opened:
        answers: dict[int, bytes] = {}

        async def ask(n: int) -> None:
            answers[n] = await opened.gateway.call(b"ECHO", str(n))

        async with trio.open_nursery() as nursery:
            for n in range(1500):
                nursery.start_soon(ask, n)
        assert answers == {n: str(n).encode() for n in range(1500)}


async def test_tasks_that_wait_together_go_in_one_call_and_each_has_its_answer(
    redis_server: Server,
) -> None:
    answers: dict[int, tuple[Any, ...]] = {}
    async with open_redis_store(redis_server) as opened:
        call = opened.gateway.call

        async def enqueue(n: int) -> None:
            # Each of ten ids comes in once; every third has company.
            tasks = [NewTask(f"t{n % 10}", b"x"), *[NewTask(f"more {n}", b"x")] * (n % 3 == 0)]
            answers[n] = await opened.store.enqueue("q", tasks)

        await opened.store.enqueue("q", [NewTask("first", b"x")])
        await call(b"CONFIG", b"RESETSTAT")
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(enqueue, n)
        stats = (await call(b"INFO", b"commandstats")).decode()
        pending = await opened.store.list("q", State.PENDING, limit=100)
    # The first went ahead at once; all others came together behind it.
    assert re.findall(r"cmdstat_eval(?:sha)?:calls=(\d+)", stats) == ["2"]
    firsts = [answer[0] for _, answer in sorted(answers.items())]
    assert sorted(firsts, key=str) == [None] * 90 + [State.PENDING] * 10
    assert [answer[1:] for _, answer in sorted(answers.items())] == [
        (State.PENDING,) if n % 3 == 0 else () for n in range(100)
    ]
    assert len(pending) == 1 + 10 + 34


async def test_a_task_whose_caller_is_cancelled_takes_nobodys_answer(redis_server: Server) -> None:
    answers: dict[str, Any] = {}
    async with open_redis_store(redis_server) as opened:

        async def enqueue(own: str, scope: trio.CancelScope) -> None:
            with scope:
                answers[own] = await opened.store.enqueue("q", [NewTask(own, b"x")])

        scopes = [trio.CancelScope() for _ in range(30)]
        async with trio.open_nursery() as nursery:
            for n, scope in enumerate(scopes):
                nursery.start_soon(enqueue, f"t{n}", scope)
            await trio.lowlevel.checkpoint()
            for scope in scopes[::2]:
                scope.cancel()
        assert answers == {f"t{n}": (State.PENDING,) for n in range(1, 30, 2)}
        there = await opened.store.list("q", State.PENDING, limit=100)
        assert set(there) >= set(answers)


async def test_large_tasks_do_not_go_in_one_call(redis_server: Server) -> None:
    envelope = b"x" * (calls.MERGED_BYTES_MAX // 2 - 100)
    async with open_redis_store(redis_server) as opened:
        await opened.store.enqueue("q", [NewTask("first", b"x")])
        await opened.gateway.call(b"CONFIG", b"RESETSTAT")
        async with trio.open_nursery() as nursery:
            for n in range(6):
                nursery.start_soon(opened.store.enqueue, "q", [NewTask(f"t{n}", envelope)])
        stats = (await opened.gateway.call(b"INFO", b"commandstats")).decode()
    assert re.findall(r"cmdstat_eval(?:sha)?:calls=(\d+)", stats) == [
        "4"
    ]  # one ahead, then two, two and one


async def test_a_whole_goes_alone(redis_server: Server) -> None:
    answers: dict[str, Any] = {}
    async with open_redis_store(redis_server) as opened:
        await opened.store.enqueue("q", [NewTask("there", b"x")])

        async def enqueue(*owns: str, atomic: bool) -> None:
            tasks = [NewTask(own, b"x") for own in owns]
            answers[owns[0]] = await opened.store.enqueue("q", tasks, atomic=atomic)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(enqueue, "a", "there", atomic=True))
            nursery.start_soon(partial(enqueue, "b", "c", atomic=True))
            nursery.start_soon(partial(enqueue, "d", "there", atomic=False))
        assert answers["a"] == (Answer(AnswerKind.WITHHELD), None)
        assert answers["b"] == (State.PENDING, State.PENDING)
        assert answers["d"] == (State.PENDING, None)
        assert set(await opened.store.list("q", State.PENDING, limit=9)) == {"there", "b", "c", "d"}


async def test_an_error_reply_is_for_its_caller_only(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        with pytest.raises(StoreError, match="wrong number of arguments"):
            await opened.gateway.call(b"ECHO")
        assert await opened.gateway.call(b"PING") in (b"PONG", True)


async def test_it_connects_again_when_the_server_cut_it_off(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        with opened.store.listen([("q", "")]) as signals:
            with trio.fail_after(20):
                assert (await signals.receive()).kind is SignalKind.RESYNC
            async with open_gateway(parse_address(redis_server.url), Keys("other")) as other:
                await other.call(b"CLIENT", b"KILL", b"TYPE", b"pubsub")
                await other.call(b"CLIENT", b"KILL", b"SKIPME", b"yes", b"TYPE", b"normal")
            with trio.fail_after(20):
                while True:
                    try:
                        await opened.store.enqueue("q", [NewTask(uuid.uuid4().hex, b"x")])
                        break
                    except ConnectionLost:
                        await trio.sleep(0.05)
                assert (await signals.receive()).kind in (SignalKind.RESYNC, SignalKind.WAKE)


async def test_a_server_that_does_not_answer_is_given_up(
    redis_server: Server,
) -> None:
    address = parse_address(redis_server.url)
    async with open_gateway(address, Keys("test"), response_timeout=0.3) as gateway:
        with pytest.raises(ConnectionLost) as lost:
            await gateway.call(b"DEBUG", b"SLEEP", b"1")
        assert lost.value.sent
        with trio.fail_after(20):
            while True:
                try:
                    assert await gateway.call(b"ECHO", b"back") == b"back"
                    break
                except ConnectionLost:
                    await trio.sleep(0.05)


async def test_each_round_trip_has_the_whole_timeout(redis_server: Server) -> None:
    address = parse_address(redis_server.url)
    async with open_gateway(address, Keys("test"), response_timeout=1.0) as gateway:
        for _ in range(2):
            # The timer of the first is still set when these are under way.
            await gateway.call(b"DEBUG", b"SLEEP", b"0.6")
        begun = trio.current_time()
        with pytest.raises(ConnectionLost, match="no answer for 1 s"):
            await gateway.call(b"DEBUG", b"SLEEP", b"2")
        assert trio.current_time() - begun > 0.95


async def test_a_call_that_was_sent_at_once_is_refused_when_its_client_closes(
    redis_server: Server,
) -> None:
    refused: list[bool] = []

    async def stand_still(gateway: Gateway) -> None:
        with pytest.raises(ConnectionLost) as lost:
            await gateway.call(b"DEBUG", b"SLEEP", b"1")
        refused.append(lost.value.sent)

    for naps in range(4):
        address = parse_address(redis_server.url)
        async with trio.open_nursery() as nursery, open_gateway(address, Keys("test")) as gateway:
            await gateway.call(b"PING")
            nursery.start_soon(stand_still, gateway)
            # The pump has not heard of it yet, or is at it.
            for _ in range(naps):
                await trio.lowlevel.checkpoint()
    assert True in refused
    assert len(refused) == 4


@pytest.mark.parametrize("early", [True, False])
async def test_a_pipeline_that_reconnects_ends_its_round_trip_and_serves_again(
    early: bool, redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = parse_address(redis_server.url)
    async with open_gateway(address, Keys("test")) as gateway:
        await gateway.call(b"PING")
        (pipe,) = gateway._pipelines.values()
        put = pipe.put

        def put_and_reconnect(call: calls.PendingCall) -> None:
            put(call)
            assert pipe._sent_early is call  # sent, and the pump has not woken up
            pipe.reconnect()

        async def stand_still() -> None:
            with pytest.raises(ConnectionLost) as lost:
                await gateway.call(b"DEBUG", b"SLEEP", b"1")
            assert lost.value.sent

        await trio.testing.wait_all_tasks_blocked(0.02)
        async with trio.open_nursery() as nursery:
            if early:
                monkeypatch.setattr(pipe, "put", put_and_reconnect)
            nursery.start_soon(stand_still)
            if not early:
                await trio.testing.wait_all_tasks_blocked(0.02)
                assert pipe._sent_early is None
                assert pipe._response_deadline.is_set
                pipe.reconnect()
        monkeypatch.undo()
        assert await gateway.call(b"ECHO", b"back") == b"back"


async def test_calls_wait_for_a_server_only_so_long_and_serve_outlives_its_absence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "UNSENT_WAIT_MAX", 0.3)
    app = rediq.App()

    @app.task("ok")
    async def ok() -> str:
        return "fine"

    with crew() as us:
        async with rediq.serve(app, us.server.url) as server:
            us.server.kill()
            with pytest.raises(ConnectionLost) as lost:
                for _ in range(2):
                    await server.client.queue("default").stats()
            assert us.server.url in str(lost.value)
            handles: list[rediq.TaskHandle[str]] = []

            async def enqueue() -> None:
                handles.append(await server.client.enqueue(ok.task()))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(enqueue)
                await trio.sleep(0.5)
                us.server.start()
            assert await handles[0].result(timeout=20) == "fine"


async def test_a_user_that_is_refused_is_told_so_without_the_password(
    redis_server: Server,
) -> None:
    path = redis_server.url.removeprefix("unix://")
    async with open_redis_store(redis_server) as opened:
        await opened.gateway.call(
            b"ACL", b"SETUSER", b"reader", b"on", b">right", b"~*", b"&*", b"+info", b"+ping"
        )
        with pytest.raises(ConfigError, match="refused the user or password") as refused:
            async with rediq.connect(f"unix://reader:secret@{path}"):
                pass
        assert "secret" not in str(refused.value)
        async with rediq.connect(f"unix://reader:right@{path}") as client:
            with pytest.raises(
                ConfigError, match=r"Redis refused the command.*the permission \+hgetall"
            ):
                await client.queue("q").stats()


async def test_a_server_out_of_memory_refuses_and_loses_nothing(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        await opened.store.enqueue("q", [NewTask("before", b"x")])
        await opened.gateway.call(b"CONFIG", b"SET", b"maxmemory", b"1")
        try:
            with pytest.raises(ConnectionLost, match="OOM") as refused:
                await opened.store.enqueue("q", [NewTask("after", b"x")])
            assert not refused.value.sent
        finally:
            await opened.gateway.call(b"CONFIG", b"SET", b"maxmemory", b"0")
        queue = await opened.store.dump("q")
        assert {r.id: r.state for r in queue.records.values()} == {"before": State.PENDING}


async def test_a_closed_client_says_so(redis_server: Server) -> None:
    async with open_redis_store(redis_server) as opened:
        store = opened.store
    with pytest.raises(ConnectionLost, match="closed"), trio.fail_after(10):
        await store.workers()


async def test_a_signal_of_a_newer_version_makes_one_look_at_the_truth(
    redis_server: Server,
) -> None:
    async with open_redis_store(redis_server) as opened:
        with opened.store.listen([("q", "")]) as signals:
            assert (await signals.receive()).kind is SignalKind.RESYNC
            await opened.gateway.call(b"PUBLISH", opened.keys.channel("q"), b"novelty:x")
            assert (await signals.receive()).kind is SignalKind.RESYNC


def hears(gateway: Gateway) -> bool:
    """Say whether signals of the queue arrive already: a listener is told so at once then."""
    with gateway.listen([("q", "")]) as signals:
        try:
            signals.receive_nowait()
        except trio.WouldBlock:
            return False
        return True


async def test_the_subscriber_of_a_server_that_falls_silent_listens_again_on_another_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A server that stands still is, to the subscriber, a network that swallows what it says.
    monkeypatch.setattr(subscriber, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(subscriber, "PONG_TIMEOUT", 0.2)
    with crew() as us:
        async with open_gateway(parse_address(us.server.url), Keys("test")) as gateway:
            with gateway.listen([("q", "")]) as signals:
                assert (await signals.receive()).kind is SignalKind.RESYNC
                assert us.server.child is not None
                us.server.child.send_signal(signal.SIGSTOP)
                with trio.fail_after(20):
                    while hears(gateway):
                        await trio.sleep(0.02)
                us.server.child.send_signal(signal.SIGCONT)
                with trio.fail_after(20):
                    assert (await signals.receive()).kind is SignalKind.RESYNC


@pytest.mark.parametrize(
    "error", [redis.exceptions.MovedError, redis.exceptions.AskError], ids=["moved", "ask"]
)
async def test_a_command_follows_its_redirects_and_asks_where_it_is_told_to(
    error: type[redis.exceptions.AskError],
) -> None:
    gateway = Gateway(parse_address("redis+cluster://127.0.0.1:7000"), Keys("test"))
    call = calls.PendingCall((b"GET", b"k"), None, b"k", Confirm.NO, 0.0, waiter=None)
    for port in range(7001, 7001 + pipeline.REDIRECTS_MAX):
        assert gateway._redirect(call, error(f"12 127.0.0.1:{port}"))
        assert gateway._pipelines[RedisNode("127.0.0.1", port)].inbox.pop() is call
        assert call.asking == (error is redis.exceptions.AskError)
    assert gateway._redirect(call, error("12 127.0.0.1:8000"))
    assert RedisNode("127.0.0.1", 8000) not in gateway.nodes
