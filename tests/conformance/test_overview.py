"""What is read of many queues at once."""

import attrs
import pytest

from rediq_trio._errors import RediqError
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Relations, Schedule
from rediq_trio.spec.records import Counters
from rediq_trio.store.port import BATCH, Counts

from .bench import LEASE, Bench, Q, failed, new

EMPTY = Counts({}, False, Counters())


async def counts(bench: Bench) -> Counts:
    """Return what the overview says of the queue, which is what `stats` says."""
    stats = await bench.store.stats(Q)
    at_ms, (found, other) = await bench.store.overview([Q, "other"])
    assert at_ms == bench.clock.now
    assert other == EMPTY
    queue = stats.queue
    targets = queue.target_latency_ms, queue.target_failures_ppm
    assert found == Counts(stats.sizes, queue.paused, queue.counters, *targets)
    return found


async def test_every_state_is_counted_as_stats_counts_it(bench: Bench) -> None:
    assert await counts(bench) == EMPTY
    await bench.ended("done", State.COMPLETED)
    await bench.ended("dead", State.DEAD)
    for state in (State.COMPLETED, State.DEAD):
        assert (await counts(bench)).sizes[state] == 1
    fence = await bench.active("again")
    await bench.store.settle(Q, [failed(fence, delay_ms=LEASE)])
    await bench.active("runs")
    await bench.add("ready")
    await bench.add("keyed", relations=Relations(limit_key="k"))
    await bench.add("later", delay_ms=LEASE)
    await bench.add("waits", relations=Relations(needs=("later",)))
    await bench.add("member", relations=Relations(group="g"))
    await bench.add("gone")
    await bench.store.cancel(Q, "gone")
    found = await counts(bench)
    assert {*found.sizes} == {*State}
    assert found.sizes[State.PENDING] == 2
    assert found.counters.enqueued == 10


@pytest.mark.parametrize("relations", [Relations(limit_key="k"), Relations(group="g")])
async def test_a_queue_whose_only_tasks_are_in_a_rare_index_is_counted(
    bench: Bench, relations: Relations
) -> None:
    await bench.add("a", "b", relations=relations)
    assert sum((await counts(bench)).sizes.values()) == 2


async def test_a_pause_is_seen(bench: Bench) -> None:
    await bench.store.pause(Q)
    assert (await counts(bench)).paused
    await bench.store.resume(Q)
    assert not (await counts(bench)).paused


async def test_queues_are_found_by_their_schedules(bench: Bench) -> None:
    schedule = Schedule("s", b"\x91\x01", new("", envelope=b"\x93\x01\xa1t\xc4\x01\x80"))
    for queue, name in ((Q, "s"), (Q, "t"), ("other", "t")):
        await bench.store.declare(queue, schedule=attrs.evolve(schedule, name=name))
    queues = ["none", "other", Q]
    find = bench.store.with_schedules
    assert await find(queues) == ("other", Q)
    assert await find(queues, "s") == (Q,)
    assert await find(queues, "t") == ("other", Q)
    assert await find(queues, "u") == ()
    assert await find([]) == ()
    await bench.store.retract(Q, names=("s",))
    assert await find(queues, "s") == ()


async def test_a_store_takes_a_bounded_number_of_queues(bench: Bench) -> None:
    queues = [f"q{n}" for n in range(BATCH + 1)]
    assert len((await bench.store.overview(queues[:BATCH]))[1]) == BATCH
    for read in (bench.store.overview, bench.store.with_schedules):
        with pytest.raises(RediqError, match="1001 items in one call"):
            await read(queues)


async def test_targets_are_seen(bench: Bench) -> None:
    await bench.store.arrange(Q, target_latency_ms=1500, target_failures_ppm=20_000)
    assert (await counts(bench)).target_latency_ms == 1500
    assert (await counts(bench)).target_failures_ppm == 20_000


async def test_the_memory_of_a_server_is_read(bench: Bench) -> None:
    for server in await bench.store.server_memory():
        assert server.used > 0
        assert server.most == 0
