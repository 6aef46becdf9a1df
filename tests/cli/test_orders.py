"""`rediq worker quiet`, `work`, `stacks` and `stop`, on a real worker."""

from __future__ import annotations

import json

import trio

from tests.cli.conftest import Place, Start, call, cli_call, eventually


def test_a_worker_takes_orders_of_the_command_line(cli_start: Start, cli_place: Place) -> None:
    command = cli_start("run", "served:app", "--name=w", "--shutdown-grace=0", *cli_place.flags)

    async def running() -> None:
        async with cli_place.client() as client:
            handle = await client.enqueue(call("sleep", seconds=900))

            async def look() -> bool:
                workers = await client.workers()
                return bool(workers and workers[0].running) and bool(await handle.info())

            await eventually(look)

    trio.run(running)
    quiet = cli_call("worker", "quiet", "w", *cli_place.flags)
    assert (quiet.returncode, quiet.stdout) == (0, "w claims no more tasks\n"), quiet.stderr
    shown = cli_call("worker", "show", "w", "--json", *cli_place.flags)
    assert json.loads(shown.stdout)["state"] == "quiet"
    stacks = cli_call("worker", "stacks", "w", *cli_place.flags)
    assert "served.py:" in stacks.stdout
    assert " in sleep" in stacks.stdout
    work = cli_call("worker", "work", "w", "--json", *cli_place.flags)
    assert json.loads(work.stdout) == {"rediq": 1, "worker": "w", "state": "working"}
    unasked = cli_call("worker", "stop", "w", *cli_place.flags)
    assert unasked.returncode == 2
    assert "stop w, which runs 1 attempt" in unasked.stderr
    unknown = cli_call("worker", "quiet", "v-of-mail", *cli_place.flags)
    assert unknown.returncode == 3
    assert "no live worker is named 'v-of-mail'; live are w" in unknown.stderr
    stop = cli_call("worker", "stop", "w", "--grace=0s", "--yes", *cli_place.flags)
    assert (stop.returncode, stop.stdout) == (0, "w is stopping\n"), stop.stderr
    assert command.end() == 0
