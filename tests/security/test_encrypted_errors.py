"""The errors of tasks are encrypted: found and shown to those who have the keys, and to nobody else."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import Encryption, MemoryStore, PayloadError, Task
from rediq_trio.spec.messages import Failed
from rediq_trio.spec.stored_format import ENCRYPTED_ERROR
from rediq_trio.store.encrypted.keys import KEYS_VARIABLE
from rediq_trio.store.encrypted.store import encrypt_store
from rediq_trio.store.port import Store
from rediq_trio.tasks.prepare import prepare
from rediq_trio.wire.encrypted_error import ciphertext_of, shown_error
from tests.servers import Server, require_any_server
from tests.versions.freeze import HERE as VERSIONS
from tests.versions.freeze import thaw

Where = tuple[Any, dict[str, Any]]
OLD, NEW, OTHER = (Encryption.generate_key() for _ in range(3))


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Where:
    """Return what `connect` opens, with the keywords it takes."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"errors-{uuid.uuid4().hex[:8]}"}


async def found(queue: rediq.Queue, **options: Any) -> set[str]:
    """Return the ids of dead tasks that a search finds."""
    return {info.id.partition("/")[2] async for info in queue.find("dead", **options)}


async def die(store: Store, name: str, error: str) -> None:
    """Let a task of queue `q` die of an error."""
    await store.enqueue("q", (prepare(Task("t", {}, id=name), 1000).new,))
    claimed = await store.claim("q", limit=1, lease_ms=60_000, worker="w", nonce=name.encode() * 4)
    (lease,) = claimed.leases
    await store.settle("q", [Failed(lease.fence, error, 0, final=True)])


async def test_an_encrypted_error_is_found_by_those_who_have_the_keys(where: Where) -> None:
    for name, keys in (("t0", []), ("t1", [OLD]), ("t2", [NEW, OLD])):
        encryption = Encryption(keys) if keys else None
        async with rediq.connect(where[0], encryption=encryption, **where[1]) as client:
            await die(client._store, name, f"Boom: of {name}")
    for keys, some in (
        ([NEW, OLD], {"t0", "t1", "t2"}), ([NEW], {"t0", "t2"}), ([OTHER], {"t0"}), ([], {"t0"}),
    ):  # fmt: skip
        encryption = Encryption(keys) if keys else None
        async with rediq.connect(where[0], encryption=encryption, **where[1]) as client:
            queue = client.queue("q")
            assert await found(queue, error="Boom") == some
            assert await found(queue, error="of t0") == {"t0"}
            # Neither the ciphertext nor why it cannot be read is the error.
            for no_part in ("rediq:", "encrypted", "given"):
                assert await found(queue, error=no_part) == set()
            search = queue.find("dead", error="Boom")
            assert {info.id async for info in search} == {f"q/{name}" for name in some}
            assert (search.unreadable, search.looked_at) == (3 - len(some), 3)
            assert await (await queue.select("dead", error="Boom")).count() == len(some)
            errors = {info.id: info.error or "" for info in await queue.dead.list()}
            for name in ("t0", "t1", "t2"):
                shown = errors[f"q/{name}"]
                why = str(await client.task(f"q/{name}").why())
                if name in some:
                    assert shown == f"Boom: of {name}"
                    assert "Boom" in why
                else:
                    reason = "is not among those given" if keys else "this process has no keys"
                    assert shown.startswith("(unreadable: encrypted")
                    assert reason in shown
                    assert "rediq:encrypted:" not in why


async def test_an_error_that_was_moved_to_another_task_cannot_be_read() -> None:
    store = MemoryStore()
    encrypted = encrypt_store(store, Encryption([OLD]))
    await die(encrypted, "a1", "Boom")
    await die(encrypted, "b1", "Another")
    (first, second) = await store.get("q", ("a1", "b1"))
    assert first
    assert second
    assert "Boom" not in first.error
    assert (await encrypted.get("q", ("a1",)))[0].error == "Boom"  # type: ignore[union-attr]
    with pytest.raises(PayloadError, match="belongs to another task"):
        Encryption([OLD]).decrypt(ciphertext_of(first.error) or b"", "error", "q/b1")


@pytest.mark.parametrize("text", ["", "!", "YWJj", "x" * 50])
def test_a_text_that_only_begins_like_an_encrypted_one_is_clear(text: str) -> None:
    assert shown_error(ENCRYPTED_ERROR + text) == ENCRYPTED_ERROR + text


PROGRAM = """
import sys, trio
import rediq_trio as rediq

app = rediq.App("versions")

@app.task("t")
async def t(n):
    raise ValueError("Boom: of old")

async def main(url, what):
    if what == "die":
        async with rediq.serve(app, url, queues=["q"]) as server:
            task = rediq.Task("t", {"n": 1}, id="old", queue="q", max_retry=0)
            await (await server.client.enqueue(task)).wait(timeout=30)
    else:
        async with rediq.connect(url) as client:
            print((await client.task("q/new").info()).error)
            await client.task("q/new").retry()
            print((await client.task("q/new").info()).state.value)

trio.run(main, *sys.argv[1:])
"""
"""What a process of an older version does; it has the key in its environment."""


@pytest.mark.parametrize("version", [p.name.removesuffix(".tar.gz") for p in VERSIONS.glob("*.gz")])
async def test_two_versions_read_the_errors_of_each_other(
    version: str, start_server: Callable[[str], Server], tmp_path: Path
) -> None:
    url = start_server(require_any_server()).url
    environment = {"PYTHONPATH": str(thaw(version, tmp_path)), KEYS_VARIABLE: OLD}

    def by_the_old(what: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, url, what],
            env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    by_the_old("die")
    async with rediq.connect(url, encryption=Encryption([OLD])) as client:
        assert await found(client.queue("q"), error="of old") == {"old"}
        assert (await client.task("q/old").info()).error == "ValueError: Boom: of old"
        await die(client._store, "new", "Boom: of new")
        shown, state = by_the_old("read")
        # It is a text like any other to the older version, which does all else with the task.
        assert shown.startswith(ENCRYPTED_ERROR)
        assert "Boom" not in shown
        assert state == "pending"
        assert (await client.task("q/new").info()).error is None
