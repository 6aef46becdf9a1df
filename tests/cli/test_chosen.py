"""`rediq task cancel`, `retry`, `delete` and `requeue` by a filter, against a real server."""

from __future__ import annotations

import re
import signal

import pytest
import trio

from tests.cli.conftest import Place
from tests.cli.test_operate import Typed, put, state_of, stats_of, task, typed, work
from tests.cli.test_terminal import terminal
from tests.clusters import single

__all__ = ["typed"]


def test_waiting_tasks_that_a_filter_chooses_are_cancelled_moved_or_deleted(typed: Typed) -> None:
    ann, bob, late, far = put(
        typed.place, task(payload={"user": {"id": 7}, "text": "hello ann"}),
        task(payload={"user": {"id": 8}}, priority=7), task(delay=60), task("x", delay=60),
    )  # fmt: skip
    cancel = ("task", "cancel", "emails", "--state=pending", "--payload=user.id=7")
    status, line = typed.one_line(*cancel)
    what = "cancel 1 pending task of emails with payload user.id=7"
    assert (status, f"this would {what}," in line) == (2, True)
    said = typed(*cancel, "--dry-run", "--json")
    assert said.objects == [{"rediq": 1, "dry_run": True, "would": what}]
    assert state_of(typed.place, ann) == "pending"
    assert typed(*cancel, "--yes", "--json").objects == [
        {"rediq": 1, "queue": "emails", "cancelled": 1, "refused": 0}
    ]
    assert state_of(typed.place, ann) == "cancelled"
    said = typed("task", "retry", "emails", "--state=cancelled", "--rate=1000/s", "--yes")
    assert (said.status, said.out) == (0, "1 task ready again\n")
    move = ("task", "requeue", "emails", "--state=pending", "--priority=7", "--queue=slow")
    status, line = typed.one_line(*move)
    assert "this would move 1 pending task of emails with priority 7 to slow," in line
    said = typed(*move, "--yes")
    assert (said.status, said.out) == (0, "1 task moved\n")
    assert stats_of(typed.place, "slow").pending == 1
    assert typed("task", "show", bob).status == 3
    said = typed("task", "delete", "emails", "--state=scheduled", "--type=x", "--yes")
    assert (said.status, said.out) == (0, "1 task deleted\n")
    assert typed("task", "show", far).status == 3
    assert {state_of(typed.place, each) for each in (ann, late)} == {"pending", "scheduled"}
    said = typed("task", "list", "emails", "--payload=o an", "--json")
    assert [each["id"] for each in said.objects] == [ann]
    assert typed("task", "list", "emails", "--payload=text=hello ann").lines[1].startswith(ann)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("cancel", "emails"), "emails is not the id of a task. To choose from a queue, pass --state"),
        (("cancel", "emails", "--type=t"), "pass --state too, with one of scheduled, blocked"),
        (("cancel", "emails", "--state=dead"), "invalid choice: 'dead'"),
        (("retry", "emails", "--state=pending"), "invalid choice: 'pending'"),
        (("retry", "emails/a", "--rate=5/s"), "--rate is for the tasks that a filter chooses"),
        (("retry", "emails", "--state=dead", "--rate=5"), "--rate='5': must be like 100/1m or 5/s"),
        (("retry", "emails", "--state=dead", "--rate=0/s"), "--rate: count=0: must be"),
        (("delete", "emails", "o", "--state=dead"), "a filter chooses from one queue"),
        (("delete", "emails", "--state=dead", "--payload==x"), "--payload: a part of the path is empty"),
        (("delete", "emails", "--state=dead", "--payload="), "--payload: payload='': must be"),
        (("requeue", "emails", "--state=dead", "--queue=a/b"), "--queue='a/b': must be"),
        (("requeue", "emails", "--state=dead", "--queue=emails"), "another queue than emails"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen_so_is_said(
    arguments: tuple[str, ...], said: str, typed: Typed
) -> None:
    put(typed.place, task(id="a"))
    status, line = typed.one_line("task", *arguments)
    assert (status, said in line) == (2, True), line
    assert stats_of(typed.place, "emails").pending == 1


def test_ctrl_c_while_many_are_changed_says_what_was_done(cli_place: Place) -> None:
    put(cli_place, *(task("bad", payload={"text": "no"}) for _ in range(8)))
    work(cli_place, "emails")
    retry = ("task", "retry", "emails", "--state=dead", "--rate=2/s", "--yes", *cli_place.flags)
    with terminal(*retry) as shown:
        shown.read_until("2 ready again")
        shown.child.send_signal(signal.SIGINT)
        status, text = shown.end()
    assert status == 130
    last = text.splitlines()[-1]
    assert "stopped: " in last
    assert "the same command goes on with the rest" in last
    done = int(last.partition("stopped: ")[2].split()[0])

    async def read() -> tuple[int, int]:
        async with cli_place.client() as client:
            stats = await client.queue("emails").stats()
            return stats.pending, stats.dead

    ready, dead = trio.run(read)
    assert (ready + dead, dead > 0, done <= ready) == (8, True, True)


def test_a_read_only_replica_is_named_early_with_what_to_do(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIQ_PATIENCE", "10")
    with single("redis-7", "--replicaof", "127.0.0.1", "1") as node:
        said = typed("enqueue", "good", flags=[f"--url=redis://127.0.0.1:{node.port}"])
    assert (said.status, said.out, said.err.count("\n")) == (1, "", 2)
    assert re.match(
        r"rediq: trying again for \d\.\d s more, Ctrl-C ends that: .*READONLY.*; a replica takes writes "
        r"only if it becomes a primary\n", said.err,
    )  # fmt: skip
    assert said.err.endswith("name its primary with --url or REDIQ_URL\n")
