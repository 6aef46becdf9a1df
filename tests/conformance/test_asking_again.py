"""Tasks that wait for others in other queues ask again, in case a failover lost the answer."""

from typing import Any

import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Due, Mail, MailKind, Relations
from rediq_trio.spec.records import PROPAGATED_AT_ONCE
from rediq_trio.spec.stored_format import ASKS_AGAIN
from rediq_trio.spec.upkeep import ASK_AFTER_MS, ASK_EVERY_MS, ASKED_AT_ONCE
from rediq_trio.store.relay import relay, relay_some

from .bench import START, Bench, new

A, B = "a", "b"


async def put(bench: Bench, queue: str, *ids: str, **options: Any) -> None:
    await bench.store.enqueue(queue, [new(task_id, **options) for task_id in ids])


async def wait_for(bench: Bench, *ids: str, needs: tuple[str, ...] = ("b/s",)) -> None:
    """Enqueue tasks that wait for some in another queue, which hears of them."""
    await put(bench, A, *ids, relations=Relations(needs=needs))
    await relay(bench.store, A)


async def finish(bench: Bench, result: bytes = b"\x01") -> None:
    [lease] = (
        await bench.store.claim(B, limit=1, lease_ms=1000, worker="w", nonce=b"12345678")
    ).leases
    await bench.store.settle(B, [Completed(lease.fence, result)])


async def lose(bench: Bench, queue: str) -> None:
    """Forget all messages of a queue, like a failover of their receivers after it has been told."""
    found = await bench.store.outbox(queue, limit=0)
    assert found
    await bench.store.acknowledge(queue, found[-1].seq)


async def unblock(bench: Bench) -> Due:
    return await bench.store.unblock(A, limit=500)


async def asked(bench: Bench) -> list[str]:
    """Return who has asked since, and carry the messages."""
    found = await bench.store.outbox(A, limit=0)
    assert all(mail.kind is MailKind.SUBSCRIBE for mail in found)
    await relay(bench.store, A)
    return [mail.id for mail in found]


async def state(bench: Bench, task_id: str = "t") -> State:
    [record] = await bench.store.get(A, [task_id])
    assert record is not None
    return record.state


@pytest.mark.parametrize("retention_ms", [0, 10 * ASK_AFTER_MS])
async def test_a_task_whose_answer_was_lost_goes_on(bench: Bench, retention_ms: int) -> None:
    await put(bench, B, "s", retention_ms=retention_ms)
    await wait_for(bench, "t")
    await finish(bench)
    await lose(bench, B)
    bench.clock.advance(ASK_AFTER_MS)
    await unblock(bench)
    assert await asked(bench) == ["t"]
    # Of a task that is not kept nobody knows how it ended, or whether it is still to come.
    assert await state(bench) is (State.PENDING if retention_ms else State.BLOCKED)


async def test_a_task_whose_question_was_lost_goes_on(bench: Bench) -> None:
    await put(bench, B, "s")
    await put(bench, A, "t", relations=Relations(needs=("b/s",)))
    await lose(bench, A)
    bench.clock.advance(ASK_AFTER_MS)
    await unblock(bench)
    assert await asked(bench) == ["t"]
    await finish(bench)
    await relay(bench.store, B)
    assert await state(bench) is State.PENDING


async def test_a_task_that_asks_before_the_other_has_arrived_waits_on(bench: Bench) -> None:
    """The other was promised with it, and may be late by any time."""
    await put(bench, A, "t", relations=Relations(needs_later=("b/s",)))
    bench.clock.advance(ASK_AFTER_MS)
    await unblock(bench)
    assert await asked(bench) == ["t"]
    await relay(bench.store, B)
    assert await state(bench) is State.BLOCKED
    await put(bench, B, "s", relations=Relations(dependents=("a/t",)))
    await finish(bench)
    await relay(bench.store, B)
    assert await state(bench) is State.PENDING


async def test_a_keeper_carries_what_is_asked_again(bench: Bench) -> None:
    await put(bench, B, "s")
    await put(bench, A, "t", relations=Relations(needs=("b/s",)))
    bench.clock.advance(ASK_AFTER_MS)
    await lose(bench, A)
    await unblock(bench)
    now = (START + ASK_AFTER_MS) * 1024
    assert await bench.store.outbox(A, limit=0) == (
        Mail(now, B, MailKind.SUBSCRIBE, id="t", ref="s", result=ASKS_AGAIN),
    )
    assert (await relay_some(bench.store, A)).moved == 1
    assert (await bench.store.dump(B)).edges == {"s": {"a/t"}}


async def test_a_task_asks_when_it_has_waited_for_long_and_then_now_and_then(bench: Bench) -> None:
    await put(bench, B, "s")
    await wait_for(bench, "t")
    bench.clock.advance(ASK_AFTER_MS - 1)
    await unblock(bench)
    assert await asked(bench) == []
    bench.clock.advance(1)
    await unblock(bench)
    assert await asked(bench) == ["t"]
    bench.clock.advance(ASK_EVERY_MS - 1)
    await unblock(bench)
    assert await asked(bench) == []
    bench.clock.advance(1)
    await unblock(bench)
    assert await asked(bench) == ["t"]
    found = await bench.store.dump(A)
    assert (found.ask_at_ms, found.asked) == (bench.clock.now + ASK_EVERY_MS, 0)
    assert await state(bench) is State.BLOCKED


async def test_a_task_asks_though_the_clock_goes_back(bench: Bench) -> None:
    await put(bench, B, "s")
    await wait_for(bench, "t")
    bench.clock.advance(ASK_AFTER_MS + 1)
    await unblock(bench)
    assert await asked(bench) == ["t"]
    bench.clock.advance(-1)
    await unblock(bench)
    assert await asked(bench) == ["t"]


async def test_only_tasks_of_other_queues_are_asked_about_each_in_order(bench: Bench) -> None:
    await put(bench, A, "here")
    await put(bench, B, "s1", "s2")
    await wait_for(bench, "t", needs=("b/s2", "here", "b/s1"))
    await put(bench, A, "u", relations=Relations(needs=("here",)))
    bench.clock.advance(ASK_AFTER_MS)
    await unblock(bench)
    found = await bench.store.outbox(A, limit=0)
    assert [(mail.queue, mail.id, mail.ref) for mail in found] == [(B, "t", "s1"), (B, "t", "s2")]


async def test_nothing_is_written_where_nobody_waits(bench: Bench) -> None:
    await put(bench, A, "s")
    bench.clock.advance(ASK_AFTER_MS)
    before = await bench.store.dump(A)
    assert await unblock(bench) == Due(0, None)
    assert await bench.store.dump(A) == before


async def test_many_tasks_ask_in_turn(bench: Bench) -> None:
    await put(bench, B, "s")
    ids = [f"t{n:03}" for n in range(ASKED_AT_ONCE + 2)]
    await wait_for(bench, *ids[2:])
    bench.clock.advance(1)
    await wait_for(bench, *ids[:2])
    bench.clock.advance(ASK_AFTER_MS)
    turns = []
    for _ in range(3):
        await unblock(bench)
        turns.append(await asked(bench))
        bench.clock.advance(ASK_EVERY_MS)
    assert turns == [ids[2:], ids[:2], ids[2:]]


async def test_a_turn_ends_where_no_task_is_left(bench: Bench) -> None:
    await put(bench, B, "s")
    await wait_for(bench, *(f"t{n:03}" for n in range(ASKED_AT_ONCE)))
    bench.clock.advance(ASK_AFTER_MS)
    numbers = []
    for _ in range(3):
        await unblock(bench)
        found = await bench.store.dump(A)
        numbers.append((len(await asked(bench)), found.asked, found.asked_needs))
        bench.clock.advance(ASK_EVERY_MS)
    full = (ASKED_AT_ONCE, ASKED_AT_ONCE - 1, 1)
    assert numbers == [full, (0, 0, 0), full]


async def test_a_step_asks_about_so_many_and_the_next_goes_on(bench: Bench) -> None:
    most = ASKED_AT_ONCE
    names = tuple(f"s{n:03}" for n in range(most + 50))
    await put(bench, B, *names)
    await wait_for(bench, "t", needs=tuple(f"b/{name}" for name in names))
    await wait_for(bench, "u", needs=("b/s000", "b/s001"))
    bench.clock.advance(ASK_AFTER_MS)
    steps = []
    for _ in range(3):
        await unblock(bench)
        mail = await bench.store.outbox(A, limit=0)
        found = await bench.store.dump(A)
        steps.append((
            [(one.id, one.ref) for one in mail], found.asked, found.asked_needs
        ))  # fmt: skip
        await relay(bench.store, A)
        bench.clock.advance(ASK_EVERY_MS)
    first = [("t", name) for name in names[:most]], 0, most
    rest = [("t", name) for name in names[most:]], [("u", "s000"), ("u", "s001")]
    assert steps == [first, (rest[0] + rest[1], 0, 0), first]


@pytest.mark.parametrize("retention_ms", [0, 1000])
async def test_who_asks_before_it_is_notified_hears_the_end_once(
    bench: Bench, retention_ms: int
) -> None:
    """It is subscribed already, and `unblock` is still to notify it."""
    await put(bench, B, "s", retention_ms=retention_ms)
    ids = [f"t{n:03}" for n in range(PROPAGATED_AT_ONCE + 1)]
    await wait_for(bench, *ids)
    await finish(bench)
    [ending] = (await bench.store.dump(B)).endings
    [last] = (await bench.store.dump(B)).edges["s"]
    mail = Mail(
        10**18, B, MailKind.SUBSCRIBE, id=last.removeprefix("a/"), ref="s", result=ASKS_AGAIN
    )
    before = await bench.store.outbox(B, limit=0)
    await bench.store.receive(B, A, [mail])
    assert await bench.store.outbox(B, limit=0) == before
    await bench.store.unblock(B, limit=500)
    assert ending.ended_as is (await bench.store.outbox(B, limit=0))[-1].ended_as
    await relay(bench.store, B)
    assert {await state(bench, task_id) for task_id in ids} == {State.PENDING}
