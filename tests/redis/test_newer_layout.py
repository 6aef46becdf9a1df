"""Records of a newer layout: they stay as they are, byte for byte, and stop nobody but claims."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import msgpack
import pytest

import rediq_trio as rediq
from rediq_trio import NewerTask
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    Completed,
    Due,
    Mail,
    MailKind,
    NewTask,
    Received,
    Relations,
    Schedule,
    Tick,
    Verdict,
    Version,
)
from rediq_trio.spec.stored_format import FORMAT_STEP
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.redis.keys import QUEUE_KEYS
from tests.conformance.bench import Q, heard, new
from tests.opened import Opened
from tests.redis.conftest import Behind

HOUR = 3_600_000
KEPT = ("records", "payloads", "results", "progress", "inputs", "steps", "attempts")
SCORED = (
    "pending",
    "scheduled",
    "retry",
    "active",
    "blocked",
    "completed",
    "dead",
    "cancelled",
    "expiring",
)


@attrs.frozen
class Newer:
    """A bench on which tasks can be made a newer version's, and back."""

    behind: Behind

    async def age(self, *ids: str, layout: int = 2) -> None:
        """Rewrite records as a newer version has them: a field more, and one that is an array."""
        for own in ids:
            fields = msgpack.unpackb(await self.behind.raw("HGET", "records", own), raw=True)
            fields[0] += FORMAT_STEP * (layout - 1)
            packed = msgpack.packb(
                [*fields[:5], [fields[5]], *fields[6:], b"novel"], use_bin_type=False
            )
            await self.behind.raw("HSET", "records", own, packed)

    async def restore(self, *ids: str) -> None:
        """Do what makes a version that knows the layout see its records."""
        for own in ids:
            fields = msgpack.unpackb(await self.behind.raw("HGET", "records", own), raw=True)
            fields = [fields[0] % FORMAT_STEP, *fields[1:5], fields[5][0], *fields[6:-1]]
            await self.behind.raw("HSET", "records", own, msgpack.packb(fields, use_bin_type=False))

    async def seen(self, *ids: str) -> dict[str, list[Any]]:
        """Read all that is kept of tasks, and where they are listed."""
        return {
            own: [await self.behind.raw("HGET", name, own) for name in KEPT]
            + [await self.behind.raw("ZSCORE", name, own) for name in SCORED]
            for own in ids
        }


@asynccontextmanager
async def _opened(behind: Opened) -> AsyncIterator[Newer]:
    async with behind.open() as found:
        yield Newer(found)


@pytest.fixture
def newer(behind: Opened) -> Opened:
    """Give a bench on each server on which tasks can be made a newer version's."""
    return Opened(lambda: _opened(behind))


async def claimed(newer: Newer, limit: int = 10) -> tuple[list[str], int, int]:
    found = await newer.behind.bench.store.claim(
        Q, limit=limit, lease_ms=1000, worker="w", nonce=b"12345678"
    )
    return [lease.fence.id for lease in found.leases], found.remaining, found.newer


WAYS = {
    "a plain queue": {},
    "a queue with a limit": {"concurrency": 50},
    "a fair queue": {"fair": True},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("key", ["", "k"], ids=["no limit key", "a limit key"])
async def test_a_claim_stops_at_it_and_leaves_what_is_behind(
    newer: Newer, way: dict[str, Any], key: str
) -> None:
    bench = newer.behind.bench
    if "concurrency" in way:
        await bench.store.limit(Q, key="", **way)
    elif way:
        await bench.store.arrange(Q, **way)
    await bench.add("a", "n", "b", "c", relations=Relations(limit_key=key))
    await newer.age("n")
    before = await newer.seen("n", "b", "c")
    listed = await bench.ids(State.PENDING)
    assert await claimed(newer) == (["a"], 0, 2)
    assert await claimed(newer) == ([], 0, 2)
    assert await newer.seen("n", "b", "c") == before
    assert await bench.ids(State.PENDING) == [own for own in listed if own != "a"]
    await newer.restore("n")
    assert await claimed(newer) == (["n", "b", "c"], 0, 0)


async def test_the_layout_is_told(newer: Newer) -> None:
    await newer.behind.bench.add("n")
    await newer.age("n", layout=7)
    assert await claimed(newer) == ([], 0, 7)


async def test_what_begins_with_no_layout_is_damaged(newer: Newer) -> None:
    await newer.behind.bench.add("n")
    await newer.age("n", layout=FORMAT_STEP + 1)
    assert await claimed(newer) == ([], 0, 0)
    assert (await newer.behind.bench.record("n")).state is State.DEAD


async def front(newer: Newer, state: State) -> tuple[list[str], list[str]]:
    """Bring three tasks, and two behind them, to a state that a keeper looks after."""
    bench = newer.behind.bench
    olds, mine = ["n1", "n2", "n3"], ["o1", "o2"]
    for own in (*olds, *mine):
        bench.clock.advance(1)
        if state is State.SCHEDULED:
            await bench.add(own, delay_ms=1000)
        elif state is State.ACTIVE:
            await bench.active(own)
        elif state is State.PENDING:
            await bench.add(own, expires_in_ms=1000)
        else:
            await bench.ended(own, state, retention_ms=1000)
    await newer.age(*olds)
    return olds, mine


@pytest.mark.parametrize(
    "state",
    [State.SCHEDULED, State.ACTIVE, State.PENDING, State.COMPLETED, State.CANCELLED],
    ids=["promote", "reclaim", "expire", "purge completed", "purge cancelled"],
)
async def test_a_keeper_passes_over_it_and_does_not_come_back_at_once(
    newer: Newer, state: State
) -> None:
    bench = newer.behind.bench
    olds, mine = await front(newer, state)
    before = await newer.seen(*olds)
    bench.clock.advance(HOUR)

    async def step() -> Due:
        if state is State.SCHEDULED:
            return await bench.store.promote(Q, limit=2)
        if state is State.ACTIVE:
            return await bench.store.reclaim(Q, limit=2)
        if state is State.PENDING:
            return await bench.store.expire(Q, limit=2)
        return await bench.store.purge(Q, limit=2, dead_retention_ms=10**12, max_dead=100)

    due = await step()
    assert attrs.evolve(due, deaths=()) == Due(2, None)
    assert len(due.deaths) == (2 if state is State.PENDING else 0)
    assert await step() == Due(0, None)
    assert await newer.seen(*olds) == before
    for own in mine:
        [record] = await bench.store.get(Q, [own])
        assert record is None or record.state is not state or state is State.PENDING
    await newer.restore(*olds)
    assert (await step()).moved == 2, "the limit's"
    assert (await step()).moved == 1


async def test_the_next_one_that_is_due_is_told_in_spite_of_it(newer: Newer) -> None:
    bench = newer.behind.bench
    await front(newer, State.SCHEDULED)
    await bench.add("later", delay_ms=HOUR)
    bench.clock.advance(HOUR - 500)
    assert await bench.store.promote(Q, limit=10) == Due(2, 500)


async def test_the_dead_are_purged_but_for_it(newer: Newer) -> None:
    bench = newer.behind.bench
    olds, _ = await front(newer, State.DEAD)
    before = await newer.seen(*olds)
    purge = {"limit": 10, "dead_retention_ms": 1000, "max_dead": 100}
    bench.clock.advance(HOUR)
    assert await bench.store.purge(Q, **purge) == Due(2, None)
    assert await bench.store.purge(Q, **purge) == Due(0, None)
    assert await newer.seen(*olds) == before
    await newer.restore(*olds)


async def test_a_group_with_it_is_left_and_another_is_not(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("g1", "n", "g2", relations=Relations(group="first"))
    bench.clock.advance(1)
    await bench.add("h1", "h2", relations=Relations(group="second"))
    await newer.age("n")
    before = await newer.seen("n", "g1", "g2")
    bench.clock.advance(HOUR)
    assert await bench.store.batch(Q, ids=["b1", "b2"]) == Due(1, None)
    assert await newer.seen("n", "g1", "g2") == before
    assert (await bench.record("b1")).state is State.PENDING
    # One that joins does not make the batch due at once, where that version knows when.
    await newer.age("g1")
    due = [group.due_ms for group in await bench.store.groups(Q, limit=10)]
    await bench.add("g3", relations=Relations(group="first"))
    assert [group.due_ms for group in await bench.store.groups(Q, limit=10)] == due
    await newer.restore("n", "g1")
    assert await bench.store.batch(Q, ids=["b2", "b3"]) == Due(1, None)


async def test_it_is_told_of_an_end_by_the_version_that_knows_it(newer: Newer) -> None:
    bench = newer.behind.bench
    fence = await bench.active("s")
    await bench.add("n", "t", relations=Relations(needs=("s",)))
    await newer.age("n")
    before = await newer.seen("n")
    await bench.store.settle(Q, [Completed(fence, b"\xa1r")])
    assert (await bench.record("t")).state is State.PENDING
    for _ in range(3):
        assert await bench.store.unblock(Q, limit=100) == Due(0, None)
        assert await newer.seen("n") == before
        assert await newer.behind.raw("ZCARD", "endings") == 1
    await newer.restore("n")
    assert await bench.store.unblock(Q, limit=100) == Due(1, None)
    record = await bench.record("n")
    assert (record.state, record.inputs) == (State.PENDING, (("s", b"\xa1r"),))


async def test_others_are_told_in_spite_of_what_is_held_over(newer: Newer) -> None:
    bench = newer.behind.bench
    fence = await bench.active("s")
    many = [f"t{n:03}" for n in range(520)]
    await bench.add("n", *many, relations=Relations(needs=("s",)))
    await newer.age("n")
    await bench.store.settle(Q, [Completed(fence, b"r")])
    told = 0
    while (due := await bench.store.unblock(Q, limit=5)).next_in_ms is not None:
        told += due.moved
    assert len(await bench.ids(State.PENDING)) == len(many)
    assert await newer.behind.raw("ZCARD", "endings") == 1
    await newer.restore("n")
    await bench.store.unblock(Q, limit=5)
    assert len(await bench.ids(State.PENDING)) == len(many) + 1


async def test_one_that_is_told_by_another_queue_is_held_over_too(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("n", relations=Relations(needs=("other/s",)))
    await newer.age("n")
    mail = [
        Mail(seq, "q", MailKind.ENDED, id="n", ref="s", ended_as=State.COMPLETED, result=b"r")
        for seq in (1, 2)
    ]
    assert await bench.store.receive(Q, "other", mail) == Received(2)
    await newer.restore("n")
    assert await newer.behind.raw("ZCARD", "endings") == 2
    assert await bench.store.unblock(Q, limit=100) == Due(2, None)
    await bench.store.unblock(Q, limit=100)
    record = await bench.record("n")
    assert (record.state, record.inputs) == (State.PENDING, (("other/s", b"r"),)), "once"


async def test_what_is_not_waited_for_is_not_held_over(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("n", relations=Relations(needs=("other/s",)))
    await newer.age("n")
    mail = Mail(1, "q", MailKind.ENDED, id="n", ref="another", ended_as=State.DEAD)
    assert await bench.store.receive(Q, "other", [mail]) == Received(1)
    assert await newer.behind.raw("ZCARD", "endings") == 0
    await newer.restore("n")


async def test_keepers_hear_of_what_is_held_over_and_not_again(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("n")
    await newer.age("n")
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await bench.add("t", relations=Relations(needs=("n",)))
        await heard(signals, SignalKind.MAIL)
        await bench.store.unblock(Q, limit=100)
        # What is sent in order comes in order: nothing was told before this.
        await bench.store.flush(Q)
        kinds = []
        while not kinds or kinds[-1] is not SignalKind.FLUSH:
            kinds.append((await signals.receive()).kind)
    assert SignalKind.MAIL not in kinds


async def test_one_that_waits_for_nothing_more_is_told_nothing(newer: Newer) -> None:
    bench = newer.behind.bench
    fence = await bench.active("s")
    await bench.add("n", relations=Relations(needs=("s",)))
    await bench.store.cancel(Q, "n")
    await newer.age("n")
    await bench.store.settle(Q, [Completed(fence, b"r")])
    assert await newer.behind.raw("ZCARD", "endings") == 0
    await newer.restore("n")


async def test_whoever_waits_for_it_is_told_by_the_version_that_knows_it(newer: Newer) -> None:
    bench = newer.behind.bench
    fence = await bench.active("n")
    await newer.age("n")
    before = await newer.seen("n")
    await bench.add("t", relations=Relations(needs=("n",)))
    assert (await bench.record("t")).state is State.BLOCKED
    assert await bench.store.unblock(Q, limit=100) == Due(0, None)
    assert await newer.seen("n") == before
    await newer.restore("n")
    assert await bench.store.unblock(Q, limit=100) == Due(1, None)
    assert (await bench.record("t")).state is State.BLOCKED, "it is not over yet"
    await bench.store.settle(Q, [Completed(fence, b"r")])
    assert (await bench.record("t")).state is State.PENDING


@pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD])
async def test_that_it_has_ended_can_be_seen(newer: Newer, state: State) -> None:
    bench = newer.behind.bench
    await bench.ended("n", state)
    await newer.age("n")
    await bench.add("t", relations=Relations(needs=("n",)))
    record = await bench.record("t")
    assert record.state is (State.PENDING if state is State.COMPLETED else State.DEAD)
    if state is State.DEAD:
        assert await bench.store.revive(Q, ["t", "t"]) == (State.DEAD, State.DEAD)
    await newer.restore("n")


async def test_a_flush_tells_other_queues_what_was_held_over_for_them(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("n")
    await newer.age("n")
    await bench.store.receive(Q, "other", [Mail(1, "q", MailKind.SUBSCRIBE, id="t", ref="n")])
    assert await newer.behind.raw("ZCARD", "endings") == 1
    await bench.store.flush(Q)
    [mail] = await bench.store.outbox(Q, limit=0)
    assert (mail.queue, mail.kind, mail.id, mail.ended_as) == ("other", MailKind.ENDED, "t", None)


@pytest.mark.parametrize("replace", [False, True])
async def test_it_keeps_its_unique_key(newer: Newer, *, replace: bool) -> None:
    bench = newer.behind.bench
    await bench.add("n", relations=Relations(unique="u"))
    await newer.age("n")
    before = await newer.seen("n")
    task = new("t", relations=Relations(unique="u", replace=replace))
    assert await bench.store.enqueue(Q, [task]) == (Answer(AnswerKind.TAKEN, "n"),)
    assert await newer.seen("n") == before
    await newer.restore("n")


async def test_a_worker_that_has_it_has_lost_it(newer: Newer) -> None:
    bench = newer.behind.bench
    fence = await bench.active("n")
    await newer.age("n")
    before = await newer.seen("n")
    assert await bench.store.renew(Q, [fence], lease_ms=1000) == (Verdict.LOST,)
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (None,)
    assert await newer.seen("n") == before
    await newer.restore("n")


async def test_what_a_client_asks_of_it_is_refused(newer: Newer) -> None:
    bench = newer.behind.bench
    await bench.add("o", "n")
    await newer.age("n")
    before = await newer.seen("n")
    async with rediq.connect(bench.store) as client:
        handle = client.task("q/n")
        for ask in (
            handle.info,
            handle.cancel,
            handle.retry,
            handle.delete,
            handle.run_now,
            handle.enqueue_again,
            handle.result,
            handle.wait,
        ):
            with pytest.raises(
                NewerTask, match=r"q/n.*newer rediq-trio \(format 2\); upgrade"
            ) as told:
                await ask()
            assert (told.value.task_id, told.value.layout) == ("q/n", 2)
        version = Version(b"e", 1, 1, 1, 1)
        with pytest.raises(NewerTask, match="format 2"):
            await bench.store.update(Q, "n", seen=version, new=version)
        moved = NewTask("new", b"e", relations=Relations(queue="other"))
        with pytest.raises(NewerTask, match="format 2"):
            await bench.store.requeue(Q, "n", seen=version, task=moved)
        assert [info.id for info in await client.queue(Q).tasks("pending")] == ["q/o"]
        assert (await client.queue(Q).stats()).pending == 2
        with pytest.raises(rediq.NewerTask, match="format 2"):
            await client.queue(Q).check()
    assert await newer.seen("n") == before
    await newer.restore("n")


async def test_of_many_dead_it_stays(newer: Newer) -> None:
    bench = newer.behind.bench
    for own in ("n", "o"):
        await bench.ended(own, State.DEAD)
    await newer.age("n")
    before = await newer.seen("n")
    async with rediq.connect(bench.store) as client:
        assert await client.queue(Q).dead.retry_all() == 1
        assert await client.queue(Q).dead.purge() == 0
    assert await bench.store.delete(Q, ["n", "o"]) == (State.ACTIVE, State.PENDING)
    assert await newer.seen("n") == before
    await newer.restore("n")


async def test_a_schedule_of_a_newer_layout_is_left_and_does_not_tick(newer: Newer) -> None:
    bench = newer.behind.bench
    schedule = Schedule("s", b"when", new(""), next_ms=bench.clock.now + 10)
    assert await bench.store.declare(Q, schedule=schedule)
    fields = msgpack.unpackb(await newer.behind.raw("HGET", "schedules", "s"), raw=True)
    packed = msgpack.packb([FORMAT_STEP, *fields], use_bin_type=False)
    await newer.behind.raw("HSET", "schedules", "s", packed)
    assert not await bench.store.declare(Q, schedule=schedule)
    assert await bench.store.retract_others(Q, owner="", names=[]) == ()
    agenda = await bench.store.agenda(Q)
    assert (agenda.schedules, agenda.unreadable) == ((), ("s",))
    assert await newer.behind.raw("HGET", "schedules", "s") == packed


async def test_a_schedule_that_skips_overlaps_waits_for_it(newer: Newer) -> None:
    bench = newer.behind.bench
    first = bench.clock.now + 1000
    schedule = Schedule("s", b"when", new(""), overlap_skip=True, next_ms=first)
    await bench.store.declare(Q, schedule=schedule)
    [revision] = [s.revision for s in (await bench.store.agenda(Q)).schedules]
    bench.clock.advance(2000)

    async def tick(own: str, at: int) -> int | None:
        return await bench.store.tick(
            Q,
            name="s",
            expected_ms=at,
            revision=revision,
            ticks=[Tick(at, new(own))],
            next_ms=at + 1,
        )

    assert await tick("n", first) == 1
    await newer.age("n")
    assert await tick("t", first + 1) == 0
    await newer.restore("n")


def test_every_key_that_lists_tasks_by_score_is_looked_at() -> None:
    assert {*SCORED, *KEPT} <= {*QUEUE_KEYS}
