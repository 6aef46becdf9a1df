"""`rediq audit` and `rediq mark`, as somebody types them."""

from __future__ import annotations

import getpass
import json
import socket

import pytest

import rediq_trio as rediq
from tests.cli.conftest import cli_call
from tests.servers import Server

WHO = f"{getpass.getuser()}@{socket.gethostname()}"


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    return f"audit-{abs(hash(request.node.nodeid)) % 10**8}"


async def test_each_command_that_changes_something_leaves_an_entry(
    redis_server: Server, prefix: str
) -> None:
    url = redis_server.url
    async with rediq.connect(url, key_prefix=prefix) as client:
        await client.enqueue(rediq.Task("t", queue="q"))

        def call(*arguments: str, status: int = 0) -> str:
            ended = cli_call(
                *arguments, "--url", url, "--key-prefix", prefix, SSH_CONNECTION="192.0.2.7 1 2 3"
            )
            assert (ended.returncode, ended.stderr) == (status, "")
            return ended.stdout

        assert call("audit").startswith("no entries")
        call("queue", "pause", "q")
        call("queue", "list")
        call("queue", "flush", "q", "--yes")
        call("task", "cancel", "q/none", "--yes", status=3)
        found = await client.audit(newest=False)
        assert {(entry.who, entry.tool, entry.where) for entry in found} == {
            (WHO, "rediq", "192.0.2.7")
        }
        assert [(entry.what, entry.count, entry.outcome) for entry in found] == [
            ("Queue.pause", None, "done"), ("Queue.flush", 1, "done"),
            ("TaskHandle.cancel", None, "failed"),
        ]  # fmt: skip

        lines = call("audit", "--limit", "2").splitlines()
        assert lines[0].split()[:3] == ["when", "who", "tool"]
        assert "TaskHandle.cancel" in lines[1]
        assert "queue=q" in lines[2]
        assert lines[3] == f"next page: --after {found[1].id}"
        page = call("audit", "--after", found[1].id, "--json")
        [entry] = [json.loads(line) for line in page.splitlines()]
        assert (entry["id"], entry["who"], entry["selection"]) == (
            found[0].id, WHO, {"queue": "q", "by": WHO},
        )  # fmt: skip
        oldest = call("audit", "--oldest", "--json").splitlines()
        assert [json.loads(line)["id"] for line in oldest] == [entry.id for entry in found]


async def test_marks_are_made_and_listed(redis_server: Server, prefix: str) -> None:
    def call(*arguments: str) -> str:
        ended = cli_call(*arguments, "--url", redis_server.url, "--key-prefix", prefix)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    assert call("mark").startswith("no marks")
    assert call("mark", "version 1.2 \x1b[31m").endswith(": version 1.2 \\x1b[31m\n")
    made = json.loads(call("mark", "version 1.3", "--json"))
    assert (made["by"], made["text"], made["rediq"]) == (WHO, "version 1.3", 1)
    heads, newest, oldest = call("mark").splitlines()
    assert heads.split() == ["when", "who", "mark"]
    assert newest.endswith("version 1.3")
    assert oldest.endswith("version 1.2 \\x1b[31m")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mark", ""), "text='': must be text of 1 to 200 characters"),
        (("mark", "x" * 201), "must be text of 1 to 200 characters"),
        (("audit", "--limit", "0"), "limit=0: must be a whole number from 1 to 1,000"),
        (("audit", "--after", "x"), "--after='x': must be the id of an entry"),
    ],
)
def test_bad_arguments_are_refused(
    redis_server: Server, arguments: tuple[str, ...], said: str
) -> None:
    ended = cli_call(*arguments, "--url", redis_server.url)
    assert ended.returncode == 2
    assert said in ended.stderr
