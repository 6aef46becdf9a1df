"""Crash points: every command that a workload sends is a place where it can be cut off.

A story is played once uncut, which counts its commands. Then it is played once for each of
them and each way of being cut: before the server has the command, or behind that and before
its reply; and either the connection breaks, with the program living on, or the program dies,
and another one begins with the step that was not finished. In the end a fresh program lets
time pass and works until nothing moves, and everything is compared with the specification's
memory store, for which the same steps were taken, uncut.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from rediq_trio import ConnectionLost, MemoryStore, PayloadError, State
from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.records import QueueState, Record
from rediq_trio.store.redis.scripts import load_scripts
from rediq_trio.testing.judge.invariants import violations
from rediq_trio.wire.envelope import open_envelope
from tests.conformance.bench import Clock
from tests.faults.crash_stories import Story
from tests.faults.cutter import Cut, Cutter, open_cutter
from tests.faults.stage import QUEUES, Deeds, Stage, open_stage
from tests.servers import Server

WAYS = tuple(itertools.product((False, True), (False, True)))
"""Whether the server applies the command, and whether the program dies."""
TRIES = 5
"""How often a step is taken again: a cut costs one, and what it left to the next call another."""
NAMES = {script.sha: name for name, script in load_scripts().items()}


@attrs.define
class Play:
    """A story that is being played, by one program after another."""

    story: Story
    clock: Clock = attrs.field(factory=Clock)
    deeds: Deeds = attrs.field(factory=Deeds)
    at: int = 0
    """The step that is taken next."""
    stage: Stage | None = None
    """The program that plays now."""

    async def go_on(self, stage: Stage) -> None:
        """Take the steps that are left; one whose answer was lost is taken again."""
        self.stage = stage
        while self.at < len(self.story.steps):
            for tries in itertools.count(1):
                try:
                    await self.story.steps[self.at](stage)
                    break
                except ConnectionLost:
                    if tries == TRIES:
                        raise
            self.at += 1


@attrs.frozen
class End:
    """What a story came to."""

    queues: dict[str, QueueState]
    deeds: Deeds

    def tasks(self) -> dict[str, tuple[State, bytes]]:
        """Give state and result of the tasks that have own ids."""
        return {
            f"{queue}/{record.id}": (record.state, record.result)
            for queue, record in self._records()
            if _is_own(record.id)
        }

    def others(self) -> Counter[tuple[str, str, State]]:
        """Count the tasks whose ids nobody chose, by queue, type and state."""
        return Counter(
            (queue, _type_of(record), record.state)
            for queue, record in self._records()
            if not _is_own(record.id)
        )

    def _records(self) -> list[tuple[str, Record]]:
        return [(name, r) for name, queue in self.queues.items() for r in queue.records.values()]


def _is_own(task_id: str) -> bool:
    return len(task_id) != 36


def _type_of(record: Record) -> str:
    if isinstance(record.envelope, BatchEnvelope):
        return "a batch"
    try:
        return open_envelope(record.envelope).type
    except PayloadError:
        return "nobody can read it"


async def play_in_memory(story: Story) -> End:
    """Play a story by the specification, uncut."""
    play, store = Play(story), MemoryStore()
    async with open_stage(store, play.clock, play.deeds, max_dead=story.max_dead) as stage:
        await play.go_on(stage)
        await stage.drain()
        return await _look(stage, play)


async def _look(stage: Stage, play: Play) -> End:
    """Read all that there is, and check that it is sound and whole."""
    queues: dict[str, QueueState] = {}
    for name in QUEUES:
        queues[name] = await stage.store.dump(name)
        assert violations(queues[name]) == []
        assert await stage.client.queue(name).check() == []
        assert queues[name].outbox == queues[name].endings == ()
    return End(queues, play.deeds)


@attrs.define(eq=False)
class Points:
    """Plays stories on one server, each time below a key prefix of its own."""

    server: Server
    folder: Path
    _numbers: itertools.count[int] = attrs.field(factory=itertools.count)

    @asynccontextmanager
    async def _cutter(self, number: int, cut: Cut) -> AsyncIterator[tuple[Cutter, str]]:
        path = self.folder / f"s{number}"
        async with open_cutter(path, self.server.socket, NAMES, cut) as cutter:
            yield cutter, f"unix://{path}"

    async def count(self, story: Story, *, cold: bool = False) -> list[str]:
        """Play a story uncut, `cold` where the server knows no script; give what it sent."""
        cutter, _ = await self._play(story, Cut(), cold=cold)
        return cutter.sent

    async def play(self, story: Story, cut: Cut, *, cold: bool = False) -> tuple[Cutter, End]:
        """Play a story with one cut, recover from it, and give what it came to."""
        cutter, end = await self._play(story, cut, cold=cold)
        assert cutter.done.is_set(), f"{story.name}: {cut} was never reached"
        return cutter, end

    async def _play(self, story: Story, cut: Cut, *, cold: bool) -> tuple[Cutter, End]:
        play, number = Play(story), next(self._numbers)
        prefix = f"p{number}"
        if cold:
            await self.tell(b"SCRIPT FLUSH")
        async with self._cutter(number, cut) as (cutter, way), trio.open_nursery() as nursery:
            if cut.dies:
                nursery.start_soon(_die, cutter, play, nursery.cancel_scope)
            async with open_stage(
                way, play.clock, play.deeds, prefix=prefix, max_dead=story.max_dead
            ) as stage:
                await play.go_on(stage)
            nursery.cancel_scope.cancel()
        async with open_stage(
            self.server.url, play.clock, play.deeds, prefix=prefix, max_dead=story.max_dead
        ) as stage:
            await play.go_on(stage)
            await stage.drain()
            return cutter, await _look(stage, play)

    async def tell(self, command: bytes) -> None:
        """Tell the server something, past every cutter."""
        async with await trio.open_unix_socket(self.server.socket) as stream:
            await stream.send_all(command + b"\r\n")
            assert await stream.receive_some(16) == b"+OK\r\n"


async def _die(cutter: Cutter, play: Play, program: trio.CancelScope) -> None:
    await cutter.done.wait()
    program.cancel()
    if play.stage is not None:
        # A claim is shielded; nobody waits for what the dead do.
        play.stage.poller.limit_claim(0)


def differences(story: Story, end: End, told: End) -> list[str]:
    """Say where a story came to anything else than the specification told."""
    said: list[str] = []
    found, expected = end.tasks(), told.tasks()
    for name in sorted(found.keys() | expected.keys()):
        ways = story.either.get(name.partition("/")[2])
        if ways is not None:
            state = found[name][0] if name in found else None
            if state not in ways:
                said.append(f"{name} is {state}, may be {ways}")
        elif found.get(name) != expected.get(name):
            said.append(f"{name} is {found.get(name)}, should be {expected.get(name)}")
    some, many = end.others(), told.others()
    for kind in sorted(some.keys() | many.keys()):
        most = many[kind] + (kind[1] in story.again)
        if not many[kind] <= some[kind] <= most:
            said.append(f"{some[kind]} of {kind}, should be {many[kind]}")
    if end.deeds.batches != told.deeds.batches:
        said.append(f"batches {end.deeds.batches}, should be {told.deeds.batches}")
    for name, (state, _) in found.items():
        if state is State.COMPLETED and not end.deeds.begun[name]:
            said.append(f"{name} is completed, and no handler has run")
    for own in story.must_run:
        if not end.deeds.begun[f"a/{own}"]:
            said.append(f"{own} never ran")
    return said
