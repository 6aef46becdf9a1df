"""Messages between queues: each is taken in once, in order, whoever carries them."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    Completed,
    Due,
    Fence,
    Mail,
    MailKind,
    NewTask,
    Received,
    Relations,
)
from rediq_trio.spec.records import PROPAGATED_AT_ONCE, Record
from rediq_trio.spec.stored_format import NOT_ENQUEUED, NOT_ENQUEUED_NAMED
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.relay import RELAY_BATCH, RefusedChild, log_refused, relay, relay_some

from .bench import START, Bench, Q, captured_log, failed, heard, new

A, B, C = "a", "b", "c"
UUID7 = "018f3b2c-0000-7abc-8def-0123456789ab"
SENT = Answer(AnswerKind.SENT)
FIRST = START * 1024
"""The number of the first message at the instant at which a test begins."""


async def put(bench: Bench, queue: str, task_id: str, **options: Any) -> object:
    [answer] = await bench.store.enqueue(queue, [new(task_id, **options)])
    return answer


async def record(bench: Bench, queue: str, task_id: str) -> Record:
    [found] = await bench.store.get(queue, [task_id])
    assert found is not None
    return found


async def take(bench: Bench, queue: str, nonce: bytes = b"12345678") -> Fence:
    claimed = await bench.store.claim(queue, limit=1, lease_ms=1000, worker="w", nonce=nonce)
    [lease] = claimed.leases
    return lease.fence


async def finish(bench: Bench, queue: str, result: bytes = b"\x01") -> None:
    """Run the next task of a queue well."""
    fence = await take(bench, queue)
    await bench.store.settle(queue, [Completed(fence, result)])


async def carry(bench: Bench) -> None:
    """Carry all messages until there are none."""
    for _ in range(10):
        for queue in (A, B, C):
            await relay(bench.store, queue)
    for queue in (A, B, C):
        assert await bench.store.outbox(queue, limit=0) == ()


async def mail(bench: Bench, queue: str = A) -> tuple[Mail, ...]:
    return await bench.store.outbox(queue, limit=0)


# --- what is sent


async def test_a_task_that_needs_one_elsewhere_asks_to_be_told(bench: Bench) -> None:
    assert await put(bench, A, "t", relations=Relations(needs=("b/s",))) is State.BLOCKED
    assert await mail(bench) == (Mail(FIRST, B, MailKind.SUBSCRIBE, id="t", ref="s"),)
    assert (await bench.store.dump(A)).needs == {"t": {"b/s"}}


async def test_mail_is_signalled(bench: Bench) -> None:
    with bench.store.listen([(A, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await put(bench, A, "t", relations=Relations(needs=("b/s",)))
        signal = await heard(signals, SignalKind.MAIL)
    assert signal.queue == A


async def test_a_task_for_another_queue_is_sent_and_not_added(bench: Bench) -> None:
    assert await put(bench, A, "t", relations=Relations(queue=B), priority=3) == SENT
    sent = NewTask("t", b"envelope of t", priority=3)
    assert await mail(bench) == (Mail(FIRST, B, MailKind.TASK, task=sent),)
    queue = await bench.store.dump(A)
    assert (queue.records, queue.counters.enqueued, queue.sent) == ({}, 0, FIRST)


async def test_numbers_grow_within_an_instant_and_with_time(bench: Bench) -> None:
    for task_id in "st":
        await put(bench, A, task_id, relations=Relations(queue=B))
    bench.clock.advance(2)
    await put(bench, A, "u", relations=Relations(queue=B))
    assert [each.seq for each in await mail(bench)] == [FIRST, FIRST + 1, FIRST + 2048]


async def test_numbers_grow_though_the_clock_goes_back(bench: Bench) -> None:
    await put(bench, A, "s", relations=Relations(queue=B))
    bench.clock.advance(-5000)
    await put(bench, A, "t", relations=Relations(queue=B))
    assert [each.seq for each in await mail(bench)] == [FIRST, FIRST + 1]


async def test_an_outbox_is_read_from_the_oldest_up_to_a_limit(bench: Bench) -> None:
    for task_id in "stu":
        await put(bench, A, task_id, relations=Relations(queue=B))
    found = await bench.store.outbox(A, limit=2)
    assert [each.task.id for each in found if each.task] == ["s", "t"]


# --- what is taken in


async def test_a_task_is_told_of_the_end_of_one_elsewhere_and_handed_its_result(
    bench: Bench,
) -> None:
    await put(bench, B, "s")
    await put(bench, A, "t", relations=Relations(needs=("b/s",)))
    await relay(bench.store, A)
    assert (await bench.store.dump(B)).edges == {"s": {"a/t"}}
    await finish(bench, B, b"\x07")
    assert (await record(bench, A, "t")).state is State.BLOCKED
    assert await mail(bench, B) == (
        Mail(FIRST, A, MailKind.ENDED, id="t", ref="s", ended_as=State.COMPLETED, result=b"\x07"),
    )
    await relay(bench.store, B)
    told = await record(bench, A, "t")
    assert (told.state, told.waits, told.inputs) == (State.PENDING, 0, (("b/s", b"\x07"),))


async def test_a_uuid7_elsewhere_is_referred_to_like_any_other(bench: Bench) -> None:
    await put(bench, B, UUID7)
    await put(bench, A, UUID7, relations=Relations(needs=(f"b/{UUID7}",)))
    await relay(bench.store, A)
    await bench.store.cancel(B, UUID7)
    await carry(bench)
    said = (await record(bench, A, UUID7)).error
    assert said == f"the task b/{UUID7} that it needs was cancelled"


@pytest.mark.parametrize(
    ("end", "how"),
    [("die", "is dead"), ("cancel", "was cancelled"), ("delete", "is gone"), ("flush", "is gone")],
)
async def test_a_task_dies_with_one_elsewhere(bench: Bench, end: str, how: str) -> None:
    await put(bench, B, "s")
    await put(bench, A, "t", relations=Relations(needs=("b/s",)))
    await put(bench, A, "u", relations=Relations(needs=("t",)))
    await relay(bench.store, A)
    match end:
        case "die":
            await bench.store.settle(B, [failed(await take(bench, B), final=True)])
        case "cancel":
            await bench.store.cancel(B, "s")
        case "delete":
            await bench.store.delete(B, ["s"])
        case _:
            await bench.store.flush(B)
    await carry(bench)
    assert (await record(bench, A, "t")).error == f"the task b/s that it needs {how}"
    assert (await record(bench, A, "u")).error == "the task t that it needs is dead"


@pytest.mark.parametrize("before", ["completed", "dead", "nobody", "grouped"])
async def test_one_elsewhere_that_has_ended_answers_at_once(bench: Bench, before: str) -> None:
    match before:
        case "completed":
            await put(bench, B, "s")
            await finish(bench, B)
        case "dead":
            await put(bench, B, "s")
            await bench.store.settle(B, [failed(await take(bench, B), final=True)])
        case "grouped":
            await put(bench, B, "s", relations=Relations(group="g"))
        case _:
            pass
    await put(bench, A, "t", relations=Relations(needs=("b/s",)))
    await carry(bench)
    told = await record(bench, A, "t")
    match before:
        case "completed":
            assert (told.state, told.inputs) == (State.PENDING, (("b/s", b"\x01"),))
        case "dead":
            assert told.error == "the task b/s that it needs is dead"
        case _:
            assert told.error == "the task b/s that it needs is gone"


async def test_a_lenient_task_runs_when_one_elsewhere_is_gone(bench: Bench) -> None:
    await put(bench, A, "t", relations=Relations(needs=("b/s",), run_on_dependency_failure=True))
    await carry(bench)
    assert (await record(bench, A, "t")).state is State.PENDING


async def test_a_task_is_taken_in_as_it_was_sent(bench: Bench) -> None:
    relations = Relations(queue=B, unique="k", limit_key="l", needs=("s",), dependents=("a/u",))
    await put(bench, B, "s")
    await put(bench, A, "t", relations=relations, delay_ms=5, priority=3)
    bench.clock.advance(1)
    await relay(bench.store, A)
    found = await record(bench, B, "t")
    assert (found.state, found.priority, found.envelope) == (State.BLOCKED, 3, b"envelope of t")
    assert (found.unique, found.limit_key, found.has_dependents) == ("k", "l", True)
    assert (found.created_ms, found.run_ms) == (START + 1, START + 6)
    queue = await bench.store.dump(B)
    assert (queue.edges, queue.needs) == ({"s": {"t"}, "t": {"a/u"}}, {"t": {"s"}})
    assert queue.counters.enqueued == 2


async def test_a_task_that_came_is_taken_in_though_the_queue_is_full(bench: Bench) -> None:
    await bench.store.arrange(B, max_pending=1)
    await put(bench, B, "s")
    await put(bench, A, "t", relations=Relations(queue=B))
    await carry(bench)
    assert (await record(bench, B, "t")).state is State.PENDING


async def test_a_task_that_came_and_needs_nobody_is_dead(bench: Bench) -> None:
    await put(bench, A, "t", relations=Relations(queue=B, needs=("nobody",)))
    await carry(bench)
    assert (await record(bench, B, "t")).error == "the task nobody that it needs is gone"


async def test_those_that_wait_for_a_task_that_came_and_was_refused_are_told(
    bench: Bench,
) -> None:
    await put(bench, B, "s", relations=Relations(unique="k"))
    await bench.store.enqueue(
        A,
        [
            new("u", relations=Relations(needs_later=("b/t",))),
            new("t", relations=Relations(queue=B, unique="k", dependents=("a/u",))),
        ],
        atomic=True,
    )
    await carry(bench)
    assert (await record(bench, A, "u")).error == "the task b/t that it needs is gone"
    assert await bench.store.get(B, ["t"]) == (None,)


async def test_those_that_wait_for_a_task_that_was_there_already_wait_for_that(
    bench: Bench,
) -> None:
    await put(bench, B, "t")
    await bench.store.enqueue(
        A,
        [
            new("u", relations=Relations(needs_later=("b/t",))),
            new("t", relations=Relations(queue=B, dependents=("a/u",)), priority=9),
        ],
        atomic=True,
    )
    await carry(bench)
    assert (await record(bench, B, "t")).priority == 50
    assert (await record(bench, A, "u")).state is State.BLOCKED
    await finish(bench, B)
    await carry(bench)
    assert (await record(bench, A, "u")).state is State.PENDING


async def test_messages_wake_and_unblock_like_any_other_step(bench: Bench) -> None:
    await put(bench, A, "t", relations=Relations(queue=B))
    with bench.store.listen([(B, "")]) as signals:
        await heard(signals, SignalKind.RESYNC)
        await relay(bench.store, A)
        await heard(signals, SignalKind.WAKE)


# --- once, and in order


def told(seq: int, task_id: str = "t", how: State | None = State.COMPLETED) -> Mail:
    return Mail(seq, Q, MailKind.ENDED, id=task_id, ref="s", ended_as=how, result=b"\x07")


async def test_the_number_of_the_last_message_is_answered_and_kept(bench: Bench) -> None:
    assert await bench.store.receive(Q, "x", [told(5), told(9)]) == Received(9)
    assert (await bench.dump()).received == {"x": 9}
    assert await bench.store.receive(Q, "y", [told(4)]) == Received(4)
    assert (await bench.dump()).received == {"x": 9, "y": 4}


async def test_a_message_that_came_before_changes_nothing(bench: Bench) -> None:
    task = Mail(9, Q, MailKind.TASK, task=new("t", retention_ms=0))
    assert await bench.store.receive(Q, "x", [task]) == Received(9)
    await finish(bench, Q)
    before = await bench.dump()
    assert before.records == {}
    for late in ([task], [attrs.evolve(task, seq=8)], [told(1), task]):
        assert await bench.store.receive(Q, "x", late) == Received(9)
    assert await bench.dump() == before


async def test_of_known_and_new_messages_the_new_are_taken_in(bench: Bench) -> None:
    tasks = [Mail(n, Q, MailKind.TASK, task=new(f"t{n}")) for n in (1, 2, 3)]
    await bench.store.receive(Q, "x", tasks[:2])
    await bench.store.delete(Q, ["t1", "t2"])
    assert await bench.store.receive(Q, "x", tasks) == Received(3)
    assert set((await bench.dump()).records) == {"t3"}


async def test_the_receiver_answers_which_tasks_it_refused(bench: Bench) -> None:
    keyed = Relations(unique="k")
    await bench.add("there")
    await bench.add("holder", relations=keyed)
    tasks = [
        new("a"),
        new("there"),
        new("b", relations=keyed),
        new("c"),
        new("c"),
        new("d", relations=attrs.evolve(keyed, replace=True)),
    ]
    mail = [Mail(n, Q, MailKind.TASK, task=task) for n, task in enumerate(tasks, start=2)]
    assert await bench.store.receive(Q, "x", [told(1), *mail]) == Received(7, (3, 4, 6))
    assert set((await bench.dump()).records) == {"a", "there", "holder", "c"}
    # What was handled before is not handled now.
    assert await bench.store.receive(Q, "x", mail) == Received(7)


async def test_a_child_for_another_queue_names_its_parent_until_it_is_there(bench: Bench) -> None:
    await put(bench, A, "parent")
    fence = await take(bench, A)
    children = [
        new("one", relations=Relations(queue=B), parent="parent"),
        new(UUID7, relations=Relations(queue=B, unique="k"), parent=UUID7),
        new("two", relations=Relations(queue=B, unique="l")),
        new("three", relations=Relations(queue=B), parent="parent", may_exist=True),
        new("four", relations=Relations(queue=B), parent=UUID7, may_exist=True),
    ]
    await bench.store.settle(A, [Completed(fence, b"\x01", tuple(children))])
    mail = await bench.store.outbox(A, limit=0)
    found = [(each.task.parent, each.task.may_exist) for each in mail if each.task]
    expected = [("parent", False), (UUID7, False), ("", False), ("parent", True), (UUID7, True)]
    assert found == expected
    assert await bench.store.receive(B, A, mail) == Received(mail[-1].seq)
    assert [(await record(bench, B, each.id)).state for each in children] == [State.PENDING] * 5


async def test_a_relay_reports_the_children_that_a_receiver_refused(bench: Bench) -> None:
    await put(bench, B, "there")
    await put(bench, A, "parent")
    fence = await take(bench, A)
    tell = {"relations": Relations(queue=B), "parent": "parent"}
    children = [new("there", **tell), new("new", **tell), new("there", relations=tell["relations"])]
    await bench.store.settle(A, [Completed(fence, b"\x01", tuple(children))])
    found: list[RefusedChild] = []
    with captured_log() as logged:
        assert await relay_some(bench.store, A, report=found.append) == Due(3, None)
        assert found == [RefusedChild("b/there", B, "a/parent")]
        assert logged == []
        log_refused(found[0])
    [warned] = logged
    assert warned.getMessage() == (
        "task a/parent completed, and enqueue_after did not enqueue b/there, as the id exists or its "
        "unique key is taken"
    )
    assert {"task_id": "b/there", "queue": B, "parent": "a/parent"}.items() <= vars(warned).items()


async def test_a_child_that_may_exist_is_reported_and_noted_but_not_logged(bench: Bench) -> None:
    await put(bench, B, "there")
    await put(bench, A, "parent", retention_ms=1000)
    fence = await take(bench, A)
    child = new("there", relations=Relations(queue=B), parent="parent", may_exist=True)
    await bench.store.settle(A, [Completed(fence, b"\x01", (child,))])
    found: list[RefusedChild] = []
    assert await relay_some(bench.store, A, report=found.append) == Due(1, None)
    assert found == [RefusedChild("b/there", B, "a/parent", may_exist=True)]
    with captured_log() as logged:
        log_refused(found[0])
    assert logged == []
    assert (await record(bench, A, "parent")).error == NOT_ENQUEUED % "b/there"


async def test_a_client_that_relays_logs_what_a_receiver_refused(bench: Bench) -> None:
    await put(bench, B, "there")
    await put(bench, A, "parent")
    fence = await take(bench, A)
    child = new("there", relations=Relations(queue=B), parent="parent")
    await bench.store.settle(A, [Completed(fence, b"\x01", (child,))])
    with captured_log() as logged:
        await relay(bench.store, A)
        await relay(bench.store, A)
    assert [r.levelname for r in logged if "b/there" in r.getMessage()] == ["WARNING"]


async def test_what_a_receiver_refused_is_noted_with_the_task_that_asked_for_it(
    bench: Bench,
) -> None:
    names = [f"n{n:02}" for n in range(11)]
    for name in (*names, UUID7):
        await put(bench, B, name)
    await put(bench, A, "there")
    await put(bench, A, "parent", retention_ms=1000)
    await take(bench, A)
    fence = await take(bench, A)
    sent = [new(name, relations=Relations(queue=B), parent="parent") for name in (UUID7, *names)]
    await bench.store.settle(A, [Completed(fence, b"\x01", (new("there"), *sent))])
    await relay(bench.store, A)
    noted = (await record(bench, A, "parent")).error
    expected = ["there", f"b/{UUID7}", *(f"b/{name}" for name in names)]
    assert noted == NOT_ENQUEUED % ", ".join(expected[:NOT_ENQUEUED_NAMED])
    assert await bench.store.acknowledge(A, FIRST, refused=[("parent", "b/late")]) == 0
    assert (await record(bench, A, "parent")).error == noted


async def test_a_note_that_arrives_twice_or_for_a_task_that_has_gone_changes_nothing(
    bench: Bench,
) -> None:
    for name in ("parent", "waits"):
        await put(bench, A, name, retention_ms=1000)
    fence = await take(bench, A)
    await bench.store.settle(A, [Completed(fence, b"\x01", ())])
    refused = [("parent", "b/one"), ("gone", "b/two"), ("waits", "b/three")]
    for _ in range(2):
        assert await bench.store.acknowledge(A, FIRST, refused=refused) == 0
        assert (await record(bench, A, "parent")).error == NOT_ENQUEUED % "b/one"
    assert (await record(bench, A, "waits")).error == ""
    assert set((await bench.store.dump(A)).records) == {"parent", "waits"}


async def test_senders_do_not_mix_their_numbers(bench: Bench) -> None:
    await bench.store.receive(Q, "x", [Mail(9, Q, MailKind.TASK, task=new("t"))])
    await bench.store.receive(Q, "y", [Mail(1, Q, MailKind.TASK, task=new("u"))])
    assert set((await bench.dump()).records) == {"t", "u"}


async def test_nothing_received_changes_nothing(bench: Bench) -> None:
    before = await bench.dump()
    assert await bench.store.receive(Q, "x", []) == Received(0)
    assert await bench.dump() == before


async def test_news_of_a_task_that_is_not_waited_for_changes_nothing(bench: Bench) -> None:
    await bench.add("t", relations=Relations(needs_later=("x/other",)))
    await bench.add("u")
    before = (await bench.dump()).records
    await bench.store.receive(Q, "x", [told(1), told(2, "u"), told(3, "nobody")])
    assert (await bench.dump()).records == before


async def test_news_of_one_id_in_two_queues_is_told_apart(bench: Bench) -> None:
    await bench.add("t", relations=Relations(needs_later=("x/s", "y/s")))
    await bench.store.receive(Q, "x", [told(1), told(2)])
    assert (await bench.record()).waits == 1
    await bench.store.receive(Q, "y", [told(1)])
    assert (await bench.record()).state is State.PENDING


async def test_an_acknowledgement_forgets_what_has_arrived_and_no_more(bench: Bench) -> None:
    for task_id in "stu":
        await put(bench, A, task_id, relations=Relations(queue=B))
    assert await bench.store.acknowledge(A, FIRST - 1) == 3
    assert await bench.store.acknowledge(A, FIRST + 1) == 1
    assert [each.seq for each in await mail(bench)] == [FIRST + 2]
    assert await bench.store.acknowledge(A, FIRST + 1) == 1
    assert await bench.store.acknowledge(A, FIRST + 9) == 0


async def test_numbers_are_not_given_again_after_an_acknowledgement(bench: Bench) -> None:
    await put(bench, A, "s", relations=Relations(queue=B))
    await bench.store.acknowledge(A, FIRST)
    await put(bench, A, "t", relations=Relations(queue=B))
    assert [each.seq for each in await mail(bench)] == [FIRST + 1]


# --- relays


async def test_a_relay_carries_messages_of_all_receivers_in_order(bench: Bench) -> None:
    for n, queue in enumerate([B, C, C, B]):
        await put(bench, A, f"t{n}", relations=Relations(queue=queue))
    assert await relay_some(bench.store, A) == Due(4, None)
    assert await bench.store.list(B, State.PENDING, limit=9) == ("t0", "t3")
    assert await bench.store.list(C, State.PENDING, limit=9) == ("t1", "t2")


async def test_a_relay_carries_so_many_at_once_and_says_that_there_are_more(bench: Bench) -> None:
    tasks = [new(f"t{n:03}", relations=Relations(queue=B)) for n in range(RELAY_BATCH + 1)]
    await bench.store.enqueue(A, tasks)
    assert await relay_some(bench.store, A) == Due(RELAY_BATCH, 0)
    assert await relay_some(bench.store, A) == Due(1, None)
    assert await relay_some(bench.store, A) == Due(0, None)
    assert len(await bench.store.list(B, State.PENDING, limit=1000)) == RELAY_BATCH + 1


async def test_one_relay_carries_all_there_is(bench: Bench) -> None:
    tasks = [new(f"t{n:03}", relations=Relations(queue=B)) for n in range(2 * RELAY_BATCH + 1)]
    await bench.store.enqueue(A, tasks)
    await relay(bench.store, A)
    assert await mail(bench) == ()
    assert len(await bench.store.list(B, State.PENDING, limit=1000)) == 2 * RELAY_BATCH + 1


class Relays:
    """Relays of one queue, each of which can stop anywhere."""

    def __init__(self, bench: Bench) -> None:
        self.store = bench.store
        self.read: dict[int, Sequence[Mail]] = {}

    async def do(self, relay_number: int, part: str) -> None:
        match part:
            case "read":
                self.read[relay_number] = await self.store.outbox(A, limit=100)
            case "receive":
                if messages := self.read[relay_number]:
                    await self.store.receive(B, A, messages)
            case _:
                if messages := self.read[relay_number]:
                    await self.store.acknowledge(A, messages[-1].seq)


PARTS = ("read", "receive", "acknowledge")
RACES = sorted(set(permutations([0, 0, 0, 1, 1, 1])))


@pytest.mark.parametrize("turns", RACES, ids=lambda turns: "".join(map(str, turns)))
async def test_two_relays_that_race_carry_each_message_once(
    bench: Bench, turns: tuple[int, ...]
) -> None:
    relays, done = Relays(bench), [0, 0]
    for task_id in "st":
        await put(bench, A, task_id, relations=Relations(queue=B), retention_ms=0)
    for n in turns:
        await relays.do(n, PARTS[done[n]])
        done[n] += 1
        # What has arrived runs at once, and is forgotten.
        while (await bench.store.stats(B)).sizes.get(State.PENDING):
            await finish(bench, B)
        if turns.index(n) == 0 and done[n] == 1:
            await put(bench, A, "u", relations=Relations(queue=B), retention_ms=0)
    await relay(bench.store, A)
    while (await bench.store.stats(B)).sizes.get(State.PENDING):
        await finish(bench, B)
    assert await mail(bench) == ()
    assert (await bench.store.dump(B)).counters.completed == 3


@pytest.mark.parametrize("parts", range(3))
async def test_what_a_relay_that_died_left_is_carried_by_the_next(bench: Bench, parts: int) -> None:
    relays = Relays(bench)
    await put(bench, B, "s")
    await put(bench, A, "t", relations=Relations(needs=("b/s",)))
    await put(bench, A, "u", relations=Relations(queue=B))
    for part in PARTS[:parts]:
        await relays.do(0, part)
    await carry(bench)
    queue = await bench.store.dump(B)
    assert queue.edges == {"s": {"a/t"}}
    assert queue.counters.enqueued == 2


async def test_a_task_that_is_delivered_again_after_it_has_gone_does_not_run_again(
    bench: Bench,
) -> None:
    await put(bench, A, "t", relations=Relations(queue=B), retention_ms=0)
    messages = await mail(bench)
    await bench.store.receive(B, A, messages)
    await finish(bench, B)
    assert await bench.store.get(B, ["t"]) == (None,)
    await relay(bench.store, A)
    assert await bench.store.get(B, ["t"]) == (None,)
    assert (await bench.store.dump(B)).counters.enqueued == 1


# --- graphs over several queues


def graph() -> list[NewTask]:
    """Give a, then b1 and c1, then c2, in three queues; all are written to the first."""
    return [
        new("c2", relations=Relations(queue=C, needs_later=("b/b1", "c1"))),
        new("c1", relations=Relations(queue=C, needs_later=("a/a1",), dependents=("c2",))),
        new("b1", relations=Relations(queue=B, needs_later=("a/a1",), dependents=("c/c2",))),
        new("a1", relations=Relations(dependents=("b/b1", "c/c1"))),
    ]


async def test_a_graph_over_three_queues_is_sent_as_a_whole(bench: Bench) -> None:
    assert await bench.store.enqueue(A, graph(), atomic=True) == (SENT, SENT, SENT, State.PENDING)
    await carry(bench)
    assert (await bench.store.dump(C)).needs == {"c1": {"a/a1"}, "c2": {"b/b1", "c1"}}
    assert (await bench.store.dump(B)).edges == {"b1": {"c/c2"}}


async def test_one_that_is_refused_keeps_those_for_other_queues_back(bench: Bench) -> None:
    await put(bench, A, "a1")
    answers = await bench.store.enqueue(A, graph(), atomic=True)
    assert answers == (*[Answer(AnswerKind.WITHHELD)] * 3, None)
    assert await mail(bench) == ()


class Dies(Exception):
    """The relay dies."""


class Frail:
    """A store whose relay dies at its n-th call."""

    def __init__(self, bench: Bench, calls: int, *, after: bool) -> None:
        self._store, self._left, self._after = bench.store, calls, after

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left < 0 and not self._after:
                raise Dies
            answer = await getattr(self._store, name)(*args, **options)
            if self._left < 0:
                raise Dies
            return answer

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("calls", range(6))
async def test_a_graph_whose_relays_die_half_way_ends_complete(
    bench: Bench, calls: int, after: bool
) -> None:
    await bench.store.enqueue(A, graph(), atomic=True)
    ran: list[str] = []
    for _ in range(12):
        for queue in (A, B, C):
            try:
                await relay(Frail(bench, calls, after=after), queue)  # type: ignore[arg-type]
            except Dies:
                await relay(bench.store, queue)
            claimed = await bench.store.claim(
                queue, limit=5, lease_ms=1000, worker="w", nonce=b"n" * 8
            )
            for lease in claimed.leases:
                ran.append(lease.fence.id)
                await bench.store.settle(queue, [Completed(lease.fence, b"\x01")])
    assert sorted(ran) == ["a1", "b1", "c1", "c2"]
    assert (ran[0], ran[-1]) == ("a1", "c2")
    assert (await record(bench, C, "c2")).state is State.COMPLETED


async def test_a_graph_over_queues_dies_with_its_root(bench: Bench) -> None:
    await bench.store.enqueue(A, graph(), atomic=True)
    await carry(bench)
    await bench.store.settle(A, [failed(await take(bench, A), final=True)])
    await carry(bench)
    assert (await record(bench, B, "b1")).error == "the task a/a1 that it needs is dead"
    # Both of those it waits for died; the news of the one in its own queue came first.
    assert (await record(bench, C, "c2")).error == "the task c1 that it needs is dead"


# --- flushes


async def test_a_receiver_that_was_flushed_takes_nothing_in_again(bench: Bench) -> None:
    await put(bench, A, "t", relations=Relations(queue=B))
    messages = await mail(bench)
    await bench.store.receive(B, A, messages)
    await bench.store.flush(B)
    await bench.store.receive(B, A, messages)
    assert (await bench.store.dump(B)).records == {}
    assert (await bench.store.dump(B)).received == {A: FIRST}


async def test_a_sender_that_is_flushed_still_sends_what_it_owes(bench: Bench) -> None:
    await put(bench, A, "t", relations=Relations(queue=B))
    await bench.store.flush(A)
    await carry(bench)
    assert (await record(bench, B, "t")).state is State.PENDING


async def test_a_flush_tells_those_elsewhere_that_wait_in_the_order_of_ids(bench: Bench) -> None:
    for task_id in ("bb", "a", "c"):
        await put(bench, B, task_id)
    for n, task_id in enumerate(["c", "bb", "a", "c"]):
        await put(bench, A, f"t{n}", relations=Relations(needs=(f"b/{task_id}",)))
    await put(bench, B, "here", relations=Relations(needs=("a",)))
    await relay(bench.store, A)
    await bench.store.flush(B)
    said = await mail(bench, B)
    assert [(each.ref, each.id, each.ended_as) for each in said] == [
        ("a", "t2", None),
        ("c", "t0", None),
        ("c", "t3", None),
        ("bb", "t1", None),
    ]
    assert (await bench.store.dump(B)).sent == said[-1].seq
    await carry(bench)
    assert (await bench.store.stats(A)).sizes == {State.DEAD: 4}


async def test_a_flush_tells_of_what_had_ended_as_it_had(bench: Bench) -> None:
    await put(bench, B, "s")
    dependents = [
        new(f"t{n:04}", relations=Relations(needs=("b/s",))) for n in range(PROPAGATED_AT_ONCE + 1)
    ]
    await bench.store.enqueue(A, dependents)
    await relay(bench.store, A)
    await finish(bench, B)
    await bench.store.flush(B)
    await relay(bench.store, B)
    assert (await bench.store.stats(A)).sizes == {State.PENDING: PROPAGATED_AT_ONCE + 1}


async def test_a_revived_task_asks_again_of_one_elsewhere(bench: Bench) -> None:
    await put(bench, B, "s")
    await put(bench, A, "t", relations=Relations(needs=("b/s",)))
    await carry(bench)
    await bench.store.cancel(B, "s")
    await carry(bench)
    assert (await record(bench, A, "t")).state is State.DEAD
    await bench.store.revive(B, ["s"])
    assert await bench.store.revive(A, ["t"]) == (State.BLOCKED,)
    await carry(bench)
    assert (await record(bench, A, "t")).state is State.BLOCKED
    await finish(bench, B)
    await carry(bench)
    assert (await record(bench, A, "t")).state is State.PENDING


async def test_a_revived_task_dies_again_when_one_elsewhere_is_still_dead(bench: Bench) -> None:
    await put(bench, A, "t", relations=Relations(needs=("b/nobody",)))
    await carry(bench)
    assert await bench.store.revive(A, ["t"]) == (State.BLOCKED,)
    await carry(bench)
    assert (await record(bench, A, "t")).state is State.DEAD
