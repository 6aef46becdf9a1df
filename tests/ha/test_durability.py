"""What each level waits for, and what is said when it is not reached."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, State, Task, Unconfirmed
from rediq_trio.settings import settle_settings
from rediq_trio.store.redis.durability import Durability
from tests.clusters import Node, single, wait_until
from tests.servers import require_waitaof


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Node, Node]]:
    """Give a master and its replica."""
    with (
        single() as master,
        single("redis-7", "--replicaof", "127.0.0.1", str(master.port)) as replica,
    ):
        wait_until(
            "a replica in step", lambda: master.ask("ROLE")[2:] and bool(master.ask("ROLE")[2])
        )
        yield master, replica


def url(node: Node) -> str:
    return f"redis://127.0.0.1:{node.port}"


async def test_a_replica_that_hangs_leaves_a_write_unconfirmed(pair: tuple[Node, Node]) -> None:
    master, replica = pair
    async with rediq.connect(url(master), durability="replicated") as client:
        await client.enqueue(Task("t", {}, id="before"))
        replica.freeze()
        try:
            with pytest.raises(Unconfirmed, match=r"0 of 1 replicas have it") as short:
                await client.enqueue(Task("t", {}, id="after"))
            assert short.value.ids == ("default/after",)
            assert (await client.task("default/after").info()).state is State.PENDING
            # Said again, and not taken for confirmed because it is there.
            with pytest.raises(Unconfirmed):
                await client.enqueue(Task("t", {}, id="after"))
            with pytest.raises(Unconfirmed):
                await client.task("default/after").cancel()
        finally:
            replica.thaw()
        with pytest.raises(rediq.DuplicateTask):
            await client.enqueue(Task("t", {}, id="after"))


async def test_each_of_those_that_wait_together_is_told_that_it_is_unconfirmed(
    pair: tuple[Node, Node],
) -> None:
    master, replica = pair
    told: dict[str, Any] = {}
    async with rediq.connect(url(master), durability="replicated") as client:
        await client.enqueue(Task("t", {}, id="there"))

        async def enqueue(own: str) -> None:
            with pytest.raises(Unconfirmed) as short:
                await client.enqueue(Task("t", {}, id=own))
            told[own] = (short.value.ids, short.value.answer)

        replica.freeze()
        try:
            async with trio.open_nursery() as nursery:
                for own in ("x", "there", "y"):
                    nursery.start_soon(enqueue, own)
        finally:
            replica.thaw()
    found = {"x": State.PENDING, "there": None, "y": State.PENDING}
    assert told == {own: ((f"default/{own}",), (state,)) for own, state in found.items()}


async def test_a_write_that_is_confirmed_is_on_the_replica(pair: tuple[Node, Node]) -> None:
    master, replica = pair
    async with rediq.connect(url(master), durability="replicated") as client:
        for n in range(50):
            await client.enqueue(Task("t", {}, id=f"n{n}", queue="copied"))
            assert replica.ask("HLEN", "rediq:{copied}:records") == n + 1


async def test_a_worker_goes_on_and_says_that_its_writes_are_unconfirmed(
    pair: tuple[Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    master, replica = pair
    app = rediq.App()

    @app.task("fine", queue="frozen")
    async def fine() -> str:
        return "fine"

    async with (
        rediq.connect(url(master)) as client,
        rediq.serve(app, url(master), queues=["frozen"], durability="replicated") as server,
    ):
        replica.freeze()
        try:
            handle = await client.enqueue(fine.task())
            assert await handle.result(timeout=20) == "fine"
            assert server.stats().unconfirmed >= 1
        finally:
            replica.thaw()
    assert "0 of 1 replicas have it" in caplog.text


@pytest.mark.parametrize("hurried", [False, True])
async def test_a_worker_leaves_in_its_graces_and_hands_all_back_where_replicas_are_missing(
    pair: tuple[Node, Node], hurried: bool
) -> None:
    master, _ = pair
    app = rediq.App()
    shutdown_grace, cleanup_grace = 1.0, 2.0
    running = 0
    begun = math.inf

    @app.task("long", queue="alone")
    async def long() -> None:
        nonlocal running
        running += 1
        await trio.sleep(60)

    async def write_before(at: float, client: rediq.Client) -> None:
        """Make a write whose confirmation is waited for when the handlers are cancelled."""
        await trio.sleep_until(at - 0.2)
        with suppress(Unconfirmed):
            await client.queue("other").pause()

    async with rediq.connect(url(master)) as client:
        await client.queue("alone").flush()
        with trio.CancelScope() as scope:
            async with (
                trio.open_nursery() as nursery,
                rediq.serve(
                    app, url(master), queues=["alone"], concurrency=20,
                    shutdown_grace=shutdown_grace, cleanup_grace=cleanup_grace,
                    durability="replicated", replicas=3,
                ) as server,
            ):  # fmt: skip
                await client.enqueue_many([long.task() for _ in range(40)])
                with trio.fail_after(30):
                    while running < 20:
                        await trio.sleep(0.05)
                # The confirmation that the claims wait for is over then.
                begun = trio.current_time() + 1.5
                cancelled = begun + (0.0 if hurried else shutdown_grace)
                nursery.start_soon(write_before, cancelled, server.client)
                await trio.sleep_until(begun)
                if hurried:
                    scope.cancel()
        took = trio.current_time() - begun
        stats = await client.queue("alone").stats()
    assert (stats.active, stats.pending) == (0, 40)
    assert took <= (0.0 if hurried else shutdown_grace) + cleanup_grace + 2.0


async def test_messages_stay_in_the_outbox_until_their_receipt_is_confirmed(
    pair: tuple[Node, Node],
) -> None:
    master, replica = pair
    app = rediq.App()

    @app.task("first", queue="source")
    async def first() -> None:
        rediq.current_task().enqueue_after(Task("second", {}, queue="target", id="child"))

    @app.task("second", queue="target")
    async def second() -> str:
        return "told"

    outbox = "rediq:{source}:outbox"
    async with rediq.connect(url(master)) as client:
        async with rediq.serve(
            app, url(master), queues=["source"], durability="replicated"
        ) as server:
            replica.freeze()
            try:
                handle = await client.enqueue(first.task())
                await handle.wait(timeout=20)
                assert master.ask("ZCARD", outbox) == 1
                with trio.fail_after(20):
                    while not master.ask("HLEN", "rediq:{target}:records"):
                        await trio.sleep(0.05)
                assert master.ask("ZCARD", outbox) == 1
                assert server.stats().completed == 1
            finally:
                replica.thaw()
            with trio.fail_after(20):
                while master.ask("ZCARD", outbox):
                    await trio.sleep(0.05)
        async with rediq.serve(app, url(master), queues=["target"]):
            assert await client.task("target/child").result(timeout=20) == "told"


async def test_fsynced_is_on_disk_when_it_returns() -> None:
    with single(require_waitaof(), "--appendonly", "yes", "--appendfsync", "everysec") as node:
        async with rediq.connect(url(node), durability="fsynced") as client:
            for n in range(3):
                await client.enqueue(Task("t", {}, id=f"n{n}"))
        node.kill()
        node.start()
        async with rediq.connect(url(node)) as client:
            assert (await client.queue("default").stats()).pending == 3


async def test_what_does_not_come_to_disk_in_time_is_unconfirmed() -> None:
    with single(require_waitaof(), "--appendonly", "yes", "--appendfsync", "no") as node:
        async with rediq.connect(url(node), durability="fsynced") as client:
            with pytest.raises(Unconfirmed, match="has not written it to disk"):
                await client.enqueue(Task("t", {}))


@pytest.mark.parametrize(
    ("waitaof", "more", "said"),
    [
        (False, ("--appendonly", "yes"), r"is Redis [67]\.\d+\.\d+; WAITAOF needs 7\.2 or Valkey"),
        (True, (), "keeps no append-only file: set appendonly yes"),
    ],
)
async def test_fsynced_is_refused_where_it_cannot_be_had(
    waitaof: bool, more: tuple[str, ...], said: str
) -> None:
    name = require_waitaof(there=waitaof)
    with single(name, *more) as node, pytest.raises(ConfigError, match=said):
        async with rediq.connect(url(node), durability="fsynced"):
            pass


async def test_a_store_in_this_process_has_memory_only() -> None:
    with pytest.raises(ConfigError, match=r"durability='replicated': must be memory"):
        async with rediq.connect("memory://", durability="replicated"):
            pass


@pytest.mark.parametrize(
    ("level", "replicas", "said"),
    [
        ("sync", None, "durability='sync': must be one of memory, replicated, fsynced"),
        ("replicated", 0, "replicas=0"),
        ("replicated", 101, "replicas=101"),
        ("replicated", 1.5, r"replicas=1\.5"),
        ("fsynced", -1, "replicas=-1"),
        ("memory", 1, "replicas=1: must be left away"),
    ],
)
def test_a_level_that_is_none_is_refused(level: str, replicas: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Durability.of(level, replicas)


async def test_a_bad_level_is_refused_before_anything_is_opened() -> None:
    for options in ({"durability": "sync"}, {"replicas": 1}):
        with pytest.raises(ConfigError):
            async with rediq.serve(rediq.App(), "redis://127.0.0.1:1", **options):  # type: ignore[arg-type]
                pass


def test_the_environment_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIQ_DURABILITY", "fsynced")
    monkeypatch.setenv("REDIQ_REPLICAS", "2")
    settings = settle_settings({})
    assert Durability.of(settings.durability, settings.replicas).command == (b"WAITAOF", 1, 2, 1000)
