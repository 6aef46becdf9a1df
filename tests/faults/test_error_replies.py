"""A worker outlives whatever a server, or a proxy before it, answers for some seconds.

Each story has a proxy of its own that answers one command with one error line for `REFUSED_FOR`
seconds, while tasks come in: afterwards the worker is there, healthy, and every task has run.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.store.redis.scripts import load_scripts
from tests.faults.error_lines import PASSING
from tests.faults.refuser import Refuser, open_refuser
from tests.servers import Server

REFUSED_FOR = 3.0
WITHIN = 90.0
"""Seconds for all that is left to do, on a busy machine."""
LEASE = 4.0
"""Seconds; many workers share one loop here, and none may lose its leases to the others."""
TOGETHER = 15
"""Workers that run at once, of a test that has time."""
LINES = int(os.environ.get("REDIQ_ERROR_LINES") or TOGETHER)
"""Lines that each command is answered with, drawn anew each time: 50 are all."""
NAMES = {script.sha: script.name for script in load_scripts().values()}
COMMANDS = (
    "PING", "SUBSCRIBE", "SMEMBERS", "SADD", "HGETALL", "ZRANGE",
    "enqueue", "receive", "acknowledge", "claim", "renew", "settle", "report", "remember", "tally",
    "promote", "unblock", "reclaim", "expire", "purge", "batch", "tick", "set_group_rules", "agenda",
    "register", "unregister", "inspect", "watch", "stats", "groups",
)  # fmt: skip
"""Every command that a running worker and its client send."""
AT_THE_START = {"INFO", "SELECT", "AUTH", "declare", "retract_others", "limit"}
"""What is sent once, while the worker starts."""
PAIRS = [(command, line) for command in COMMANDS for line in PASSING]
DRAWN = 60
ALWAYS_SENT = ("enqueue", "claim")
"""Commands that come within the seconds on any machine."""
SENT_BY_A_START = {"expire", "purge", "groups"}
"""Commands that come while a worker starts, and then too seldom to wait for."""
SENT_ONCE = {"SADD"}
"""Commands that only a start sends; a start that is refused raises, or waits as it is told to."""
SENT_BY_AN_END = {"unregister"}
SENT_BY_A_CALL = {"inspect", "watch", "stats"}
"""Commands that a call sends, one after the other: on a slow machine the last comes late."""


def make_app(ran: set[str]) -> rediq.App:
    app = rediq.App()

    @app.task("step", max_retry=1000, backoff=rediq.Fixed(0.1))
    async def step(name: str) -> str:
        this = rediq.current_task()
        this.progress(50)
        await this.once("first", str, name)
        this.enqueue_after(child.options(id=f"child-{name}").task(name))
        ran.add(name)
        return name

    @app.task("child", queue="others", max_retry=1000, backoff=rediq.Fixed(0.1))
    async def child(name: str) -> None:
        ran.add(f"child-{name}")

    @app.task("note")
    async def note(name: str) -> None:
        raise AssertionError("it is in a group")

    @app.task("slow", max_retry=1000, backoff=rediq.Fixed(0.1))
    async def slow() -> None:
        await trio.sleep(1)

    @app.task("notes", max_retry=1000, backoff=rediq.Fixed(0.1))
    async def notes(names: list[str]) -> None:
        ran.update(names)

    @app.aggregator("notes", max_size=3, grace_period=0.2, max_delay=1)
    async def batch(tasks: list[rediq.Task[Any]]) -> rediq.Task[None]:
        return notes.task([task.payload["name"] for task in tasks])

    app.schedule("often", rediq.Every(1), slow.task())
    return app


@attrs.define
class Story:
    """One worker behind its proxy."""

    command: str
    line: str
    refuser: Refuser
    prefix: str
    direct: str
    """The server's own address."""
    ran: set[str] = attrs.field(factory=set[str])
    wanted: set[str] = attrs.field(factory=set[str])
    insists: bool = False
    """It goes on until the command has come, however long that takes."""

    def __str__(self) -> str:
        return f"{self.command} answered with {self.line!r}"

    async def run(self) -> None:
        try:
            await self._run()
        except BaseException as error:
            error.add_note(f"{self}; not run: {sorted(self.wanted - self.ran)}")
            raise

    async def _run(self) -> None:
        options: Any = {
            "key_prefix": self.prefix, "queues": ["default", "others"], "lease": LEASE, "concurrency": 20,
            "connect_patience": WITHIN,
        }  # fmt: skip
        async with (
            trio.open_nursery() as nursery,
            rediq.connect(self.direct, key_prefix=self.prefix) as client,
        ):
            if self.command in SENT_BY_A_START:
                self.refuse()
                nursery.start_soon(self._pass_after_seconds)
            await self._work(client, options)

    async def _work(self, client: rediq.Client, options: dict[str, Any]) -> None:
        async with rediq.serve(make_app(self.ran), self.refuser.url, **options) as server:
            with trio.fail_after(WITHIN):
                await self._enqueue(client, 0)
                await self._all_ran()
                if self.command not in SENT_BY_AN_END:
                    self.refuse()
                if self.command in ("PING", "SUBSCRIBE"):
                    self.refuser.drop()
                over = trio.current_time() + REFUSED_FOR
                n = 0
                while trio.current_time() < over or self._is_awaited():
                    n += 1
                    await self._enqueue(client, n)
                    with trio.move_on_after(5 if self._is_awaited() else 0.5):
                        await self._call(server.client, n)
                self.refuser.refused = ""
                await self._all_ran()
                while not server.health().ready:
                    await trio.sleep(0.05)
                stats = await client.queue("default").stats()
                assert stats.dead == 0, await client.queue("default").dead.list()
            if self.command in SENT_BY_AN_END:
                self.refuse()

    def _is_awaited(self) -> bool:
        """Return whether the command has still to come, and a call sends it or the story insists."""
        return (self.insists or self.command in SENT_BY_A_CALL) and not self.refuser.refusals

    async def _pass_after_seconds(self) -> None:
        await trio.sleep(REFUSED_FOR)
        self.refuser.refused = ""

    def refuse(self) -> None:
        """Let the command be refused from now on."""
        self.refuser.refused, self.refuser.line = self.command, self.line

    async def _enqueue(self, client: rediq.Client, n: int) -> None:
        names = [f"{n}.{i}" for i in range(3)]
        await client.enqueue_many(
            rediq.Task("step", {"name": name}, id=f"step-{name}", delay=i * 0.2, max_retry=1000)
            for i, name in enumerate(names)
        )
        noted = [f"note-{name}" for name in names]
        await client.enqueue_many(
            rediq.Task("note", {"name": name}, id=name, group="notes", max_retry=1000)
            for name in noted
        )
        self.wanted |= {*names, *noted, *(f"child-{name}" for name in names)}

    async def _call(self, client: rediq.Client, n: int) -> None:
        """Call what only clients call, behind the proxy."""
        name = f"own-{n}"
        try:
            handle = await client.enqueue(rediq.Task("child", {"name": name}, id=name))
            self.wanted.add(f"child-{name}")
            await client.queue("default").stats()
            await handle.wait()
        except (rediq.ConnectionLost, rediq.DuplicateTask):
            pass  # it is what is tried, and the task is not counted

    async def _all_ran(self) -> None:
        while not self.wanted <= self.ran:
            await trio.sleep(0.05)


@asynccontextmanager
async def stories(
    pairs: Sequence[tuple[str, str]], server: Server, folder: Path
) -> AsyncGenerator[list[Story]]:
    async with trio.open_nursery() as nursery:
        made: list[Story] = []
        opened = trio.Event()

        async def one(n: int, command: str, line: str) -> None:
            async with open_refuser(folder / f"{n}", server.socket, NAMES) as refuser:
                made.append(
                    Story(
                        command,
                        line,
                        refuser,
                        f"{folder.parent.name}-{folder.name}-{n}",
                        server.url,
                    )
                )
                if len(made) == len(pairs):
                    opened.set()
                await trio.sleep_forever()

        for n, (command, line) in enumerate(pairs):
            nursery.start_soon(one, n, command, line)
        await opened.wait()
        yield made
        nursery.cancel_scope.cancel()


async def run_all(
    pairs: Sequence[tuple[str, str]], server: Server, folder: Path, *, insist: bool = False
) -> list[Story]:
    async with stories(pairs, server, folder) as made, trio.open_nursery() as nursery:
        for story in made:
            story.insists = insist or story.command in ALWAYS_SENT
            nursery.start_soon(story.run)
    return made


async def test_the_commands_are_all_that_a_worker_and_its_client_send(
    redis_server: Server, tmp_path: Path
) -> None:
    (story,) = await run_all([("none", "")], redis_server, tmp_path)
    assert {*story.refuser.sent} - AT_THE_START == {*COMMANDS}


async def test_drawn_commands_are_refused_for_seconds_and_nothing_is_lost(
    redis_server: Server, tmp_path: Path
) -> None:
    seed = int(os.environ.get("REDIQ_TEST_SEED") or random.randrange(10**6))
    print(f"REDIQ_TEST_SEED={seed}")
    rest = [pair for pair in PAIRS if pair[0] not in ALWAYS_SENT]
    drawn = random.Random(seed).sample(rest, DRAWN - len(ALWAYS_SENT))
    drawn += [(command, random.Random(seed).choice(PASSING)) for command in ALWAYS_SENT]
    made = await run_all(drawn, redis_server, tmp_path)
    refused = {story.command for story in made if story.refuser.refusals}
    print(
        f"{len(refused)} of {len({story.command for story in made})} commands came and were refused"
    )
    # Not each of the others comes within the seconds.
    assert refused >= {*ALWAYS_SENT}


@pytest.mark.slow
@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in SENT_ONCE])
async def test_each_command_is_refused_with_drawn_lines(
    redis_server: Server, tmp_path: Path, command: str
) -> None:
    seed = int(os.environ.get("REDIQ_TEST_SEED") or random.randrange(10**6))
    print(f"REDIQ_TEST_SEED={seed}")
    lines = random.Random(seed).sample(PASSING, min(LINES, len(PASSING)))
    refusals = 0
    for first in range(0, len(lines), TOGETHER):
        folder = tmp_path / f"from{first}"
        folder.mkdir()
        pairs = [(command, line) for line in lines[first : first + TOGETHER]]
        made = await run_all(pairs, redis_server, folder)
        refusals += sum(story.refuser.refusals for story in made)
    if not refusals:  # what a worker does now and then, a busy one does not within the seconds
        folder = tmp_path / "insisting"
        folder.mkdir()
        (story,) = await run_all([(command, lines[0])], redis_server, folder, insist=True)
        refusals = story.refuser.refusals
    assert refusals
