"""A Cluster of six: nodes killed, slots moved under load; each queue in its slot."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ConnectionLost, State, Task
from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
from rediq_trio.store.redis.connection.topology import slot_of
from rediq_trio.store.redis.keys import Keys
from tests.clusters import Cluster, Node, cluster, single
from tests.ha.load import under_load

QUEUES = ("left", "right", "south")
"""Each has another master."""
FROZEN_FOR = 30.0
"""Seconds: 10 until a call of the frozen node fails, 10 that may pass before health names the queue,
and some to spare."""
LATEST = 12.0
"""Seconds within which a task starts while another node is frozen: twice the 6 s after which a worker
looks at a queue without a signal, as signals may come from the frozen node."""
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
        assert sorted((await load.client.overview()).queues) == sorted(QUEUES)
    for queue, slot in zip(QUEUES, (LEFT, RIGHT, SOUTH), strict=True):
        keys = healthy.owner(slot).ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
        assert f"rediq:{{{queue}}}:records" in keys


async def test_logbooks_are_in_one_slot_each_wherever_their_entries_come_from(
    healthy: Cluster,
) -> None:
    async with rediq.connect(healthy.url) as client:
        person = client.acting(who="ada")
        for queue in QUEUES:
            await person.queue(queue).pause()
            await person.queue(queue).resume()
        await person.mark("version 1")
        found = await client.audit(limit=7)
        assert [entry.selection.get("queue") for entry in found[::-1]] == [
            *(queue for queue in QUEUES for _ in range(2)), None,
        ]  # fmt: skip
        assert (await client.marks())[0].text == "version 1"
        assert {"audit", "marks"} & {*await client.queues()} == set()


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


async def test_a_workflow_over_nodes_and_partitions_is_found_from_anywhere(
    healthy: Cluster,
) -> None:
    async with rediq.connect(healthy.url, key_prefix="graphs") as client:
        await client.queue("left").partition(3)
        parts = (Task("none", queue=queue) for queue in (*QUEUES, "left", "left"))
        handle = await client.enqueue(
            rediq.gather(*parts, then=Task("none", queue="south", id="last"))
        )
    async with rediq.connect(healthy.url, key_prefix="graphs") as client:
        [status] = await client.workflows()
        assert (status.id, status.total, status.waiting) == (handle.id, 6, 6)
        found = await client.workflow(handle.id)
        assert (await found.cancel()).keys() == handle.handles.keys()
        assert {*(await found.states()).values()} == {State.CANCELLED}
        assert {*(await found.retry()).values()} == {State.PENDING, State.BLOCKED}
        assert (await found.status()).state == "running"
        for queue in QUEUES:
            assert await client.queue(queue).check() == []


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


@contextmanager
def frozen_without_failover(six: Cluster, node: Node) -> Iterator[None]:
    """Freeze a master and leave its slots to nobody, while the other nodes go on."""
    replica = six.replica_of(node)
    for each in six.nodes:
        each.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    replica.ask("CONFIG", "SET", "cluster-replica-no-failover", "yes")
    node.freeze()
    try:
        yield
    finally:
        node.thaw()
        replica.ask("CONFIG", "SET", "cluster-replica-no-failover", "no")
        for each in six.nodes:
            each.ask("CONFIG", "SET", "cluster-require-full-coverage", "yes")


@pytest.mark.slow
@pytest.mark.parametrize(
    "queues",
    [["south", "left", "right"], {"south": 1, "left": 1, "right": 1}],
    ids=["order", "weights"],
)
async def test_a_frozen_master_takes_nothing_from_the_queues_of_the_others(
    healthy: Cluster, queues: Sequence[str] | Mapping[str, float]
) -> None:
    app = rediq.App()
    asked: dict[str, float] = {}
    started: dict[str, float] = {}
    calls: list[float] = []
    ended: list[str] = []
    seen: set[str] = set()

    @app.task("work")
    async def work(own: str) -> None:
        started.setdefault(own, trio.current_time())

    @app.task("hold", timeout=600)
    async def hold() -> None:
        try:
            await trio.sleep(FROZEN_FOR + 10)
        finally:
            ended.append(str(rediq.current_task().cancel_reason))

    @app.task("frozen", queue="south", timeout=600)
    async def frozen() -> None:
        if rediq.current_task().fence == 1:
            await trio.sleep_forever()

    async with (
        rediq.connect(healthy.url) as client,
        rediq.serve(app, healthy.url, queues=queues, lease=6.0) as server,
    ):

        async def enqueue(own: str, queue: str) -> None:
            asked[own] = trio.current_time()
            await client.enqueue(work.options(queue=queue).task(own))
            calls.append(trio.current_time() - asked[own])

        async def join() -> None:
            begun = trio.current_time()
            async with rediq.connect(healthy.url) as late:
                await late.enqueue(work.options(queue="left").task("late"))
            calls.append(trio.current_time() - begun)

        held = [await client.enqueue(hold.options(queue=q).task()) for q in ("left", "right")]
        before = await client.enqueue(work.options(queue="south", delay=5).task("before"))
        again = await client.enqueue(frozen.task())
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            with frozen_without_failover(healthy, healthy.owner(SOUTH)):
                for n in range(int(FROZEN_FOR / 0.1)):
                    if n == 20:
                        nursery.start_soon(join)
                    nursery.start_soon(enqueue, f"t{n}", ("left", "right")[n % 2])
                    await trio.sleep(0.1)
                    seen.update(server.health().reasons)
        with trio.fail_after(30):
            while len(started) < len(asked) + 2:  # also "before" and "late"
                await trio.sleep(0.1)
            while server.health().reasons:
                await trio.sleep(0.1)
        for handle in (*held, before):
            info = await handle.wait(timeout=60)
            assert (info.state, info.crashes, info.deliveries) == (rediq.State.COMPLETED, 0, 1)
        info = await again.wait(timeout=60)
        assert (info.state, info.crashes, info.deliveries) == (rediq.State.COMPLETED, 1, 2)
    late = {own: started[own] - at for own, at in asked.items() if started[own] - at > LATEST}
    assert late == {}
    assert max(calls) <= LATEST
    assert ended == ["None", "None"]
    assert any("queue south" in reason for reason in seen), seen
    assert not any("left" in reason or "right" in reason for reason in seen), seen


async def test_a_key_that_went_ahead_of_its_slot_is_asked_for_where_it_is(healthy: Cluster) -> None:
    source, target = healthy.owner(LEFT), healthy.owner(SOUTH)
    key = b"ahead:{left}"
    from_, to = source.ask("CLUSTER", "MYID"), target.ask("CLUSTER", "MYID")
    async with open_gateway(parse_address(healthy.url), Keys("rediq")) as gateway:
        target.ask("CLUSTER", "SETSLOT", LEFT, "IMPORTING", from_)
        source.ask("CLUSTER", "SETSLOT", LEFT, "MIGRATING", to)
        try:
            # The source has no such key, so it sends on whoever wants to write it.
            assert await gateway.call(b"SET", key, b"x") == b"OK"
            assert target.ask("CLUSTER", "COUNTKEYSINSLOT", LEFT) == 1
            assert await gateway.call(b"GET", key) == b"x"
            assert await gateway.call(b"DEL", key) == 1
        finally:
            for node in (target, source):
                node.ask("CLUSTER", "SETSLOT", LEFT, "STABLE")


async def test_one_master_that_is_down_does_not_keep_a_client_from_the_others(
    healthy: Cluster,
) -> None:
    healthy.owner(SOUTH).kill()
    async with open_gateway(parse_address(healthy.url), Keys("rediq")) as gateway:
        assert await gateway.call(b"GET", b"nothing:{left}") is None


async def test_a_shard_that_is_down_does_not_keep_a_client_from_the_others(
    healthy: Cluster,
) -> None:
    master = healthy.owner(SOUTH)
    both = (healthy.replica_of(master), master)
    async with rediq.connect(healthy.url) as client:
        for queue in QUEUES:
            await client.enqueue(rediq.Task("t", {}, queue=queue))
            await client.queue(queue).flush()
    for node in healthy.nodes:
        node.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    try:
        for node in both:
            node.kill()
        async with rediq.connect(healthy.url) as client:
            assert (await client.queue("left").stats()).pending == 0
        check = await trio.run_process(
            [sys.executable, "-m", "rediq_trio", "check", "left", "south", "right", "--json"],
            env={**os.environ, "REDIQ_URL": healthy.url},
            capture_stdout=True, capture_stderr=True, check=False,
        )  # fmt: skip
        checked = [queue["queue"] for queue in json.loads(check.stdout)["queues"]]
        assert (check.returncode, checked) == (1, ["left", "right"]), check.stderr.decode()
        assert b"queue south" in check.stderr
    finally:
        for node in both:
            if node.process is None:
                node.start()
        for node in healthy.nodes:
            node.ask("CONFIG", "SET", "cluster-require-full-coverage", "yes")


async def test_a_call_waits_while_nobody_has_its_slot(healthy: Cluster) -> None:
    key = b"unserved:{nobody}"
    slot = slot_of(key)
    owner = healthy.owner(slot)
    answers: list[object] = []
    async with open_gateway(parse_address(healthy.url), Keys("rediq")) as gateway:

        async def ask() -> None:
            answers.append(await gateway.call(b"GET", key))

        owner.ask("CLUSTER", "DELSLOTS", slot)
        async with trio.open_nursery() as nursery:
            try:
                nursery.start_soon(ask)
                await trio.sleep(0.5)
                assert answers == []
            finally:
                owner.ask("CLUSTER", "ADDSLOTS", slot)
    assert answers == [None]


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
