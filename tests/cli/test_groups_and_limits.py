"""`rediq group list` and `rediq limit list`, against a real server."""

from __future__ import annotations

from typing import Any

import trio

import rediq_trio as rediq
from tests.cli.conftest import WITHIN, cli_call
from tests.cli.test_operate import Said, Typed, put, task, typed

__all__ = ["typed"]


def test_groups_are_listed_those_first_that_become_a_batch_first(typed: Typed) -> None:
    assert typed("group", "list").out == "no group has members in any queue\n"
    put(
        typed.place, *(task(group="a") for _ in range(2)), task(group="[bold]x"),
        task(queue="other", group="b"),
    )  # fmt: skip
    said = typed("group", "list", "--json")
    assert said.status == 0
    groups = {each["name"]: each for each in said.objects}
    assert [groups[name]["size"] for name in "ab"] == [2, 1]
    assert groups["a"] == {
        "rediq": 1, "name": "a", "queue": "emails", "size": 2, "due_at": groups["a"]["due_at"],
        "max_size": 10, "grace": 30.0, "max_delay": 300.0, "has_rule": False,
    }  # fmt: skip
    lines = typed("group", "list", "emails").lines
    assert lines[0].split()[:3] == ["group", "queue", "size"]
    assert len(lines) == 3
    assert any(line.split()[:3] == ["a", "emails", "2"] for line in lines)
    assert any(line.startswith("[bold]x ") for line in lines)
    said = typed("group", "list", "--limit=1")
    assert len(said.lines) == 3
    assert said.lines[-1] == "there may be more: pass --limit, or name one queue"
    assert typed("group", "list", "emials").status == 3


def test_limits_are_listed_with_the_tasks_that_hold_them(typed: Typed) -> None:
    assert typed("limit", "list").out.startswith("no limits in any queue: set one with")
    app = rediq.App()

    @app.task("hold", queue="emails")
    async def hold() -> None:
        await trio.sleep_forever()

    async def look() -> tuple[Said, Said]:
        options: Any = {"queues": ["emails"], "key_prefix": typed.place.prefix, "shutdown_grace": 0}
        async with typed.place.client() as client:
            queue = client.queue("emails")
            await queue.limit(concurrency=5)
            await queue.limit(key="ann", concurrency=1, rate=rediq.Rate(100, per=60))
            await queue.limit(key="*", concurrency=2)
            keys = ("ann", "ann", "bob", None)
            await client.enqueue_many(
                [rediq.Task("hold", {}, queue="emails", limit_key=key) for key in keys]
            )
            async with rediq.serve(app, typed.place.url, **options):
                with trio.fail_after(WITHIN):
                    while (await queue.stats()).active < 3:
                        await trio.sleep(0.02)
                plain, said = await run(), await run("emails", "--json")
        return plain, said

    async def run(*more: str) -> Said:
        def in_thread() -> Said:
            found = cli_call("limit", "list", *more, *typed.place.flags)
            return Said(found.returncode, found.stdout, found.stderr)

        return await trio.to_thread.run_sync(in_thread)

    plain, said = trio.run(look)
    assert (plain.status, said.status) == (0, 0)
    found = {(each["key"], each["of_any_key"]): each for each in said.objects}
    assert {name: each["running"] for name, each in found.items()} == {
        (None, False): 3, ("ann", False): 1, ("bob", True): 1,
    }  # fmt: skip
    ann = found["ann", False]
    assert (ann["limit"]["concurrency"], ann["limit"]["rate"]["count"]) == (1, 100)
    assert len(ann["tasks"]) == 1
    assert ann["oldest_since"] is not None
    lines = [line.split() for line in plain.lines]
    assert lines[0][:3] == ["queue", "limit", "key"]
    assert lines[2][:7] == ["emails", "ann", "1", "1", "100", "in", "1"]
    assert lines[3][:6] == ["emails", "bob", "(as", "*)", "1", "2"]
