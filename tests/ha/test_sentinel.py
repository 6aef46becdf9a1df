"""A master that Sentinels watch: killed, frozen, demoted; the queue follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost
from tests.clusters import SERVICE, Node, Replicated, sentinel_set
from tests.ha.load import under_load


@pytest.fixture(scope="module")
def watched() -> Iterator[Replicated]:
    with sentinel_set() as found:
        yield found


async def failed_over(watched: Replicated, old: Node) -> Node:
    return await trio.to_thread.run_sync(watched.wait_master, old)


@pytest.fixture
def healthy(watched: Replicated) -> Iterator[Replicated]:
    """Give the set with everybody alive, and leave it so."""
    yield watched
    for node in watched.servers:
        if node.process is None:
            node.start()
    watched.wait_replicas(2)


async def test_a_killed_master_loses_nothing_that_was_replicated(healthy: Replicated) -> None:
    master = healthy.master()
    async with under_load(healthy.url, durability="replicated") as load:
        await trio.to_thread.run_sync(master.kill)
        await failed_over(healthy, master)
        await load.wait_progress(100)
        assert await load.lost() == []


@pytest.mark.slow
async def test_a_failover_by_hand_loses_nothing_that_all_replicas_had(healthy: Replicated) -> None:
    # The old master goes on for a while, and so does a replica of it that is not promoted.
    master = healthy.master()
    async with under_load(healthy.url, durability="replicated", replicas=2) as load:
        await trio.to_thread.run_sync(
            lambda: healthy.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)
        )
        await failed_over(healthy, master)
        await load.wait_progress(100)
        assert await load.lost() == []
    healthy.wait_replicas(2)


@pytest.mark.slow
async def test_a_master_that_hangs_is_left_for_the_new_one(healthy: Replicated) -> None:
    master = healthy.master()
    async with under_load(healthy.url, durability="replicated") as load:
        master.freeze()
        try:
            await failed_over(healthy, master)
            await load.wait_progress(100)
        finally:
            master.thaw()
        await load.wait_progress(100)
        assert await load.lost() == []


@pytest.mark.slow
async def test_signals_follow_the_master(healthy: Replicated) -> None:
    app = rediq.App()
    started = trio.Event()

    @app.task("wake")
    async def wake() -> None:
        started.set()

    master = healthy.master()
    async with rediq.serve(app, healthy.url) as server, rediq.connect(healthy.url) as client:
        await trio.to_thread.run_sync(master.kill)
        new = await failed_over(healthy, master)
        channel = b"rediq:{default}:meta"

        def heard() -> bool:
            return bool(int(new.ask("PUBSUB", "NUMSUB", channel)[1]))

        with trio.fail_after(30):
            while not await trio.to_thread.run_sync(heard):
                await trio.sleep(0.1)
        await client.enqueue(wake.task())
        await started.wait()
        assert server.stats().held <= 1


async def test_what_the_sentinels_do_not_know_is_a_config_error(watched: Replicated) -> None:
    url = watched.url.replace(f"/{SERVICE}/", "/other/")
    with pytest.raises(ConfigError, match="know no service 'other'"):
        async with rediq.connect(url):
            pass


async def test_a_sentinel_taken_for_a_server_is_a_config_error(watched: Replicated) -> None:
    with pytest.raises(ConfigError, match=r"is a Sentinel.*redis\+sentinel"):
        async with rediq.connect(f"redis://127.0.0.1:{watched.sentinels[0].port}"):
            pass


async def test_no_sentinel_at_all_is_a_lost_connection() -> None:
    with pytest.raises(
        ConnectionLost, match=r"no Sentinel answers: 127\.0\.0\.1:1: .*127\.0\.0\.1:2: "
    ):
        async with rediq.connect("redis+sentinel://u:secret@127.0.0.1:1,127.0.0.1:2/main"):
            pass


async def test_one_sentinel_that_answers_is_enough(watched: Replicated) -> None:
    url = watched.url.replace("://", "://127.0.0.1:1,")
    async with rediq.connect(url) as client:
        assert await client.queues() is not None
