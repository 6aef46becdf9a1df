"""A task that dies although no attempt of it failed is logged once, however many workers there are."""

from __future__ import annotations

import uuid

import pytest
import trio

import rediq_trio as rediq
from tests.servers import Server
from tests.worker.twin import check_sound, twins


async def test_of_two_workers_one_logs_each_death(
    redis_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    app = rediq.App()

    @app.task("job", max_crashes=0)
    async def job() -> None: ...

    prefix = f"deaths-{uuid.uuid4().hex[:8]}"
    async with rediq.connect(redis_server.url, key_prefix=prefix) as client:
        crashed = await client.enqueue_many([job.task() for _ in range(3)])
        lease = {"limit": 3, "lease_ms": 300, "nonce": b"12345678"}
        await client._store.claim("default", worker="gone", **lease)
        # A claim finds the first three, a keeper the others.
        expiring = [job.options(expires=0.3, delay=delay) for delay in (None, 60)]
        expired = await client.enqueue_many([kind.task() for kind in expiring for _ in range(3)])
    await trio.sleep(0.5)
    async with twins(app, redis_server, key_prefix=prefix) as (client, _):
        reasons = {handle.id: "its worker died under it 1 times" for handle in crashed}
        reasons |= {handle.id: "expired" for handle in expired}
        for task_id, reason in reasons.items():
            assert (await client.task(task_id).wait(timeout=60)).error == reason
        with trio.fail_after(60):
            while sum(record.levelname == "ERROR" for record in caplog.records) < len(reasons):
                await trio.sleep(0.05)
        assert (await client.queue("default").stats()).dead_total == len(reasons)
        await check_sound(client)
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert sorted(record.getMessage() for record in errors) == sorted(
        f"task {task_id} (job), attempt 0: dead: {reason}" for task_id, reason in reasons.items()
    )
    assert {vars(record)["worker"] for record in errors} <= {"one", "two"}
