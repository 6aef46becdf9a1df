"""`rediq bench` on a real server."""

from __future__ import annotations

import json
import signal

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.cli.main import main
from rediq_trio.cli.setup.bench import percentile
from tests.cli.conftest import Place, Start, cli_call, eventually


async def _left(place: Place) -> list[str]:
    async with place.client() as client:
        return await client.queues()


def test_it_measures_and_removes_its_queue(cli_place: Place) -> None:
    found = cli_call("bench", "--tasks=500", *cli_place.flags)
    assert (found.returncode, found.stderr) == (0, "")
    names = [line.split()[0] for line in found.stdout.splitlines()]
    assert names == ["tasks", "enqueued", "worked", "waiting"]
    assert "500, which do nothing; 10 at once" in found.stdout
    assert found.stdout.count("tasks/s") == 2
    assert trio.run(_left, cli_place) == []


def test_its_json_has_all_figures(cli_place: Place) -> None:
    found = cli_call("bench", "--tasks=50", "--concurrency=7", "--json", *cli_place.flags)
    said = json.loads(found.stdout)
    assert (said["rediq"], said["tasks"], said["concurrency"]) == (1, 50, 7)
    assert said["work_rate"] == pytest.approx(50 / said["work_seconds"])
    assert said["enqueue_rate"] == pytest.approx(50 / said["enqueue_seconds"])
    assert 0 < said["waiting"]["p50"] <= said["waiting"]["p99"] < 60
    assert said["waiting"]["tasks"] == 200


def test_it_needs_no_server_but_the_embedded_one() -> None:
    found = cli_call("bench", "--tasks=20", "--url=embedded://")
    assert found.returncode == 0, found.stderr
    assert "tasks/s" in found.stdout


def test_a_queue_that_has_tasks_is_refused_and_left_as_it_is(cli_place: Place) -> None:
    async def prepare() -> None:
        async with cli_place.client() as client:
            await client.enqueue(rediq.Task("t", None, queue="mail"))
            await client.queue("mail").limit(concurrency=3)

    async def look() -> None:
        async with cli_place.client() as client:
            assert (await client.queue("mail").stats()).pending == 1
            assert (await client.queue("mail").limits()).concurrency == 3

    trio.run(prepare)
    found = cli_call("bench", "--tasks=5", "--queue=mail", *cli_place.flags)
    assert found.returncode == 2
    assert "queue=mail: this queue has 1 task, and a measurement would remove it" in found.stderr
    assert found.stderr.count("\n") == 1
    trio.run(look)


def test_a_queue_that_is_empty_and_has_settings_is_refused(cli_place: Place) -> None:
    async def prepare() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(rediq.Task("t", None, queue="mail"))
            await handle.delete()

    trio.run(prepare)
    found = cli_call("bench", "--tasks=5", "--queue=mail", *cli_place.flags)
    assert found.returncode == 2
    assert "this queue was used before" in found.stderr


def test_ctrl_c_removes_the_queue_too(cli_start: Start, cli_place: Place) -> None:
    flags = ("--tasks=200000", "--queue=measured")
    command = cli_start("bench", *flags, *cli_place.flags)

    async def interrupt() -> None:
        async with cli_place.client() as client:

            async def begun() -> bool:
                return (await client.queue("measured").stats()).pending > 0

            await eventually(begun)
            command.signal(signal.SIGINT)
            assert await trio.to_thread.run_sync(command.end) == 130
            assert await client.queues() == []

    trio.run(interrupt)


def test_a_measurement_that_takes_too_long_is_given_up_and_its_queue_removed(
    cli_place: Place,
) -> None:
    found = cli_call("bench", "--tasks=1000000", "--timeout=2s", *cli_place.flags)
    assert found.returncode == 1
    assert "it was not done within 2.0 s: its queue was removed" in found.stderr
    assert trio.run(_left, cli_place) == []


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--tasks=0",), "tasks='0': must be a whole number from 1 to 1,000,000"),
        (("--tasks=many",), "tasks='many'"),
        (("--tasks=1000001",), "tasks='1000001'"),
        (("--concurrency=0",), "concurrency=0"),
        (("--queue=a b",), "queue='a b'"),
        (("--url=memory://",), "memory:// has nothing to measure"),
    ],
)
def test_bad_use_is_one_line_and_status_2(
    flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *flags]) == 2
    output, errors = capsys.readouterr()
    assert (output, errors.count("\n")) == ("", 1)
    assert said in errors


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([3.0], 0.99) == 3
