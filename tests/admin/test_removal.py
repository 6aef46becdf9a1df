"""Removing a queue that is empty, by its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import Client, Every, MemoryStore, QueueNotEmpty, Task
from rediq_trio.spec.messages import Mail, MailKind, NewTask, Relations, Removal
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.keys import Keys
from tests.opened import Opened
from tests.servers import Server


@asynccontextmanager
async def _open() -> AsyncIterator[Client]:
    async with rediq.connect("memory://") as client:
        yield client


@pytest.fixture
def client() -> Opened:
    return Opened(_open)


async def test_nothing_is_left_of_a_removed_queue_in_redis(redis_server: Server) -> None:
    async with (
        rediq.connect(redis_server.url, key_prefix="removal") as client,
        open_gateway(parse_address(redis_server.url), Keys("removal")) as gateway,
    ):
        queue = client.queue("mail")
        await queue.partition(2)
        await queue.keep_history(10)
        await client.enqueue_many([Task("t", queue="mail", id=f"t{n}") for n in range(9)])
        await client._store.note_size("mail", 1000, last=True)
        await queue.pause()
        with pytest.raises(QueueNotEmpty, match=r"queue mail~\d is not empty: tasks: \d"):
            await queue.remove()
        await queue.flush()
        assert await client.queues() == ["mail"]
        await queue.remove()
        assert await client.queues() == []
        assert await gateway.call(b"KEYS", b"removal:*") == []
        assert await gateway.call(b"KEYS", b"removal/{statistics}/*") == []
        assert await gateway.call(b"EXISTS", b"removal/queues", b"removal/partitions") == 0
        handle = await client.enqueue(Task("t", queue="mail"))
        assert (await client.queues(), (await queue.stats()).enqueued) == (["mail"], 1)
        assert await handle.delete()


async def test_each_kind_of_what_is_there_is_named(client: Client) -> None:
    queue = client.queue("q")
    await client.schedules().add("s", Every(60), Task("t", queue="q"))
    with pytest.raises(QueueNotEmpty, match=r"queue q is not empty: schedules: 1") as told:
        await queue.remove()
    assert told.value.queue == "q"
    await client.schedules().remove("s")
    await queue.remove()
    assert await client.queues() == []


async def test_a_queue_to_which_a_message_is_on_its_way_stays(client: Client) -> None:
    sent = NewTask("t", b"e", relations=Relations(queue="q"))
    await client._store.enqueue("sender", [sent])
    await client._store.arrange("q", fair=True)
    with pytest.raises(QueueNotEmpty, match="a message of queue sender is on its way to it"):
        await client.queue("q").remove()
    with pytest.raises(QueueNotEmpty, match="messages to other queues, or one just sent: 1"):
        await client.queue("sender").remove()


class Receiving(MemoryStore):
    """A store in which a message comes between the look and the removal."""

    async def remove_queue(self, queue: str, /, **options: Any) -> Removal:
        if options.get("received") is not None:
            await self.receive(queue, "late", [Mail(1, queue, MailKind.ENDED, id="x", ref="y")])
        return await super().remove_queue(queue, **options)


async def test_a_queue_to_which_a_message_has_just_come_stays() -> None:
    async with rediq.connect(Receiving()) as client:
        with pytest.raises(QueueNotEmpty, match="a message of another queue has just come"):
            await client.queue("q").remove()
        assert (await client._store.dump("q")).received == {"late": 1}
