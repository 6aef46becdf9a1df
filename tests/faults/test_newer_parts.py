"""What only newer versions keep in Redis, beside workers and clients of the last one before it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Client, OrderRefused, State, Task
from rediq_trio.spec.history.type_counts import NO_TYPES
from rediq_trio.spec.stored_format import ENCRYPTED_ERROR
from tests.faults.crew import crew, until
from tests.faults.test_versions import FROZEN, Blend
from tests.versions.freeze import thaw

each_version = pytest.mark.parametrize("frozen", FROZEN, indirect=True)


@pytest.fixture
def frozen(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder of a frozen version of the library."""
    return thaw(request.param, tmp_path)


@pytest.fixture
def blended(frozen: Path) -> Iterator[Blend]:
    with crew() as us:
        yield Blend(us, frozen)


async def end(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)
    assert await trio.to_thread.run_sync(worker.wait, abandon_on_cancel=True) == 0


async def is_state(client: Client, task_id: str, state: State) -> None:
    async def so() -> bool:
        return (await client.task(task_id).info()).state is state

    await until(so)


async def kept(client: Client, workflow: str) -> dict[str, Any]:
    """Read all that the old version does not know."""
    found, left = await client._store.dump("left"), client.queue("left")
    right = await client.queue("right").stats()
    return {
        "series": found.series,
        "types": found.types,
        "kinds": await left.failures(),
        "attempts": (await client.task("left/new-doomed").info()).attempts,
        "audit": await client.audit(),
        "marks": await client.marks(),
        "targets": (await left.stats()).targets,
        "pause": (right.paused_reason, right.paused_by, right.paused_since),
        "workflow": (await (await client.workflow(workflow)).status()).total,
        "flow": (await client.task("left/new-flow").info()).workflow,
    }


async def use_all(blended: Blend, client: Client) -> str:
    """Have a newer version write something of each; return the id of a workflow."""
    await client.enqueue(Task("doomed", {}, id="new-doomed", queue="left"))
    worker = blended.hire("new")
    await is_state(client, "left/new-doomed", State.DEAD)
    await end(worker)
    await client._store.sample("left", known=-1, unseen_ms=0)
    await client._store.note_size("left", await client._store.series_bytes("left"), last=True)
    person = client.acting(who="ops", tool="test")
    await person.mark("deployed")
    await person.queue("left").targets(latency=30)
    await person.queue("right").pause("moving", "ops")
    flow: rediq.Workflow[Any] = rediq.Workflow()
    flow.add(Task("plain", {}, id="new-flow", queue="left", delay=600), "a")
    return (await client.enqueue(flow)).id


@each_version
async def test_what_only_a_newer_version_keeps_is_left_alone(blended: Blend) -> None:
    us = blended.us
    async with rediq.connect(us.server.url) as client:
        workflow = await use_all(blended, client)
        before = await kept(client, workflow)
        for name, value in before.items():
            assert value, f"nothing was kept of {name}"
        sizes = await client._store._gateway.call(b"HGETALL", b"rediq/{statistics}/sizes")
        assert sizes
        await client.enqueue(Task("doomed", {}, id="old-doomed", queue="left"))
        await client.enqueue(Task("plain", {}, id="old-plain", queue="left", retention=600))
        worker = blended.hire("old")
        await is_state(client, "left/old-doomed", State.DEAD)
        await is_state(client, "left/old-plain", State.COMPLETED)
        await blended.say("old", "flow", us.server.url, "old")
        # An order that an old worker would not hear is refused, and leaves nothing.
        [old] = await client.workers()
        with pytest.raises(OrderRefused, match="upgrade"):
            await client.worker(old.id).quiet()
        assert await client._store._gateway.call(b"EXISTS", b"rediq/{workers}/orders") == 0
        await end(worker)
        assert await kept(client, workflow) == before
        assert sizes == await client._store._gateway.call(b"HGETALL", b"rediq/{statistics}/sizes")

        # What the old version did is in none of it.
        dead = await client.task("left/old-doomed").info()
        assert (dead.error, dead.attempts) == ("for good", ())
        [kind] = await client.queue("left").failures()
        named = await client.queue("left").dead.list(kind=kind.kind)
        assert [one.id for one in named] == ["left/new-doomed"]
        assert [one.id for one in await client.workflows()] == [workflow]
        assert (await client.task("left/old-flow").info()).workflow is None
        said = (await blended.say("old", "show", us.server.url, "left/new-flow")).splitlines()
        assert json.loads(said[0])[1] == {"rediq.workflow": workflow}


@each_version
async def test_a_newer_version_goes_on_with_what_it_kept(blended: Blend) -> None:
    us = blended.us
    async with rediq.connect(us.server.url) as client:
        await client.enqueue(Task("doomed", {}, id="old", queue="left"))
        await blended.say("old", "run", us.server.url, "left", "left/old")
        assert (await client._store.dump("left")).types == NO_TYPES
        assert await client.queue("left").failures() == ()
        await client.enqueue(Task("doomed", {}, id="new", queue="left"))
        await blended.say("new", "run", us.server.url, "left", "left/new")
        # The app's schedule may have run by then, too.
        attempts = {one.type: one.attempts for one in await client.queue("left").types()}
        assert attempts.pop("doomed") == 1
        assert attempts.keys() <= {"pulse"}
        # A task that failed under the old version has records from its next failure on.
        await client.queue("left").dead.retry("left/old")
        await blended.say("new", "run", us.server.url, "left", "left/old")
        [attempt] = (await client.task("left/old").info()).attempts
        [kind] = await client.queue("left").failures()
        assert (attempt.kind, kind.count) == (kind.kind, 2)
        await blended.say("old", "pause", us.server.url, "left")
        assert (await client.queue("left").stats()).paused_since is None


@each_version
async def test_a_note_of_a_pause_stays_until_a_newer_version_resumes(blended: Blend) -> None:
    url = blended.us.server.url
    async with rediq.connect(url) as client:
        queue = client.queue("left")
        await queue.pause("moving", "ops")
        await blended.say("old", "resume", url, "left")
        stats = await queue.stats()
        assert (stats.paused, stats.paused_reason) == (False, "")
        await blended.say("old", "pause", url, "left")
        stats = await queue.stats()
        assert (stats.paused, stats.paused_reason, stats.paused_by) == (True, "moving", "ops")
        await queue.resume()
        await blended.say("old", "pause", url, "left")
        stats = await queue.stats()
        assert (stats.paused, stats.paused_reason, stats.paused_since) == (True, "", None)


@each_version
async def test_encrypted_errors_and_clear_ones_lie_side_by_side(
    blended: Blend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography")
    key = rediq.Encryption.generate_key()
    monkeypatch.setenv("LABOR_KEY", key)
    url = blended.us.server.url
    async with rediq.connect(url, encryption=rediq.Encryption([key])) as client:
        for version in ("old", "new"):
            await client.enqueue(Task("doomed", {}, id=version, queue="left"))
            await blended.say(version, "run", url, "left", f"left/{version}")
        for version in ("old", "new"):
            assert (await client.task(f"left/{version}").info()).error == "for good"
        said = (await blended.say("old", "show", url, "left/old", "left/new")).splitlines()
        clear, hidden = [json.loads(line)[0] for line in said]
        assert clear == "for good"
        assert hidden.startswith(ENCRYPTED_ERROR)
        assert "for good" not in hidden
        # An old version does all else with it.
        await client.queue("left").dead.retry("left/new")
        await blended.say("old", "run", url, "left", "left/new")
        said = (await blended.say("old", "show", url, "left/new")).splitlines()
        assert json.loads(said[0])[0] == "for good"
