"""Lifespans under `rediq run`: real processes and real signals."""

from __future__ import annotations

import re

import trio

import rediq_trio as rediq
from tests.cli.conftest import WITHIN, Place, Start, call, cli_call, eventually


def said_by(text: str, pid: int) -> list[str]:
    return re.findall(rf"<(\w+) {pid}>", text)


def test_a_worker_opens_its_lifespan_and_closes_it_after_the_last_task(
    cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "shared_app:app", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("state", wait=1.0))

            async def runs() -> bool:
                # Not that it is active: what is claimed and not begun goes back when a worker stops.
                return said_by(command.said(), command.pid) == ["open", "begun"]

            await eventually(runs)
            command.signal()
            assert await handle.result(timeout=WITHIN) == command.pid
            assert await trio.to_thread.run_sync(command.end) == 0

    trio.run(main)
    assert said_by(command.said(), command.pid) == ["open", "begun", "ran", "close"]


def test_a_signal_ends_a_worker_whose_lifespan_takes_long_to_enter(
    cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "shared_app:app", *cli_place.flags, SHARED_WISH="slow")
    trio.run(command.wait_said, "<open")
    command.signal()
    assert command.end() == 0
    assert said_by(command.said(), command.pid) == ["open"]


def test_each_of_several_processes_has_its_own(cli_start: Start, cli_place: Place) -> None:
    command = cli_start(
        "run",
        "shared_app:app",
        *cli_place.flags,
        "--processes=2",
        "--concurrency=1",
        "--prefetch=0",
    )

    async def main() -> set[int]:
        async with cli_place.client() as client:

            async def started() -> list[rediq.WorkerInfo]:
                workers = await client.workers()
                return workers if len(workers) == 2 else []

            pids = {worker.pid for worker in await eventually(started)}
            handles = await client.enqueue_many([call("state", wait=0.3) for _ in range(6)])
            states = {await handle.result(timeout=WITHIN) for handle in handles}
            assert states <= pids
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0
            return pids

    for pid in trio.run(main):
        said = said_by(command.said(), pid)
        assert (said[0], said[-1]) == ("open", "close")
        assert {*said[1:-1]} <= {"begun", "ran"}


def test_a_lifespan_that_fails_ends_the_command_with_its_error(cli_place: Place) -> None:
    ended = cli_call("run", "shared_app:app", *cli_place.flags, SHARED_WISH="fail")
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "OSError: the database is away"


def test_a_lifespan_that_is_none_is_one_line_that_says_what_to_do(cli_place: Place) -> None:
    ended = cli_call("run", "shared_app:app", *cli_place.flags, SHARED_WISH="never")
    assert ended.returncode == 2
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("rediq: ")]
    assert "it did not yield: yield the state once" in line
