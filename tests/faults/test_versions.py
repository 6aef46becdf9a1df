"""The last version of each layout, really running beside the checkout on one Redis."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import State
from rediq_trio.tasks.prepare import prepare
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


NEWER_KEYS = ("attempts", "kinds", "series", "sightings", "types")
"""Keys of a queue that the frozen versions do not know."""


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


@each_version
def test_an_older_version_reads_the_options_of_a_task(frozen: Path) -> None:
    """Whether they were left unset or set to the default is nothing that it knows."""
    tasks = [
        rediq.Task("t", {"n": 1}),
        rediq.Task("t", {"n": 1}, timeout=30, max_retry=3, backoff=rediq.Exponential()),
        rediq.Task("t", {"n": 1}, max_retry=3, metadata={"a": "b"}),
        rediq.Task("t", {"n": 1}, backoff=rediq.Fixed(5), depends_on="q/a"),
    ]
    program = """
import sys
try:
    from rediq_trio.wire.envelope import open_envelope
except ImportError:  # where older versions have it
    from rediq_trio.store.envelope import open_envelope
for line in sys.argv[1:]:
    one = open_envelope(bytes.fromhex(line))
    print(one.type, one.payload.hex(), one.timeout, one.backoff, one.metadata, *one.depends_on)
"""
    lines = [prepare(task, 1000).new.envelope.hex() for task in tasks]
    read = subprocess.run(
        [sys.executable, "-c", program, *lines],
        env={"PYTHONPATH": str(frozen)},
        capture_output=True,
        text=True,
        check=True,
    )
    default = "Exponential(first=2.0, cap=60.0, factor=2.0, jitter=0.1)"
    assert read.stdout.splitlines() == [
        f"t 81a16e01 30.0 {default} {{}}",
        f"t 81a16e01 30.0 {default} {{}}",
        f"t 81a16e01 30.0 {default} {{'a': 'b'}}",
        "t 81a16e01 30.0 Fixed(seconds=5) {} q/a",
    ]


async def states(client: rediq.Client, who: str) -> dict[str, State | None]:
    found: dict[str, State | None] = {}
    for name in blend.ends(who):
        try:
            found[name] = (await client.task(name).info()).state
        except rediq.TaskNotFound:
            found[name] = None
    return found


def is_a_newer_key(violation: str) -> bool:
    """Return whether an old version reports a key that it does not know yet."""
    return any(f":{name} is none that" in violation for name in NEWER_KEYS)


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
        said = (await us.say(version, "check", us.us.server.url)).splitlines()
        assert [line for line in said if not (version == "old" and is_a_newer_key(line))] == []
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


@each_version
async def test_an_old_worker_without_an_aggregator_makes_no_batch_larger_than_it_takes(
    blended: Blend,
) -> None:
    groups, members, most = 40, 10, 3
    us, sizes = blended.us, list[int]()
    app = rediq.App()

    @app.aggregator("*", max_size=most, grace_period=0.5)
    async def heap(tasks: list[rediq.Task[Any]]) -> None:
        sizes.append(len(tasks))

    def of_old() -> list[int]:
        return [int(size) for size, *_ in us.lines("size")]

    async def both() -> bool:
        return len(await server.client.workers()) == 2

    async def done() -> bool:
        return sum(sizes) + sum(of_old()) >= groups * members

    us.hire("ungrouped:app", queues="left", concurrency=2, library=blended.old)
    async with rediq.serve(app, us.server.url, queues=["left"], concurrency=2) as server:
        await until(both)
        for n in range(groups):
            # As many as make a group full by the default, for which the old version looks.
            member = rediq.Task("plain", {}, queue="left", group=f"g{n}")
            await server.client.enqueue_many([member] * members)
            await trio.sleep(0.02)
        await until(done)
    assert sum(sizes) + sum(of_old()) == groups * members
    assert max([*sizes, *of_old()]) <= most
    assert of_old(), "the old worker claimed none of the batches"


def test_there_is_a_frozen_version() -> None:
    assert FROZEN


@each_version
async def test_each_version_lists_the_workers_of_the_other(blended: Blend) -> None:
    workers = [blended.hire(version) for version in ("old", "new")]
    async with rediq.connect(blended.us.server.url) as client:

        async def both_there() -> bool:
            return len(await client.workers()) == 2

        await until(both_there)
        for version in ("old", "new"):
            found = json.loads(await blended.say(version, "workers", blended.us.server.url))
            assert {pid: queues for pid, *queues in found.values()} == {
                worker.pid: [*blend.QUEUES] for worker in workers
            }
        types = {worker.pid: worker.types for worker in await client.workers()}
        assert types[workers[1].pid]
        assert types[workers[0].pid] is None
