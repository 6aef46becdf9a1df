"""Children, steps, workflows and messages between queues, where processes really die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State
from tests.faults.binder import PARTS, parent, sleepy
from tests.faults.crew import HERE, WITHIN, Crew, check_sound, crew, until

QUEUES = ("default", "children", "third")


def hire(us: Crew, queues: str = ",".join(QUEUES)) -> subprocess.Popen[bytes]:
    return us.hire("binder:app", queues=queues, concurrency=5, lease=1.5)


async def check_all(client: rediq.Client) -> None:
    for name in await client.queues():
        await check_sound(client.queue(name))
        assert await client._store.outbox(name, limit=0) == ()


@pytest.mark.parametrize("step_dies", [True, False], ids=["behind a step", "before settlement"])
async def test_a_worker_that_is_killed_repeats_no_step_and_no_child(*, step_dies: bool) -> None:
    with crew() as us:
        first = hire(us)
        async with rediq.connect(us.server.url) as client:
            handle = await client.enqueue(parent.task(step_dies))
            await trio.to_thread.run_sync(first.wait, abandon_on_cancel=True)
            assert first.returncode == -signal.SIGKILL
            assert (await client.queue("default").stats()).enqueued == 1
            hire(us)
            hire(us)
            assert await handle.result(timeout=WITHIN) == 1, "the step's first result"
            info = await handle.info()
            assert (info.deliveries, info.crashes, info.attempt) == (2, 1, 1)

            async def three() -> bool:
                return len(us.lines("child")) == 3

            await until(three)
            assert [len(us.lines(word)) for word in ("begin", "step")] == [2, 1]
            assert [(await client.queue(q).stats()).enqueued for q in QUEUES[:2]] == [2, 2]
            await check_all(client)


async def test_a_step_of_a_worker_that_was_frozen_past_its_lease_is_not_kept() -> None:
    with crew() as us:
        frozen = hire(us)
        async with rediq.connect(us.server.url) as client:
            handle = await client.enqueue(sleepy.task(0.7))

            async def begun() -> bool:
                return len(us.lines("begin")) == 1

            await until(begun)
            frozen.send_signal(signal.SIGSTOP)
            hire(us)
            assert await handle.result(timeout=WITHIN) == 2
            before = await handle.info()
            frozen.send_signal(signal.SIGCONT)

            async def refused() -> bool:
                return [line[:2] for line in us.lines("stale")] == [[handle.id, "1"]]

            await until(refused)
            assert await handle.info() == before
            assert [fence for task, fence, _ in us.lines("end") if task == handle.id] == ["2"]
            (record,) = await client._store.get("default", [handle.id.partition("/")[2]])
            assert record is not None
            assert record.steps == (), "they went with the completion, and none came after it"
            await check_all(client)


@pytest.mark.parametrize("received", [1, 2, 5, 12, 19])
async def test_a_client_that_is_killed_while_it_relays_leaves_a_whole_workflow(
    received: int,
) -> None:
    with crew() as us:
        environment = {**os.environ, "LABOR_LOG": str(us.log)}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(Path(rediq.__file__).parents[1]), str(HERE), str(HERE.parents[1])]
        )
        client_process = subprocess.Popen(  # noqa: ASYNC220 starting it is quick
            [sys.executable, str(HERE / "binder.py"), us.server.url, str(received)],
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        us.workers.append(client_process)
        await trio.to_thread.run_sync(client_process.wait, abandon_on_cancel=True)
        assert client_process.returncode == -signal.SIGKILL
        async with rediq.connect(us.server.url) as client:
            assert sum([len(await client._store.outbox(q, limit=0)) for q in QUEUES]) > 0
            # Two at once, so that they race to carry what is left.
            for queues in ("default", "default,third", "children,third"):
                hire(us, queues)
            last = client.task("third/last")

            async def there() -> bool:
                try:
                    return (await last.info()).state is State.COMPLETED
                except rediq.TaskNotFound:
                    return False

            await until(there)
            begun = us.counted("child")
            assert len(begun) == PARTS + 2
            assert set(begun.values()) == {1}
            totals = [(await client.queue(q).stats()).completed_total for q in QUEUES]
            assert sum(totals) == PARTS + 2
            await check_all(client)
