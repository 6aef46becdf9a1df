"""All that can happen in a queue, with a marked text wherever a user can give one: none is in Redis.

What lies in Redis is read key by key, each by its type, and so is every command on its way there.
What stays clear is listed in `docs/security.md`, and has no mark here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import rediq_trio as rediq
from rediq_trio import Encryption, Every, State, Task, Unique
from tests.servers import OpenStore, Server, open_redis_store

MARK = "s3cret"
OLD, NEW = Encryption.generate_key(), Encryption.generate_key()
WITHIN = 30.0

app = rediq.App("encrypted_story")
calls: list[str] = []


class MarkedError(Exception):
    """An error with a text of its own."""

    def __str__(self) -> str:
        return f"{MARK}-str"


def marked(what: str) -> str:
    return f"{MARK}-{what}"


@app.task("story", max_retry=1, backoff=rediq.Fixed(0), timeout=20)
async def story(how: str, text: str) -> Any:
    task = rediq.current_task()
    task.progress(10, marked("progress"))
    await task.once("step", lambda: marked("step"))
    calls.append(how)
    again = calls.count(how) > 1
    match how:
        case "retried" if not again:
            raise ValueError(marked("retried"))
        case "dies":
            raise MarkedError(marked("args")) from KeyError(marked("cause"))
        case "in a group":
            raise ExceptionGroup(marked("group"), [ValueError(marked("a")), OSError(marked("b"))])
        case "rejected":
            raise rediq.Reject(marked("rejected"))
        case "snoozed" if not again:
            try:
                raise LookupError(marked("context"))
            except LookupError:
                raise rediq.Snooze(0) from None
        case "asks again" if not again:
            raise rediq.Retry(0) from ValueError(marked("asked"))
        case "unpackable":
            return MarkedError
        case "children":
            task.enqueue_after(story.task("child", marked("child")))
    return marked("result")


@app.task("quick", timeout=0.1, max_retry=0)
async def quick(text: str) -> None:
    local = f"{text} {MARK}-local"
    await trio.sleep(60 + len(local))


@app.task("slow")
async def slow() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever, name=marked("task"))


@app.aggregator("g", max_size=2)
async def together(tasks: list[Task[Any]]) -> None:
    raise ValueError(marked("batch"))


async def everything(opened: OpenStore) -> bytes:
    """Return all that is in the server, key by key."""
    call, found = opened.gateway.call, list[bytes]()
    for key in await call(b"KEYS", b"*"):
        kind = (await call(b"TYPE", key)).decode()
        read: tuple[Any, ...]
        match kind:
            case "none":
                continue  # a worker emptied it since the keys were listed
            case "hash":
                read = (b"HGETALL", key)
            case "zset":
                read = (b"ZRANGE", key, 0, -1)
            case "set":
                read = (b"SMEMBERS", key)
            case "list":
                read = (b"LRANGE", key, 0, -1)
            case "string":
                read = (b"GET", key)
            case "stream":
                read = (b"XRANGE", key, b"-", b"+")
            case _:
                raise AssertionError(f"a key of type {kind}: {key!r}")
        found += [key, repr(await call(*read)).encode()]
    return b"\n".join(found)


@asynccontextmanager
async def overheard(server: Server) -> AsyncGenerator[list[bytes]]:
    """Collect every command that the server is sent meanwhile."""
    heard: list[bytes] = []
    stream = await trio.open_unix_socket(server.socket)
    async with stream, trio.open_nursery() as nursery:
        await stream.send_all(b"MONITOR\r\n")
        assert (await stream.receive_some()).startswith(b"+OK")

        async def listen() -> None:
            async for data in stream:
                heard.append(data)

        nursery.start_soon(listen)
        yield heard
        nursery.cancel_scope.cancel()


async def tell(client: rediq.Client, folder: Path) -> dict[str, rediq.TaskInfo]:
    """Let everything happen; return the tasks, by what they are to do."""
    person = client.acting(who=marked("who"), tool=marked("tool"), where=marked("where"))
    hows = (
        "retried", "dies", "in a group", "rejected", "snoozed", "asks again", "unpackable", "children",
    )  # fmt: skip
    handles = {
        how: await client.enqueue(
            story.options(metadata={marked("key"): marked("value")}).task(how, marked("payload"))
        )
        for how in hows
    }
    handles["quick"] = await client.enqueue(quick.task(marked("quick")))
    handles["wrong"] = await client.enqueue(Task("story", {marked("argument"): 1}, max_retry=0))
    handles["unknown"] = await client.enqueue(Task("nobody", marked("unknown"), max_retry=0, expires=5))
    await client.enqueue_many(
        [Task("story", ["member", marked("member")], group="g", max_retry=0) for _ in range(2)]
    )
    workflow = rediq.chain(story.task("first", marked("one")), story.task("second", marked("two")))
    await (await client.enqueue(workflow)).wait(timeout=WITHIN)
    later = story.options(delay=3000, unique=Unique(key=marked("unique")))
    waits = await client.enqueue(later.task("later", marked("later")))
    await person.task(waits.id).update(payload=["later", marked("updated")])
    await waits.reschedule(delay=4000)
    twin = await client.enqueue(story.options(delay=3000).task("moved", marked("moved")))
    await person.task(twin.id).requeue("elsewhere")
    await client.schedules().add("s", Every(3600), story.task("ticked", marked("ticked")))
    await client.schedules().trigger("s")
    infos = {
        how: await handle.wait(timeout=WITHIN) for how, handle in handles.items() if how != "unknown"
    }
    await handles["retried"].enqueue_again()
    queue = person.queue("default")
    await person.mark(marked("mark"), by=marked("by"))
    await queue.keep_history(100)
    dead = await queue.select("dead", error=MARK)
    assert await dead.count() >= 4
    await dead.export(folder / "dead")
    assert MARK.encode() not in (folder / "dead").read_bytes()
    async for _ in (await queue.select("dead", error=f"{MARK}-str")).retry():
        pass
    await client.task(infos["dies"].id).wait(timeout=WITHIN)
    running = await client.enqueue(slow.task())
    while (await running.info()).state is not State.ACTIVE:
        await trio.sleep(0.02)
    (worker,) = await client.workers()
    assert "in sleep_forever" in "".join((await client.worker(worker.id).stacks()).values())
    await running.cancel()
    await queue.pause(marked("why"), by=marked("pauser"))
    return infos


async def crash(client: rediq.Client) -> None:
    """Let an attempt begin to do its work and be lost with its worker, twice."""
    store: Any = client._store
    await client.enqueue(Task("story", ["crashes", marked("crashes")], queue="lost", max_crashes=1))
    for _ in range(2):
        claimed = await store.claim("lost", limit=1, lease_ms=100, worker="w", nonce=b"n" * 8)
        assert len(claimed.leases) == 1
        await trio.sleep(0.2)
        await store.reclaim("lost", limit=10)
        await store.promote("lost", limit=10)


async def test_no_text_of_a_user_lies_in_redis_or_goes_there(
    redis_server: Server, tmp_path: Path
) -> None:
    calls.clear()
    async with (
        open_redis_store(redis_server, prefix="story") as opened,
        overheard(redis_server) as heard,
    ):
        serving = rediq.serve(
            app, opened.store, queues=["default"], encryption=Encryption([OLD])
        )
        async with serving as server:
            infos = await tell(server.client, tmp_path)
            await crash(server.client)
            # All of it happened, and is there for those who have the key.
            errors = {how: info.error or "" for how, info in infos.items()}
            assert errors["dies"].startswith("MarkedError: s3cret-str (caused by KeyError")
            assert errors["in a group"].count(MARK) == 3
            assert marked("rejected") in errors["rejected"]
            assert infos["dies"].state is infos["quick"].state is State.DEAD
            assert infos["retried"].attempts[0].message == marked("retried")
            assert infos["snoozed"].attempts[0].outcome == "snoozed"
            assert len(await server.client.queue("default").failures()) >= 5
            lost = await server.client.queue("lost").dead.list()
            assert [info.error for info in lost] == ["its worker died under it 2 times"]
            running = await everything(opened)
        stored = await everything(opened)
        async with rediq.connect(opened.store, encryption=Encryption([OLD])) as client:
            for name in await client.queues():
                assert await client.queue(name).check() == [], name
    for where, data in (("running", running), ("stored", stored), ("heard", b"".join(heard))):
        # That something was read at all.
        assert b"story" in data, where
        place = data.find(MARK.encode())
        assert place < 0, (where, data[max(0, place - 300) : place + 100])
