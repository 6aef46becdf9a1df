from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from functools import partial

import pytest
import trio

import rediq_trio as rediq
from tests.cli.conftest import WITHIN, Place, Start, alive, call, eventually

IMPATIENT = """
import sys
from rediq_trio.cli import supervisor
from rediq_trio.cli.main import main
supervisor.FIRST_RESTART_DELAY = 0.01
sys.exit(main())
"""


async def _workers(
    client: rediq.Client, count: int, *, without: Sequence[int] = ()
) -> dict[str, int]:
    """Wait for that many workers; give their processes by name."""

    async def look() -> dict[str, int] | None:
        found = {worker.id: worker.pid for worker in await client.workers()}
        good = len(found) == count and not set(found.values()) & set(without)
        return found if good else None

    found = await eventually(look)
    assert found is not None
    return found


def test_two_processes_share_the_work_and_end_together(cli_start: Start, cli_place: Place) -> None:
    flags = ("--processes=2", "--name=w", "--concurrency=1", "--prefetch=0", "--shutdown-grace=0")
    command = cli_start("run", "served:app", *cli_place.flags, *flags)

    async def main() -> None:
        async with cli_place.client() as client:
            found = await _workers(client, 2)
            assert found.keys() == {"w.1", "w.2"}
            assert command.pid not in found.values()
            tasks = [call("sleep", seconds=600) for _ in range(2)]
            handles = await client.enqueue_many(tasks)

            async def both() -> bool:
                return {(await handle.info()).worker for handle in handles} == {"w.1", "w.2"}

            await eventually(both)
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0
            infos = [await handle.info() for handle in handles]
            assert [(info.state, info.attempt) for info in infos] == [(rediq.State.PENDING, 0)] * 2
            assert not any(map(alive, found.values()))
            assert await client.workers() == []

    trio.run(main)


def test_a_killed_worker_starts_again_and_its_task_is_not_lost(
    cli_start: Start, cli_place: Place
) -> None:
    flags = ("--processes=2", "--name=w", "--lease=4", "--shutdown-grace=0")
    command = cli_start("run", "served:app", *cli_place.flags, *flags)

    async def main() -> None:
        async with cli_place.client() as client:
            before = await _workers(client, 2)
            # Long leases: those of a worker that the machine does not let run are lost as well.
            handle = await client.enqueue(call("hang-once"))

            async def holder() -> str:
                return (await handle.info()).worker or ""

            victim = before[await eventually(holder)]
            os.kill(victim, signal.SIGKILL)
            after = await _workers(client, 2, without=[victim])
            assert after.keys() == before.keys()
            assert await handle.result(timeout=WITHIN) == "not again"
            info = await handle.info()
            assert (info.attempt, info.crashes) == (1, 1)

    trio.run(main)
    assert "ended by SIGKILL; it starts again in 0.5 s" in command.said()
    command.signal()
    assert command.end() == 0


def test_the_workers_end_when_their_parent_is_killed(cli_start: Start, cli_place: Place) -> None:
    flags = ("--processes=2", "--shutdown-grace=0.1")
    command = cli_start("run", "served:app", *cli_place.flags, *flags)

    async def main() -> None:
        async with cli_place.client() as client:
            found = await _workers(client, 2)
            handle = await client.enqueue(call("sleep", seconds=600))
            await eventually(partial(_is_active, handle))
            command.signal(signal.SIGKILL)

            async def gone() -> bool:
                return not any(map(alive, found.values()))

            await eventually(gone)
            info = await handle.info()
            assert (info.state, info.attempt) == (rediq.State.PENDING, 0)

    trio.run(main)


async def _is_active(handle: rediq.TaskHandle[object]) -> bool:
    return (await handle.info()).state is rediq.State.ACTIVE


def test_the_second_signal_reaches_every_worker(cli_start: Start, cli_place: Place) -> None:
    flags = ("--processes=2", "--concurrency=1", "--prefetch=0", "--shutdown-grace=3600")
    command = cli_start("run", "served:app", *cli_place.flags, *flags)

    async def main() -> None:
        async with cli_place.client() as client:
            tasks = [call("sleep", seconds=600) for _ in range(2)]
            handles = await client.enqueue_many(tasks)
            for handle in handles:
                await eventually(partial(_is_active, handle))
            command.signal()
            await command.wait_said("stopping 2 workers")
            command.signal(signal.SIGINT)
            code = await trio.to_thread.run_sync(command.end)
            assert code == 0, command.said()
            infos = [await handle.info() for handle in handles]
            assert {info.state for info in infos} == {rediq.State.PENDING}

    trio.run(main)


@pytest.mark.usefixtures("embedded_server")
def test_an_embedded_server_is_shared_by_all_and_ends_with_them(cli_start: Start) -> None:
    command = cli_start("run", "served:app", "--url=embedded://", "--processes=2")

    async def main() -> None:
        said = await command.wait_said("serves default on unix://")
        found = re.search(r"on (unix://\S+/redis\.sock)", said)
        assert found is not None
        async with rediq.connect(found[1]) as client:
            workers = await _workers(client, 2)
            handle = await client.enqueue(call("pid"))
            assert await handle.result(timeout=WITHIN) in workers.values()
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0
        with pytest.raises(rediq.ConnectionLost):
            async with rediq.connect(found[1]):
                pass

    trio.run(main)


def test_a_burst_of_two_processes_ends_by_itself(cli_start: Start, cli_place: Place) -> None:
    async def main() -> None:
        async with cli_place.client() as client:
            await client.enqueue_many([call("pid") for _ in range(50)])
            command = cli_start("run", "served:app", *cli_place.flags, "--processes=2", "--burst")
            assert await trio.to_thread.run_sync(command.end) == 0
            assert (await client.queue("default").stats()).completed == 50

    trio.run(main)


def test_a_worker_that_crashes_again_and_again_is_given_up(
    cli_start: Start, cli_place: Place
) -> None:
    flags = ("run", "served:app", *cli_place.flags, "--processes=2")
    command = cli_start(*flags, program=("-c", IMPATIENT), SERVED_ENDS_WITH="7")
    # It starts fourteen processes of Python, one after the other in each place.
    assert command.end(within=120) == 1
    said = command.said()
    assert "ended with status 7; it starts again in 0.02 s" in said
    assert "ended with status 7: giving up" in said


def test_a_worker_that_cannot_be_set_up_is_given_up_at_once(
    cli_start: Start, cli_place: Place
) -> None:
    flags = ("run", "served:app", *cli_place.flags, "--processes=2")
    command = cli_start(*flags, SERVED_ENDS_WITH="2")
    assert command.end() == 1
    assert "ended with status 2: giving up" in command.said()
    assert "starts again" not in command.said()
