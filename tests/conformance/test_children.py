"""Children: tasks that come in with the completion of another, in the same step."""

import attrs
import pytest
import trio

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Completed,
    Fence,
    Mail,
    MailKind,
    NewTask,
    PartlyCompleted,
    Relations,
    Released,
    Report,
    Until,
)
from rediq_trio.spec.records import ORDERED_AT_ONCE, PROPAGATED_AT_ONCE, Counters, Lock
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.relay import relay

from .bench import START, Bench, Q, heard, new

UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"


async def complete(
    bench: Bench, fence: Fence, *children: NewTask
) -> State | PartlyCompleted | None:
    [answer] = await bench.store.settle(Q, [Completed(fence, b"\x07", children)])
    return answer


async def test_a_child_comes_in_with_the_completion_of_its_parent(bench: Bench) -> None:
    fence = await bench.active()
    child = new("child", priority=3, delay_ms=0)
    assert await complete(bench, fence, child) is State.COMPLETED
    record = await bench.record("child")
    assert (record.state, record.priority, record.seq) == (State.PENDING, 3, 2)
    assert record.envelope == b"envelope of child"
    assert (await bench.dump()).counters == Counters(enqueued=2, completed=1)


async def test_children_come_in_in_their_order_each_as_it_is(bench: Bench) -> None:
    fence = await bench.active()
    children = [
        new("b"),
        new("later", delay_ms=5),
        new("a"),
        new("g", relations=Relations(group="g")),
    ]
    await complete(bench, fence, *children)
    assert await bench.ids(State.PENDING) == ["b", "a"]
    assert await bench.ids(State.SCHEDULED) == ["later"]
    assert await bench.ids(State.GROUPED) == ["g"]
    assert (await bench.dump()).counters.enqueued == 5


async def test_each_of_several_completions_brings_its_own(bench: Bench) -> None:
    await bench.add("s", "t")
    leases = await bench.take(2)
    items = [Completed(e.fence, b"r", (new(f"of-{e.fence.id}"),)) for e in leases]
    await bench.store.settle(Q, items)
    assert await bench.ids(State.PENDING) == ["of-s", "of-t"]


@pytest.mark.parametrize("retention", [0, 1000])
async def test_a_completion_that_comes_twice_brings_its_children_once(
    bench: Bench, retention: int
) -> None:
    fence = await bench.active(retention_ms=retention)
    child = new("child", retention_ms=0)
    await complete(bench, fence, child)
    [lease] = await bench.take()
    await complete(bench, lease.fence)
    before = await bench.dump()
    assert await complete(bench, fence, child) is (State.COMPLETED if retention else None)
    assert await bench.dump() == before
    assert await bench.store.get(Q, ["child"]) == (None,)


async def test_a_stale_completion_brings_no_children(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [Released(fence)])
    await bench.take()
    before = await bench.dump()
    assert (
        await complete(bench, fence, new("child"), new("far", relations=Relations(queue="o")))
        is None
    )
    assert await bench.dump() == before


async def test_a_child_whose_id_exists_changes_nothing(bench: Bench) -> None:
    await bench.add("child", delay_ms=10**6)
    fence = await bench.active()
    before = await bench.record("child")
    children = [new(own) for own in ("a", "child", "b")]
    assert await complete(bench, fence, *children) == PartlyCompleted(("child",))
    assert await bench.record("child") == before
    assert (await bench.dump()).counters.enqueued == 4
    parent = await bench.record()
    assert parent.state is State.COMPLETED
    assert parent.error == "enqueue_after: the id exists, or its unique key is taken: child"


async def test_a_completed_task_names_ten_of_the_children_that_were_refused(bench: Bench) -> None:
    ids = [UUID7, *(f"c{n}" for n in range(11))]
    await bench.add(*ids, delay_ms=10**6)
    fence = await bench.active()
    assert await complete(bench, fence, *map(new, ids)) == PartlyCompleted(tuple(ids))
    assert (await bench.record()).error.endswith(f"taken: {', '.join(ids[:10])}")


@pytest.mark.parametrize("retention", [0, 1000])
async def test_a_child_with_the_id_of_its_parent_succeeds_it(bench: Bench, retention: int) -> None:
    fence = await bench.active(retention_ms=retention, relations=Relations(unique="k"))
    await bench.store.remember(Q, fence, ("step", b"\x01"))
    child = new("t", priority=7, envelope=b"second", relations=Relations(unique="k"))
    assert await complete(bench, fence, child) is State.COMPLETED
    record = await bench.record()
    assert (record.state, record.priority, record.envelope) == (State.PENDING, 7, b"second")
    assert (record.deliveries, record.steps, record.owns_unique_key) == (0, (), True)
    assert not record.has_waiters
    assert (await bench.dump()).counters == Counters(enqueued=2, completed=1, purged=1)
    assert await complete(bench, fence, child) is None
    await bench.check()


async def test_the_last_of_many_that_succeed_one_another_is_kept(bench: Bench) -> None:
    await bench.active()
    for _ in range(3):
        record = await bench.record()
        fence = Fence("t", record.deliveries, record.nonce)
        assert await complete(bench, fence, new("t")) is State.COMPLETED
        await bench.take()
    record = await bench.record()
    assert await complete(bench, Fence("t", record.deliveries, record.nonce)) is State.COMPLETED
    assert (await bench.record()).result == b"\x07"


async def test_two_children_with_the_id_of_their_parent_are_one(bench: Bench) -> None:
    fence = await bench.active()
    children = (new("t", priority=1), new("t", priority=2))
    assert await complete(bench, fence, *children) == PartlyCompleted(("t",))
    assert (await bench.record()).priority == 1


@pytest.mark.parametrize("until", [Until.DONE, Until.EXPIRED])
async def test_a_child_with_the_id_of_its_parent_is_refused_for_its_key(
    bench: Bench, until: Until
) -> None:
    keyed = Relations(unique="k", until=until, ttl_ms=1000)
    fence = await bench.active(relations=keyed)
    taker = [new("c", relations=Relations(unique="k"))] if until is Until.DONE else []
    answer = await complete(bench, fence, *taker, new("t", relations=keyed))
    assert answer == PartlyCompleted(("t",))
    assert (await bench.record()).state is State.COMPLETED


async def test_a_child_that_succeeds_its_parent_finds_a_lapsed_key_free(bench: Bench) -> None:
    keyed = Relations(unique="k", until=Until.EXPIRED, ttl_ms=1000)
    fence = await bench.active(relations=keyed)
    bench.clock.advance(1000)
    assert await complete(bench, fence, new("t", relations=keyed)) is State.COMPLETED
    assert (await bench.record()).state is State.PENDING


async def test_a_child_of_another_queue_with_the_id_of_its_parent_succeeds_nobody(
    bench: Bench,
) -> None:
    fence = await bench.active()
    child = new("t", relations=Relations(queue="other"))
    assert await complete(bench, fence, child) is State.COMPLETED
    assert (await bench.record()).state is State.COMPLETED


async def test_the_dependents_of_a_task_that_is_succeeded_have_its_result(bench: Bench) -> None:
    fence = await bench.active()
    many = [f"d{n:04}" for n in range(PROPAGATED_AT_ONCE + 2)]
    for first in range(0, len(many), 500):
        await bench.add(*many[first : first + 500], relations=Relations(needs=("t",)))
    sibling = new("sibling", relations=Relations(needs=("t",)))
    assert await complete(bench, fence, sibling, new("t", delay_ms=5)) is State.COMPLETED
    queue = await bench.dump()
    assert (queue.edges, queue.needs, queue.endings) == ({}, {}, ())
    assert all(queue.records[own].inputs == (("t", b"\x07"),) for own in (*many, "sibling"))
    assert not queue.records["t"].has_dependents
    await bench.check()


async def test_all_dependents_of_a_task_that_is_succeeded_go_on_before_its_successor(
    bench: Bench,
) -> None:
    fence = await bench.active()
    names = [f"w{n:04}" for n in reversed(range(ORDERED_AT_ONCE + 2))]
    for start in range(0, len(names), 1000):
        await bench.add(*names[start : start + 1000], relations=Relations(needs=("t",)))
    await complete(bench, fence, new("t"))
    records = (await bench.dump()).records.values()
    ran = sorted((r for r in records if r.state is State.PENDING), key=lambda r: r.seq)
    # The step orders those with the lowest ids; `names` begins with the highest.
    assert [r.id for r in ran] == [*names[2:], names[1], names[0], "t"]


async def test_who_waits_for_a_task_that_is_succeeded_waits_for_its_successor(
    bench: Bench,
) -> None:
    fence = await bench.active()
    assert await bench.store.watch(Q, "t") is State.ACTIVE
    with bench.store.listen([(Q, "t")]) as signals, trio.fail_after(10):
        while (await signals.receive()).kind is not SignalKind.RESYNC:
            pass
        await complete(bench, fence, new("t", retention_ms=0))
        [lease] = await bench.take()
        await bench.store.report(Q, [Report(lease.fence, b"p")])
        await complete(bench, lease.fence)
        kinds = [(await signals.receive()).kind for _ in range(2)]
    assert kinds == [SignalKind.PROGRESS, SignalKind.DONE]
    assert (await bench.record()).result == b"\x07"


@pytest.mark.parametrize("conflict", ["taken", "replaced"])
async def test_a_child_whose_key_is_taken_is_refused_unless_it_replaces(
    bench: Bench, conflict: str
) -> None:
    fence = await bench.active()
    await bench.add("holder", relations=Relations(unique="k"))
    child = new("child", relations=Relations(unique="k", replace=conflict == "replaced"))
    answer = await complete(bench, fence, child)
    assert answer == (PartlyCompleted(("child",)) if conflict == "taken" else State.COMPLETED)


async def test_two_children_of_one_id_are_one(bench: Bench) -> None:
    fence = await bench.active()
    children = (new("child", priority=1), new("child", priority=2))
    assert await complete(bench, fence, *children) == PartlyCompleted(("child",))
    assert (await bench.record("child")).priority == 1
    assert (await bench.dump()).counters.enqueued == 2


async def test_a_child_comes_in_though_the_queue_is_full(bench: Bench) -> None:
    fence = await bench.active()
    await bench.add("u")
    await bench.store.arrange(Q, max_pending=1)
    await complete(bench, fence, new("child"))
    assert await bench.ids(State.PENDING) == ["u", "child"]


async def test_a_child_for_another_queue_is_sent_there_whatever_is_here(bench: Bench) -> None:
    await bench.add("c", delay_ms=5)
    fence = await bench.active("t")
    children = (new("c", relations=Relations(queue="other")),)
    await bench.store.settle(Q, [Completed(fence, b"r", children)])
    assert [mail.task for mail in await bench.store.outbox(Q, limit=0)] == [new("c")]


async def test_a_child_for_another_queue_is_sent_there(bench: Bench) -> None:
    fence = await bench.active()
    await complete(bench, fence, new("child", relations=Relations(queue="other")))
    mail = Mail(START * 1024, "other", MailKind.TASK, task=new("child"))
    assert await bench.store.outbox(Q, limit=0) == (mail,)
    await relay(bench.store, Q)
    [record] = await bench.store.get("other", ["child"])
    assert record is not None
    assert record.state is State.PENDING
    assert (await bench.dump()).counters.enqueued == 1


async def test_a_child_that_needs_its_parent_is_handed_its_result(bench: Bench) -> None:
    fence = await bench.active(retention_ms=0)
    await complete(bench, fence, new("child", relations=Relations(needs=("t",))))
    record = await bench.record("child")
    assert (record.state, record.inputs) == (State.PENDING, (("t", b"\x07"),))
    queue = await bench.dump()
    assert (queue.edges, queue.needs) == ({}, {})


async def test_a_child_that_needs_nobody_is_dead(bench: Bench) -> None:
    fence = await bench.active()
    await complete(bench, fence, new("child", relations=Relations(needs=("nobody",))))
    assert (await bench.record("child")).error == "the task nobody that it needs is gone"


async def test_children_may_be_a_graph(bench: Bench) -> None:
    fence = await bench.active()
    await complete(
        bench,
        fence,
        new("last", relations=Relations(needs_later=("first",))),
        new("first", relations=Relations(dependents=("last",))),
    )
    assert await bench.ids(State.BLOCKED) == ["last"]
    [lease] = await bench.take(5)
    await complete(bench, lease.fence)
    assert await bench.ids(State.PENDING) == ["last"]


async def test_those_that_wait_for_a_child_whose_key_is_taken_are_told_that_it_is_gone(
    bench: Bench,
) -> None:
    await bench.add("u", delay_ms=5, relations=Relations(unique="k"))
    await bench.add("w", relations=Relations(needs_later=("child",)))
    fence = await bench.active()
    await complete(bench, fence, new("child", relations=Relations(unique="k", dependents=("w",))))
    assert await bench.store.get(Q, ["child"]) == (None,)
    assert (await bench.record("w")).error == "the task child that it needs is gone"


async def test_those_that_wait_for_a_child_that_was_there_wait_for_that(bench: Bench) -> None:
    fence = await bench.active("child")
    await bench.add("w", relations=Relations(needs_later=("child",)))
    parent = await bench.active()
    await complete(bench, parent, new("child", relations=Relations(dependents=("w",))))
    assert (await bench.record("w")).state is State.BLOCKED
    await complete(bench, fence)
    assert (await bench.record("w")).inputs == (("child", b"\x07"),)


async def test_a_child_that_needs_one_completed_in_the_same_step_has_it(bench: Bench) -> None:
    one = await bench.active("s", retention_ms=1000)
    two = await bench.active()
    child = new("child", relations=Relations(needs=("s",)))
    await bench.store.settle(Q, [Completed(one, b"r"), Completed(two, b"r", (child,))])
    assert (await bench.record("child")).state is State.PENDING


async def test_a_child_that_needs_the_next_of_the_same_step_is_told_of_it(bench: Bench) -> None:
    one = await bench.active("s", retention_ms=0)
    two = await bench.active()
    child = new("child", relations=Relations(needs=("s",)))
    await bench.store.settle(Q, [Completed(two, b"r", (child,)), Completed(one, b"\x07")])
    record = await bench.record("child")
    assert (record.state, record.inputs) == (State.PENDING, (("s", b"\x07"),))


async def test_those_that_wait_for_a_child_that_was_sent_are_told_by_it(bench: Bench) -> None:
    await bench.add("w", relations=Relations(needs_later=("other/child",)))
    fence = await bench.active()
    await complete(
        bench, fence, new("child", relations=Relations(queue="other", dependents=("q/w",)))
    )
    assert (await bench.record("w")).state is State.BLOCKED
    assert [mail.kind for mail in await bench.store.outbox(Q, limit=0)] == [MailKind.TASK]


async def test_a_child_for_another_queue_is_sent_though_its_id_is_in_this_one(
    bench: Bench,
) -> None:
    fence = await bench.active()
    await complete(bench, fence, new("t", relations=Relations(queue="other")))
    await relay(bench.store, Q)
    [record] = await bench.store.get("other", ["t"])
    assert record is not None


@pytest.mark.parametrize("until", [Until.DONE, Until.STARTED])
@pytest.mark.parametrize("retention", [0, 1000])
async def test_a_child_takes_the_key_that_its_parent_frees(
    bench: Bench, until: Until, retention: int
) -> None:
    relations = Relations(unique="k", until=until)
    fence = await bench.active(relations=relations, retention_ms=retention)
    await complete(bench, fence, new("child", relations=relations))
    assert (await bench.record("child")).owns_unique_key
    assert (await bench.dump()).locks == {"k": Lock("child")}


async def test_a_child_does_not_take_a_key_that_its_parent_keeps_for_a_time(
    bench: Bench,
) -> None:
    relations = Relations(unique="k", until=Until.EXPIRED, ttl_ms=9)
    fence = await bench.active(relations=relations)
    await complete(bench, fence, new("child", relations=relations))
    assert await bench.store.get(Q, ["child"]) == (None,)
    assert (await bench.dump()).locks == {"k": Lock("t", START + 9)}


async def test_a_child_may_replace_the_holder_of_its_key(bench: Bench) -> None:
    await bench.add("u", delay_ms=5, relations=Relations(unique="k"))
    fence = await bench.active()
    await complete(bench, fence, new("child", relations=Relations(unique="k", replace=True)))
    record = await bench.record("u")
    assert (record.state, record.envelope) == (State.PENDING, b"envelope of child")


async def test_a_child_wakes(bench: Bench) -> None:
    fence = await bench.active()
    with bench.store.listen([(Q, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await complete(bench, fence, new("child"))
        await heard(signals, SignalKind.WAKE)


async def test_a_parent_that_others_wait_for_ends_as_without_children(bench: Bench) -> None:
    fence = await bench.active()
    await bench.add("w", relations=Relations(needs=("t",)))
    before = await bench.record()
    await complete(bench, fence, new("child", relations=Relations(needs=("t",))))
    assert await bench.record() == attrs.evolve(
        before,
        state=State.COMPLETED,
        lease_ms=0,
        result=b"\x07",
        finished_ms=START,
        purge_ms=START + before.retention_ms,
    )
    assert await bench.ids(State.PENDING) == ["w", "child"]


async def test_a_parent_knows_that_it_has_freed_its_key(bench: Bench) -> None:
    fence = await bench.active(relations=Relations(unique="k"))
    await complete(bench, fence, new("child"))
    assert not (await bench.record()).owns_unique_key
