from __future__ import annotations

import gc
import signal

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.garbage_collection import GC_THRESHOLDS
from tests.cli.conftest import Place, Start, call, cli_call, eventually

SIGNALS = [signal.SIGTERM, signal.SIGINT]


async def _running(client: rediq.Client, count: int) -> None:
    async def look() -> bool:
        return (await client.queue("default").stats()).active == count

    await eventually(look)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_worker_ends_with_status_0_at_a_signal(
    number: signal.Signals, cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "served:app", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            (worker,) = await eventually(client.workers)
            assert worker.pid == command.pid
            command.signal(number)
            assert await trio.to_thread.run_sync(command.end) == 0
            assert await client.workers() == []

    trio.run(main)


def test_a_handler_in_mid_flight_may_finish(cli_start: Start, cli_place: Place) -> None:
    command = cli_start("run", "served:app", *cli_place.flags)

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("sleep", seconds=0.5))
            await _running(client, 1)
            command.signal()
            assert await handle.result(timeout=30) == "slept"

    trio.run(main)
    assert command.end() == 0


def test_what_does_not_finish_within_the_grace_is_given_back_uncharged(
    cli_start: Start, cli_place: Place
) -> None:
    command = cli_start("run", "served:app", *cli_place.flags, "--shutdown-grace=0.2")

    async def main() -> None:
        async with cli_place.client() as client:
            tasks = [call("sleep", seconds=600) for _ in range(30)]
            handles = await client.enqueue_many(tasks)
            await _running(client, 10)
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 0
            infos = [await handle.info() for handle in handles]
            assert {info.state for info in infos} == {rediq.State.PENDING}
            assert {info.attempt for info in infos} == {0}
            assert [info.deliveries for info in infos[:10]] == [1] * 10
            assert await client.queue("default").check() == []

    trio.run(main)


def test_the_second_signal_cancels_what_runs(cli_start: Start, cli_place: Place) -> None:
    command = cli_start("run", "served:app", *cli_place.flags, "--shutdown-grace=3600")

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("sleep", seconds=600))
            await _running(client, 1)
            command.signal()
            await command.wait_said("stopping")
            command.signal(signal.SIGINT)
            assert await trio.to_thread.run_sync(command.end) == 0
            info = await handle.info()
            assert (info.state, info.attempt) == (rediq.State.PENDING, 0)

    trio.run(main)


def test_the_second_signal_ends_a_process_whose_threads_do_not_end(
    cli_start: Start, cli_place: Place
) -> None:
    graces = ("--shutdown-grace=0.1", "--cleanup-grace=0.2")
    command = cli_start("run", "served:app", *cli_place.flags, *graces)

    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("block", seconds=600))
            # Claimed only, it would be given back before it has a thread.
            await command.wait_said("in its thread")
            command.signal()

            async def given_back() -> bool:
                return (await handle.info()).state is rediq.State.PENDING

            await eventually(given_back)
            assert (await handle.info()).attempt == 0
            await command.wait_said("a second signal ends the process")
            command.signal()
            assert await trio.to_thread.run_sync(command.end) == 1

    trio.run(main)
    assert "1 handlers do not end" in command.said().splitlines()[-1]


def test_a_burst_ends_by_itself(cli_start: Start, cli_place: Place) -> None:
    async def main() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("pid"))
            command = cli_start("run", "served:app", *cli_place.flags, "--burst")
            assert await trio.to_thread.run_sync(command.end) == 0
            assert await handle.result(timeout=10) == command.pid

    trio.run(main)


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("wish", ["", "5000", "off"])
def test_full_garbage_collections_are_rare_unless_the_app_has_a_wish(
    wish: str, processes: str, cli_start: Start, cli_place: Place
) -> None:
    flags = ("--processes", processes, *cli_place.flags)
    command = cli_start("run", "served:app", *flags, SERVED_COLLECTS=wish)

    async def main() -> list[int]:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("collector"))
            found: list[int] = await handle.result(timeout=30)
            return found

    *thresholds, frozen = trio.run(main)
    if wish == "off":
        assert (thresholds, frozen) == ([*gc.get_threshold()], 0)
    elif wish:
        assert (thresholds, frozen) == ([5000, *gc.get_threshold()[1:]], 0)
    else:
        assert tuple(thresholds) == GC_THRESHOLDS
        assert frozen > 10_000
    command.signal()
    assert command.end() == 0


def test_flags_win_over_the_environment(cli_start: Start, cli_place: Place) -> None:
    settings = {"REDIQ_CONCURRENCY": "3", "REDIQ_QUEUES": "a,b", "REDIQ_NAME": "known"}
    command = cli_start("run", "served:app", *cli_place.flags, "--queues=c=3,d=1", **settings)

    async def main() -> None:
        async with cli_place.client() as client:
            (worker,) = await eventually(client.workers)
            assert (worker.id, worker.concurrency) == ("known", 3)
            assert worker.queues == ("c", "d")

    trio.run(main)
    command.signal()
    assert command.end() == 0


def test_the_url_may_come_from_the_environment(cli_place: Place) -> None:
    flags = (f"--key-prefix={cli_place.prefix}", "--burst")
    found = cli_call("run", "served:app", *flags, REDIQ_URL=cli_place.url)
    assert found.returncode == 0
    assert f"serves default on {cli_place.url}" in found.stderr


def test_the_log_can_be_silenced(cli_place: Place) -> None:
    flags = ("--burst", "--log-level=warning")
    found = cli_call("run", "served:app", *cli_place.flags, *flags)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
