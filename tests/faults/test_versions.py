"""The last version of each layout, really running beside the checkout on one Redis."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State
from tests.faults import blend
from tests.faults.crew import HERE, LIBRARY, Crew, check_sound, crew, until
from tests.versions.freeze import HERE as VERSIONS
from tests.versions.freeze import thaw

FROZEN = sorted(path.name.removesuffix(".tar.gz") for path in VERSIONS.glob("*.tar.gz"))

each_version = pytest.mark.parametrize("frozen", FROZEN, indirect=True)


@pytest.fixture
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give the folder of a frozen version of the library."""
    return thaw(request.param, tmp_path)


@attrs.frozen
class Blend:
    """A crew whose processes are of two versions: `old` is the frozen one, `new` the checkout."""

    us: Crew
    old: Path

    def library(self, version: str) -> Path:
        return self.old if version == "old" else LIBRARY

    async def say(self, version: str, *words: str) -> str:
        """Have a process of a version do its part, to its end; give what it prints."""
        done = await trio.run_process(
            [sys.executable, str(HERE / "blend.py"), *words],
            env=self.us.environment(self.library(version)),
            capture_stdout=True,
        )
        return bytes(done.stdout).decode()

    async def produce(self, version: str) -> None:
        await self.say(version, "produce", self.us.server.url, version)

    def hire(self, version: str) -> subprocess.Popen[bytes]:
        queues = ",".join(blend.QUEUES)
        return self.us.hire(
            "blend:app", queues=queues, concurrency=3, library=self.library(version)
        )


@pytest.fixture
def blended(frozen: Path) -> Iterator[Blend]:
    with crew() as us:
        yield Blend(us, frozen)


async def states(client: rediq.Client, who: str) -> dict[str, State | None]:
    found: dict[str, State | None] = {}
    for name in blend.ends(who):
        try:
            found[name] = (await client.task(name).info()).state
        except rediq.TaskNotFound:
            found[name] = None
    return found


async def finish(us: Blend, client: rediq.Client, producers: list[str]) -> None:
    """Wait until all is done, end the workers in good order, and check that all was done once."""

    async def done() -> bool:
        for who in producers:
            if await states(client, who) != blend.ends(who):
                return False
        members, children = len(producers) * blend.MEMBERS, len(producers) * blend.CHILDREN
        return len(us.us.lines("member")) >= members and len(us.us.lines("child")) >= children

    await until(done)
    for worker in us.us.workers:
        worker.send_signal(signal.SIGTERM)
    for worker in us.us.workers:
        assert await trio.to_thread.run_sync(worker.wait, abandon_on_cancel=True) == 0
    completed = [
        name
        for who in producers
        for name, state in blend.ends(who).items()
        if state is State.COMPLETED
    ]
    parents = [f"left/{who}-parent" for who in producers]
    assert us.us.counted("end") == Counter(completed)
    assert us.us.counted("step") == Counter(parents)
    assert us.us.counted("child") == Counter(parents * blend.CHILDREN)
    members = [f"{who}-m{n}" for who in producers for n in range(blend.MEMBERS)]
    assert us.us.counted("member") == Counter(members)
    assert set(us.us.counted("pulse").values()) <= {1}, "a tick makes one task"
    for version in ("old", "new"):
        assert await us.say(version, "check", us.us.server.url) == ""
    for queue in blend.QUEUES:
        await check_sound(client.queue(queue))
        assert await client._store.outbox(queue, limit=0) == ()


@each_version
async def test_workers_and_producers_of_both_versions_do_everything_once(blended: Blend) -> None:
    workers = [blended.hire(version) for version in ("old", "new")]
    async with rediq.connect(blended.us.server.url) as client:

        async def both_there() -> bool:
            return len(await client.workers()) == 2

        await until(both_there)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(blended.produce, "old")
            nursery.start_soon(blended.produce, "new")
        await finish(blended, client, ["old", "new"])
        assert {line[2] for line in blended.us.lines("end")} == {str(w.pid) for w in workers}
        assert blended.us.lines("pulse")
        scripts = {v: json.loads(await blended.say(v, "scripts")) for v in ("old", "new")}
        for version in scripts:  # which may be equal, right after one was frozen
            where = Path(await blended.say(version, "where"))
            assert where.is_relative_to(blended.library(version))
        gateway = client._store._gateway
        for version in scripts:
            settlement = "settle" if "settle" in scripts[version] else "complete"
            for name in ("claim", settlement, "enqueue", "promote"):
                assert await gateway.call(b"SCRIPT", b"EXISTS", scripts[version][name]) == [1], name


@each_version
@pytest.mark.parametrize(("writer", "reader"), [("old", "new"), ("new", "old")])
async def test_what_one_version_wrote_the_other_one_reads(
    blended: Blend, writer: str, reader: str
) -> None:
    await blended.produce(writer)
    async with rediq.connect(blended.us.server.url) as client:
        blended.hire(reader)
        await finish(blended, client, [writer])


@each_version
async def test_tasks_of_a_version_that_is_killed_are_the_others(blended: Blend) -> None:
    killed = blended.hire("old")
    async with rediq.connect(blended.us.server.url) as client:
        await blended.produce("old")

        async def begun() -> bool:
            return len(blended.us.lines("end")) >= blend.PLAIN // 4

        await until(begun)
        killed.kill()
        killed.wait()
        blended.us.workers.remove(killed)
        blended.hire("new")

        async def done() -> bool:
            return await states(client, "old") == blend.ends("old")

        await until(done)
        for queue in blend.QUEUES:
            await check_sound(client.queue(queue))


def test_there_is_a_frozen_version() -> None:
    assert FROZEN
