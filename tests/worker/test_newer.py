"""A worker beside tasks that a newer version wrote: it does its own, and leaves those."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import msgpack
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State
from rediq_trio.spec.ids import pack_id
from rediq_trio.spec.stored_format import FORMAT_STEP
from rediq_trio.worker import attempt
from tests.servers import Server
from tests.stored import AT, changed, fields_of

WITHIN = 30.0
NEWER_VERSION = 3


def app() -> rediq.App:
    made = rediq.App()

    @made.task("work")
    async def work() -> str:
        return "done"

    return made


class Redis:
    """A client, and the way past it to the bytes that are kept of a task."""

    def __init__(self, client: rediq.Client) -> None:
        self.client = client
        self._store: Any = client._store

    async def raw(self, command: str, queue: str, name: str, *args: Any) -> Any:
        key = self._store._keys.of(queue, (name,))[0]
        return await self._store._gateway.call(command, key, *args)

    async def record(self, queue: str, own: str) -> bytes:
        """Read a task's record, which carries its envelope."""
        found: bytes = await self.raw("HGET", queue, "records", pack_id(own))
        return found

    async def envelope(self, queue: str, own: str) -> bytes:
        found: bytes = fields_of(await self.record(queue, own))[AT["envelope"]]
        return found

    async def enqueue(self, queue: str, owns: Sequence[str], **options: Any) -> None:
        tasks = [rediq.Task("work", {}, id=own, queue=queue, **options) for own in owns]
        await self.client.enqueue_many(tasks)

    async def age_record(self, queue: str, own: str) -> None:
        """Rewrite a record as a newer layout has it."""
        record = await self.record(queue, own)
        first, *rest = msgpack.unpackb(record, raw=True)
        packed = msgpack.packb([first + FORMAT_STEP, {b"novel": rest}], use_bin_type=False)
        await self.raw("HSET", queue, "records", own, packed)

    async def age_envelope(self, queue: str, own: str) -> None:
        """Rewrite an envelope as a newer version has it."""
        packed = msgpack.packb([NEWER_VERSION, {"novel": "work"}])
        record = await self.record(queue, own)
        await self.raw("HSET", queue, "records", own, changed(record, envelope=packed))

    async def until_completed(self, queue: str, count: int) -> None:
        with trio.fail_after(WITHIN):
            while (await self.client.queue(queue).stats()).completed < count:
                await trio.sleep(0.02)


async def test_records_of_a_newer_layout_are_left_as_they_are(
    redis_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    prefix = f"newer-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        redis = Redis(client)
        await redis.enqueue("front", ["before1", "before2", "newer", "behind"])
        await redis.enqueue("later", ["newer"], delay=0.05, priority=90)
        await redis.enqueue("later", ["own"], delay=0.1)
        await redis.enqueue("plain", ["own"])
        places = [("front", "newer"), ("later", "newer")]
        for queue, own in places:
            await redis.age_record(queue, own)
        before = [await redis.record(*place) for place in places]
        queues = ["front", "later", "plain"]
        async with rediq.serve(
            app(), redis_server.url, key_prefix=prefix, queues=queues, lease=1.0
        ) as server:
            await redis.until_completed("front", 2)
            await redis.until_completed("later", 1)
            await redis.until_completed("plain", 1)
            # It is asked again, and does not turn round in between.
            for _ in range(3):
                await server._worker.poller._claim_now("front", 10)
        assert [await redis.record(*place) for place in places] == before
        assert (await client.task("front/behind").info()).state is State.PENDING
        with pytest.raises(rediq.NewerTask):
            await client.queue("front").check()
        stats = await client.queue("front").stats()
        assert (stats.pending, stats.dead, stats.active) == (2, 0, 0)
        with pytest.raises(rediq.NewerTask):
            await client.task("front/newer").info()
    said = [r.getMessage() for r in caplog.records if "newer rediq-trio" in r.getMessage()]
    assert len(said) == 1, "once for each queue"
    assert said[0].startswith("queue front: a newer rediq-trio wrote its next task (format 2)")


async def test_envelopes_of_a_newer_version_are_handed_back_uncharged(
    redis_server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "NEWER_TASK_SNOOZE", 0.1)
    prefix = f"newer-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        redis = Redis(client)
        await redis.enqueue("default", ["a", "newer", "b"], max_retry=0)
        await redis.age_envelope("default", "newer")
        envelope = await redis.envelope("default", "newer")
        async with rediq.serve(app(), redis_server.url, key_prefix=prefix, lease=1.0):
            await redis.until_completed("default", 2)
            with trio.fail_after(WITHIN):
                while (await client.task("default/newer").info()).deliveries < 3:
                    await trio.sleep(0.02)
        info = await client.task("default/newer").info()
        assert info.state in (State.SCHEDULED, State.PENDING)
        assert (info.attempt, info.crashes, info.error) == (0, 0, None)
        assert await redis.envelope("default", "newer") == envelope
        assert await client.queue("default").check() == []
    said = [r.getMessage() for r in caplog.records if "newer rediq-trio" in r.getMessage()]
    assert len(said) == 1, "once for each queue"
    assert f"envelope has version {NEWER_VERSION}" in said[0]


async def test_a_batch_with_a_member_of_a_newer_version_is_handed_back(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "NEWER_TASK_SNOOZE", 0.1)
    prefix = f"newer-{uuid.uuid4().hex[:8]}"
    handled: list[int] = []
    served = app()

    @served.aggregator("g", max_size=2)
    async def heap(tasks: list[rediq.Task[Any]]) -> None:
        handled.append(len(tasks))

    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        redis = Redis(client)
        await redis.enqueue("default", ["a", "newer"], group="g")
        await redis.age_envelope("default", "newer")
        async with rediq.serve(served, redis_server.url, key_prefix=prefix, lease=1.0):
            with trio.fail_after(WITHIN):
                while True:
                    waiting = await client.queue("default").tasks("scheduled")
                    if any(info.deliveries >= 2 for info in waiting):
                        break
                    await trio.sleep(0.02)
        stats = await client.queue("default").stats()
        assert (stats.dead, stats.completed, handled) == (0, 0, [])
        assert await client.queue("default").check() == []
