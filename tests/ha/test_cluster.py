"""A Cluster of six: nodes killed, slots moved under load; each queue in its slot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost
from rediq_trio.store.redis.connection.slots import slot_of
from tests.clusters import Cluster, Node, cluster, single
from tests.ha.load import under_load

QUEUES = ("left", "right", "south")
"""Each has another master."""
LEFT, RIGHT, SOUTH = (slot_of(f"rediq:{{{queue}}}:meta".encode()) for queue in QUEUES)


@pytest.fixture(scope="module")
def six() -> Iterator[Cluster]:
    with cluster() as found:
        assert len({found.owner(slot).port for slot in (LEFT, RIGHT, SOUTH)}) == 3
        yield found


@pytest.fixture
def healthy(six: Cluster) -> Iterator[Cluster]:
    """Give the Cluster with everybody alive, and leave it so."""
    yield six
    for node in six.nodes:
        if node.process is None:
            node.start()
    six.wait_whole()
    six.wait_replicas()


async def owner_after(six: Cluster, slot: int, old: Node) -> Node:
    return await trio.to_thread.run_sync(six.wait_owner, slot, old)


async def test_each_queue_is_served_in_its_slot_and_all_hear_signals(healthy: Cluster) -> None:
    async with under_load(healthy.url, QUEUES) as load:
        await load.wait_progress(100)
        assert await load.lost() == []
        assert sorted(await load.client.queues()) == sorted(QUEUES)
    for queue, slot in zip(QUEUES, (LEFT, RIGHT, SOUTH), strict=True):
        keys = healthy.owner(slot).ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
        assert f"rediq:{{{queue}}}:records" in keys


async def test_dependencies_and_workflows_cross_nodes(healthy: Cluster) -> None:
    app = rediq.App()

    @app.task("word")
    async def word(text: str) -> str:
        return text

    @app.task("join")
    async def join(*, results: list[str]) -> str:
        return " ".join(results)

    async with rediq.serve(app, healthy.url, queues=list(QUEUES)) as server:
        first = await server.client.enqueue(word.options(queue="left").task("a"))
        second = word.options(queue="right", depends_on=[first.id]).task("b")
        assert await (await server.client.enqueue(second)).result(timeout=20) == "b"
        chain = rediq.chain(*(word.options(queue=queue).task(queue) for queue in QUEUES))
        assert await (await server.client.enqueue(chain)).result(timeout=20) == "south"
        for queue in QUEUES:
            assert await server.client.queue(queue).check() == []


async def test_a_killed_master_loses_nothing_that_was_replicated(healthy: Cluster) -> None:
    master = healthy.owner(LEFT)
    async with under_load(healthy.url, QUEUES, durability="replicated") as load:
        await trio.to_thread.run_sync(master.kill)
        await owner_after(healthy, LEFT, master)
        # Nothing is confirmed before the new master has a replica again.
        await trio.to_thread.run_sync(master.start)
        await load.wait_progress(150)
        assert await load.lost() == []


@pytest.mark.slow
async def test_a_failover_by_hand_is_followed(healthy: Cluster) -> None:
    master = healthy.owner(RIGHT)
    replica = healthy.replica_of(master)
    async with under_load(healthy.url, QUEUES) as load:
        await trio.to_thread.run_sync(lambda: replica.ask("CLUSTER", "FAILOVER"))
        await owner_after(healthy, RIGHT, master)
        await load.wait_progress(150)
        # The master pauses writes until the replica has them: nothing is lost without WAIT.
        assert await load.lost() == []


@pytest.mark.slow
async def test_a_slot_that_moves_under_load_is_followed(healthy: Cluster) -> None:
    source, target = healthy.owner(LEFT), healthy.owner(SOUTH)
    async with under_load(healthy.url, QUEUES) as load:

        def half_way() -> None:
            # Its keys are on two nodes now: no script can run, and none is refused for good.
            before = load.starts.total()
            trio.from_thread.run(load.wait_progress, 0)
            trio.from_thread.run(trio.sleep, 0.5)
            assert load.starts.total() >= before

        move = healthy.move_slot
        await trio.to_thread.run_sync(lambda: move(LEFT, target, pause=half_way))
        assert await trio.to_thread.run_sync(healthy.owner, LEFT) is target
        await load.wait_progress(150)
        await trio.to_thread.run_sync(lambda: move(LEFT, source))
        await load.wait_progress(150)
        assert await load.lost() == []
        assert await load.client.queue("left").check() == []


async def test_a_node_that_hangs_does_not_hold_up_the_queues_of_others(healthy: Cluster) -> None:
    node = healthy.owner(SOUTH)
    async with under_load(healthy.url, ("left", "right")) as load:
        node.freeze()
        try:
            await load.wait_progress(100)
        finally:
            node.thaw()
        assert await load.lost() == []


async def test_one_node_that_answers_is_enough(healthy: Cluster) -> None:
    port = healthy.nodes[-1].port  # a replica: it knows who is to be asked
    async with rediq.connect(f"redis+cluster://127.0.0.1:1,127.0.0.1:{port}") as client:
        assert isinstance(await client.queues(), list)


async def test_a_cluster_taken_for_a_server_is_a_config_error(healthy: Cluster) -> None:
    async with rediq.connect(f"redis://127.0.0.1:{healthy.owner(LEFT).port}") as client:
        with pytest.raises(ConfigError, match=r"node of a Cluster.*redis\+cluster"):
            await client.queue("right").stats()


async def test_a_server_taken_for_a_cluster_is_a_config_error() -> None:
    with single() as node:
        said = rf"no node of a Cluster; use redis://127\.0\.0\.1:{node.port}"
        with pytest.raises(ConfigError, match=said):
            async with rediq.connect(f"redis+cluster://127.0.0.1:{node.port}"):
                pass


async def test_slots_are_those_of_the_servers(healthy: Cluster) -> None:
    node = healthy.nodes[0]
    for key in ("a", "{a}b", "rediq:{queue}:meta", "{}x", "x{y", "x{}{y}", "{{a}}", "a}{b}c", ""):
        assert slot_of(key.encode()) == node.ask("CLUSTER", "KEYSLOT", key)


async def test_no_node_at_all_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost, match="no node returned the Cluster's slot map"):
        async with rediq.connect("redis+cluster://u:secret@127.0.0.1:1,127.0.0.1:2"):
            pass
