"""`rediq task why`, against a real server."""

from __future__ import annotations

import json

import trio

from rediq_trio import Task
from tests.cli.conftest import Place, cli_call


def test_why_a_task_waits_is_said_in_lines_and_as_json(cli_place: Place) -> None:
    async def main() -> None:
        async with cli_place.client() as client:
            await client.enqueue(Task[None]("t", id="a", queue="q"))
            await client.queue("q").pause("a\x1bdeployment", by="ops")

    trio.run(main)
    said = cli_call("task", "why", "q/a", *cli_place.flags)
    assert (said.returncode, said.stderr) == (0, "")
    first, paused, *rest = said.stdout.splitlines()
    assert first == "q/a is pending"
    assert paused.startswith("  the queue is paused by ops for ")
    assert paused.endswith(": a\\x1bdeployment")
    assert rest == [
        "  no live worker serves the queue q",
        "  it is 1st of 1 in its priority",
    ]
    found = json.loads(cli_call("task", "why", "q/a", "--json", *cli_place.flags).stdout)
    assert (found["task_id"], found["state"]) == ("q/a", "pending")
    kinds = [part["kind"] for part in found["parts"]]
    assert kinds == ["paused", "unserved", "position"]
    assert found["parts"][0]["data"]["by"] == "ops"


def test_why_of_a_task_that_is_not_there(cli_place: Place) -> None:
    said = cli_call("task", "why", "q/none", *cli_place.flags)
    assert said.returncode == 3
    assert "no task 'q/none'" in said.stderr
