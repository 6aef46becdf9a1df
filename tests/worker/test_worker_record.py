from __future__ import annotations

import datetime as dt

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, WorkerInfo
from rediq_trio.worker.leases import HeldLease, LeaseTable
from rediq_trio.worker.reporting.record import resident_bytes

WITHIN = 20.0
app = rediq.App("recorded")


@app.task("hold")
async def hold(percent: float | None = None) -> None:
    if percent is not None:
        rediq.current_task().progress(percent)
    await trio.sleep_forever()


@app.task("other")
async def other(to: str, *, n: int = 1, **more: str) -> None: ...


async def recorded(client: rediq.Client, running: int) -> WorkerInfo:
    """Return the record of the only worker, once it shows so many running tasks."""
    with trio.fail_after(WITHIN):
        while True:
            found = await client.workers()
            if found and len(found[0].running_tasks or ()) == running:
                return found[0]
            await trio.sleep(0.02)


async def test_a_heartbeat_says_what_the_worker_runs_and_how_it_is() -> None:
    before = dt.datetime.now(dt.UTC)
    async with rediq.serve(
        app, MemoryStore(), name="w", lease=1, heartbeat=0.05, shutdown_grace=0, concurrency=3,
        labels={"zone": "b"},
    ) as server:  # fmt: skip
        first = await server.client.enqueue(hold.task())
        await recorded(server.client, 1)
        second = await server.client.enqueue(hold.task(50.0))
        found = await recorded(server.client, 2)
        while found.running_tasks and found.running_tasks[1].percent is None:
            found = await recorded(server.client, 2)
        assert found.running_tasks is not None
        assert [(task.id, task.type, task.attempt, task.percent) for task in found.running_tasks] == [
            (first.id, "hold", 1, None), (second.id, "hold", 1, 50.0),
        ]  # fmt: skip
        assert before <= found.running_tasks[0].since < found.running_tasks[1].since
        assert (found.state, found.labels, found.type_count) == ("working", {"zone": "b"}, 2)
        assert found.health is not None
        assert (found.health.alive, found.health.reasons) == (True, ())
        assert found.settings is not None
        assert found.settings["lease"] == 1
        assert found.settings["queues"] == ["default"]
        assert "labels" not in found.settings
        assert found.signatures == {
            "hold": rediq.TaskSignature(optional=("percent",)),
            "other": rediq.TaskSignature(required=("to",), optional=("n",), open=True),
        }
        assert found.instance is not None
        assert found.instance.startswith("w#")
        assert found.loop_delay is not None
        assert 0 <= found.loop_delay < WITHIN
    assert server.info().state == "stopping"


async def test_where_progress_is_encrypted_a_record_does_not_show_it() -> None:
    pytest.importorskip("cryptography")
    keys = rediq.Encryption(keys=[rediq.Encryption.generate_key()])
    async with rediq.serve(
        app, MemoryStore(), lease=1, heartbeat=0.05, shutdown_grace=0, encryption=keys
    ) as server:
        handle = await server.client.enqueue(hold.task(50.0))
        with trio.fail_after(WITHIN):
            while (await handle.info()).progress is None:
                await trio.sleep(0.02)
        found = await recorded(server.client, 1)
        assert [task.percent for task in found.running_tasks or ()] == [None]


def test_the_memory_of_this_process_is_known() -> None:
    found = resident_bytes()
    assert found is None or 10**6 < found < 10**11


def test_a_lease_begins_without_progress() -> None:
    held = HeldLease("q", None, 0.0, 0.0, ("q", "t"), LeaseTable())  # type: ignore[arg-type]
    assert (held.type, held.percent) == ("", None)
