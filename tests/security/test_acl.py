"""Users with the least rights: the lines of docs/security.md on real servers, each right needed."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost, WorkerCrashed
from rediq_trio.store.redis.connection import subscriber
from rediq_trio.store.redis.connection.gateway import Gateway, open_gateway, parse_address
from rediq_trio.store.redis.connection.replies import missing_permission
from rediq_trio.store.redis.keys import Keys
from tests.security.rights import PAGE, line_of, operate, rights_of, walk
from tests.servers import Server

PASSWORD = "PASSWORD"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the subscriber ping within the time that a walk takes."""
    monkeypatch.setattr(subscriber, "PING_INTERVAL", 0.1)


@asynccontextmanager
async def user(
    server: Server, name: str, words: Sequence[str], *, empty: bool = True
) -> AsyncGenerator[tuple[Gateway, str]]:
    """Make a user; give an operator's gateway and the user's URL."""
    async with open_gateway(parse_address(server.url), Keys("none")) as operator:
        if empty:
            await operator.call(b"FLUSHALL")
            await operator.call(b"SCRIPT", b"FLUSH")
        await operator.call(b"ACL", b"LOG", b"RESET")
        await operator.call(b"ACL", b"SETUSER", name, *words)
        try:
            yield operator, f"unix://{name}:{PASSWORD}@{server.socket}"
        finally:
            await operator.call(b"ACL", b"DELUSER", name)


async def _denied(operator: Gateway) -> list[str]:
    """Give what the server has denied, as its log names it."""
    found: list[str] = []
    for entry in await operator.call(b"ACL", b"LOG"):
        said = dict(zip(entry[::2], entry[1::2], strict=True))
        found.append(f"{said[b'reason'].decode()} {said[b'object'].decode()}")
    return found


async def test_a_user_with_the_rights_of_the_docs_can_do_everything(server: Server) -> None:
    async with user(server, "rediq", line_of("rediq")) as (operator, url):
        await walk(url)
        assert await _denied(operator) == []


async def _denial(server: Server, words: Sequence[str]) -> str:
    """Walk until the server denies something; give what, '' for nothing."""
    async with user(server, "rediq", words) as (operator, url):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    while not await _denied(operator):
                        await trio.sleep(0.02)
                    scope.cancel()

                nursery.start_soon(watch)
                with suppress(ConfigError, WorkerCrashed):  # the server's log says what it was
                    await walk(url)
                nursery.cancel_scope.cancel()
        return ", ".join(await _denied(operator))


@pytest.mark.parametrize("right", rights_of("rediq"))
async def test_each_right_of_the_docs_is_needed(redis_server: Server, right: str) -> None:
    words = [word for word in line_of("rediq") if word != right]
    said = await _denial(redis_server, words)
    assert said, f"nothing needs {right}"


async def test_a_user_that_reads_sees_everything_and_changes_nothing(server: Server) -> None:
    async with user(server, "rediq", line_of("rediq")) as (_, url):
        async with rediq.connect(url) as client:
            await client.queue("q").limit(concurrency=3)
            await client.acting(who="ada").mark("a pause")
            handle = await client.enqueue(rediq.Task("t", None, queue="q", id="one"))
            await client.schedules().add("s", rediq.Every(60), rediq.Task("t", None, queue="q"))
        reader = user(server, "rediq-reader", line_of("rediq-reader"), empty=False)
        async with reader as (operator, reading), rediq.connect(reading) as client:
            await operate(client)
            assert await _denied(operator) == []
            queue = client.queue("q")
            for change in (
                lambda: client.enqueue(rediq.Task("t", None, queue="q")),
                lambda: client.enqueue(rediq.Task("t", None, queue="new")),
                client.task(handle.id).cancel,
                client.task(handle.id).delete,
                queue.pause,
                queue.flush,
                lambda: queue.partition(2),
                lambda: queue.limit(concurrency=1),
                lambda: client.schedules().remove("s"),
                lambda: client.mark("a mark"),
                lambda: queue.targets(latency=1),
            ):  # fmt: skip
                with pytest.raises(ConfigError):
                    await change()
            assert (await queue.stats()).pending == 1


@pytest.mark.parametrize("right", rights_of("rediq-reader"))
async def test_each_right_of_a_reader_is_one_of_a_worker(right: str) -> None:
    assert right in rights_of("rediq")


@pytest.mark.parametrize("option", ["db=1", "client_name=shop"])
async def test_what_a_url_asks_for_beside_takes_the_right_that_the_docs_name(
    server: Server, option: str
) -> None:
    more = {"db=1": "+select", "client_name=shop": "+client|setname"}[option]
    assert f"`{more}`" in PAGE.read_text("utf-8")
    for words, works in (([*line_of("rediq"), more], True), (line_of("rediq"), False)):
        async with user(server, "rediq", words) as (operator, url):
            with nullcontext() if works else pytest.raises((ConfigError, ConnectionLost)):
                async with rediq.connect(f"{url}?{option}") as client:
                    await client.queue("q").stats()
            assert bool(await _denied(operator)) != works


async def test_a_user_of_one_queue_cannot_reach_another(server: Server) -> None:
    (text,) = re.findall(
        r"replace its keys and channels with\s+`(~rediq:[^`]*)`", PAGE.read_text("utf-8")
    )
    confined = [word for word in line_of("rediq") if word[0] not in "~&"] + text.split()
    async with user(server, "rediq", confined) as (_, url), rediq.connect(url) as client:
        await client.enqueue(rediq.Task("t", None, queue="mail"))
        await client.queue("mail").stats()
        for call in (
            lambda: client.enqueue(rediq.Task("t", None, queue="other")),
            client.queue("other").stats,
            client.queue("mailing").pause,
        ):
            with pytest.raises(ConfigError, match="keys of its queues"):
                await call()


async def test_keys_and_channels_of_others_are_out_of_reach(server: Server) -> None:
    async with user(server, "rediq", line_of("rediq")) as (operator, url):
        with pytest.raises(ConfigError, match="keys of its queues"):
            async with rediq.connect(url, key_prefix="other") as client:
                await client.enqueue(rediq.Task("t", None))
        async with open_gateway(parse_address(url), Keys("rediq")) as gateway:
            for command in (
                (b"SET", b"x", b"1"), (b"HSET", b"other", b"a", b"1"), (b"KEYS", b"*"), (b"FLUSHALL",),
                (b"CONFIG", b"GET", b"*"), (b"ACL", b"LIST"), (b"PUBLISH", b"other", b"x"),
                (b"EVAL", b"return redis.call('FLUSHALL')", 0), (b"SCRIPT", b"FLUSH"),
                (b"EVAL", b"return redis.call('HSET', KEYS[1], 'a', 1)", 1, b"other"),
                (b"EVAL", b"return redis.call('HSET', 'other', 'a', 1)", 0),
            ):  # fmt: skip
                with pytest.raises(ConfigError, match="lacks the permission"):
                    await gateway.call(*command)
        assert await operator.call(b"EXISTS", b"other") == 0


async def test_the_missing_right_is_named(server: Server) -> None:
    without = {
        "+evalsha": "+evalsha", "+sadd": "+sadd", "~rediq:*": "~rediq", "+info": "+info",
        "+zadd": "+zadd", "+hget": "+hget",
    }  # fmt: skip
    for right, named in without.items():
        words = [word for word in line_of("rediq") if word != right]
        async with user(server, "rediq", words) as (_, url):
            with pytest.raises(ConfigError, match="lacks the permission") as caught:
                async with rediq.connect(url) as client:
                    await client.enqueue(rediq.Task("t", None))
            assert named in str(caught.value)
            assert "docs/security.md" in str(caught.value)


async def test_a_user_who_may_not_subscribe_is_told_so_in_the_log(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "rediq_trio")
    words = [word for word in line_of("rediq") if not word.startswith("&")]
    async with user(server, "rediq", words) as (_, url), rediq.connect(url) as client:
        with client._store.listen([("default", "")]):
            with trio.fail_after(20):
                while "no signals arrive" not in caplog.text:
                    await trio.sleep(0.01)
    assert "&rediq*" in caplog.text


def test_a_right_is_named_however_the_server_words_it() -> None:
    said = {
        "NOPERM this user has no permissions to run the 'hgetall' command or its subcommand": "+hgetall",
        "NOPERM User x has no permissions to run the 'config|get' command": "+config|get",
        "ERR ACL failure in script: User x has no permissions to run the 'zadd' command": "+zadd",
        "NOPERM this user has no permissions to access one of the channels used as arguments": "&",
        "NOPERM No permissions to access a key": "~",
        "The user executing the script can't run this command or subcommand": "one of +hget +zadd",
    }
    source = "redis.call('HGET', 1) redis.call('ZADD', 2) redis.call('HGET', 3)"
    for text, named in said.items():
        assert missing_permission(text, source).startswith(named)
    assert missing_permission("NOPERM", "") == "to run it"
