"""Who moves a task to dead hears of the tasks that die because they need it."""

from typing import Any

import attrs
import pytest
import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Cancelling, Completed, Death, Relations
from rediq_trio.spec.records import PROPAGATED_AT_ONCE
from rediq_trio.spec.stored_format import ENDED_AS
from rediq_trio.store.patient import with_patience
from rediq_trio.store.port import Store
from rediq_trio.store.reads.lost_deaths import DEAD_LOOKED_AT_MAX, find_lost_deaths
from rediq_trio.store.relay import relay_some

from .bench import LEASE, Bench, Q, failed, new

OTHER = "other"
NEEDED = "the task {} that it needs {}"


async def dependents(bench: Bench, *ids: str, needs: str = "s", **options: Any) -> None:
    await bench.add(*ids, relations=Relations(needs=(needs,), **options))


def deaths(*ids: str, ref: str = "s", how: str = "is dead") -> tuple[Death, ...]:
    return tuple(Death(each, 0, NEEDED.format(ref, how)) for each in ids)


async def test_the_settlement_of_a_failure_answers_them_through_any_depth(bench: Bench) -> None:
    fence = await bench.active("s")
    await dependents(bench, "t", "u")
    await dependents(bench, "lenient", run_on_dependency_failure=True)
    await dependents(bench, "v", needs="t")
    settled = await bench.store.settle(Q, [failed(fence, final=True)])
    assert settled == (State.DEAD,)
    assert settled.deaths == (*deaths("t", "u"), *deaths("v", ref="t"))


async def test_a_settlement_of_several_answers_all_after_their_states(bench: Bench) -> None:
    fences = [await bench.active(one) for one in ("s", "other", "third")]
    await dependents(bench, "t")
    await dependents(bench, "u", needs="third")
    first, second, third = fences
    outcomes = [failed(first, final=True), Completed(second, b"\x01"), failed(third, final=True)]
    settled = await bench.store.settle(Q, outcomes)
    assert settled == (State.DEAD, State.COMPLETED, State.DEAD)
    assert settled.deaths == (*deaths("t"), *deaths("u", ref="third"))


async def test_a_settlement_without_such_deaths_answers_none(bench: Bench) -> None:
    fence = await bench.active("s")
    await dependents(bench, "t")
    settled = await bench.store.settle(Q, [Completed(fence, b"\x01")])
    assert (settled, settled.deaths) == ((State.COMPLETED,), ())


async def test_a_claim_and_an_expiry_answer_them_after_those_that_expired(bench: Bench) -> None:
    await bench.add("s", expires_in_ms=5)
    await dependents(bench, "t")
    await bench.add("late", delay_ms=LEASE, expires_in_ms=5)
    await dependents(bench, "u", needs="late")
    bench.clock.advance(10)
    claimed = await bench.store.claim(Q, limit=5, lease_ms=LEASE, worker="w", nonce=b"12345678")
    assert claimed.deaths == (Death("s", 0, "expired"), *deaths("t"))
    expired = await bench.store.expire(Q, limit=5)
    assert expired.deaths == (Death("late", 0, "expired"), *deaths("u", ref="late"))


async def test_a_reclaim_answers_them_after_those_whose_workers_died(bench: Bench) -> None:
    await bench.active("s", max_crashes=0)
    await dependents(bench, "t")
    bench.clock.advance(LEASE)
    due = await bench.store.reclaim(Q, limit=5)
    assert [each.id for each in due.deaths] == ["s", "t"]
    assert due.deaths[1:] == deaths("t")


async def test_a_cancel_and_a_delete_answer_them_after_their_states(bench: Bench) -> None:
    await bench.add("s", "lone", "gone")
    await dependents(bench, "t", "u")
    await dependents(bench, "lenient", run_on_dependency_failure=True)
    await dependents(bench, "v", needs="t")
    await dependents(bench, "w", needs="gone")
    assert await bench.store.cancel(Q, "lone") == Cancelling(State.CANCELLED)
    died = (*deaths("t", "u", how="was cancelled"), *deaths("v", ref="t"))
    assert await bench.store.cancel(Q, "s") == Cancelling(State.CANCELLED, died)
    assert await bench.store.cancel(Q, "s") == Cancelling(State.CANCELLED)
    deleted = await bench.store.delete(Q, ["s", "nobody", "gone", "lone"])
    assert deleted == (State.CANCELLED, None, State.PENDING, State.CANCELLED)
    assert deleted.deaths == deaths("w", ref="gone", how="is gone")
    assert (await bench.store.delete(Q, ["s"])).deaths == ()


async def test_unblocking_answers_those_that_were_left(bench: Bench) -> None:
    fence = await bench.active("s")
    ids = [f"t{n:03}" for n in range(PROPAGATED_AT_ONCE + 2)]
    await dependents(bench, *ids)
    settled = await bench.store.settle(Q, [failed(fence, final=True)])
    due = await bench.store.unblock(Q, limit=1)
    last = await bench.store.unblock(Q, limit=5)
    assert (due.moved, due.next_in_ms, last.moved, last.next_in_ms) == (1, 0, 1, None)
    assert (*settled.deaths, *due.deaths, *last.deaths) == deaths(*ids)


@pytest.mark.parametrize("carried", [False, True])
async def test_who_carries_the_message_hears_of_those_of_another_queue(
    bench: Bench, *, carried: bool
) -> None:
    fence = await bench.active("s")
    waiting = attrs.evolve(new("t"), relations=Relations(needs=(f"{Q}/s",)))
    await bench.store.enqueue(OTHER, [waiting])
    await relay_some(bench.store, OTHER)
    await bench.store.settle(Q, [failed(fence, final=True)])
    found: list[tuple[str, tuple[Death, ...]]] = []
    if carried:
        await relay_some(bench.store, Q, report_deaths=lambda q, d: found.append((q, tuple(d))))
    else:
        received = await bench.store.receive(OTHER, Q, await bench.store.outbox(Q, limit=5))
        found.append((OTHER, received.deaths))
    assert found == [(OTHER, deaths("t", ref=f"{Q}/s"))]


class FirstAnswerLost:
    """A store that carries out its first call, and loses the answer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = await method(*args, **kwargs)
            if not self._lost:
                self._lost = True
                raise ConnectionLost("the answer was lost", sent=True)
            return answer

        return call


def losing(bench: Bench) -> Store:
    """Return the store, patient, with the answer to its next call lost."""
    lossy: Any = FirstAnswerLost(bench.store)
    return with_patience(lossy, 15)


async def test_a_cancel_whose_answer_was_lost_answers_them_when_it_is_repeated(
    bench: Bench,
) -> None:
    await bench.add("s", "other")
    await dependents(bench, "t", "u")
    await dependents(bench, "lenient", run_on_dependency_failure=True)
    await dependents(bench, "v", needs="t")
    await dependents(bench, "w", needs="other")
    await bench.store.cancel(Q, "other")
    died = (*deaths("t", "u", how="was cancelled"), *deaths("v", ref="t"))
    assert await losing(bench).cancel(Q, "s") == Cancelling(State.CANCELLED, died)
    assert await losing(bench).cancel(Q, "lenient") == Cancelling(State.CANCELLED)


async def test_a_delete_whose_answer_was_lost_answers_them_when_it_is_repeated(
    bench: Bench,
) -> None:
    await bench.add("s", "kept")
    await dependents(bench, "before")
    assert await bench.store.delete(Q, ["s"]) == (State.PENDING,)
    bench.clock.advance(60_000)
    await bench.add("s", "gone")
    await dependents(bench, "t")
    await dependents(bench, "u", needs="gone")
    await dependents(bench, "v", needs="kept")
    deleted = await losing(bench).delete(Q, ["s", "gone", "v"])
    assert deleted == (State.DEAD, State.DEAD, State.DEAD)
    assert deleted.deaths == (*deaths("t", how="is gone"), *deaths("u", ref="gone", how="is gone"))


async def test_messages_whose_answer_was_lost_answer_them_when_they_are_repeated(
    bench: Bench,
) -> None:
    fence = await bench.active("s")
    for queue, needs in ((OTHER, f"{Q}/s"), (OTHER, "t")):
        name = "t" if needs == f"{Q}/s" else "u"
        await bench.store.enqueue(
            queue, [attrs.evolve(new(name), relations=Relations(needs=(needs,)))]
        )
    await relay_some(bench.store, OTHER)
    await bench.store.settle(Q, [failed(fence, final=True)])
    mail = await bench.store.outbox(Q, limit=5)
    received = await losing(bench).receive(OTHER, Q, mail)
    assert received.deaths == (*deaths("t", ref=f"{Q}/s"), *deaths("u", ref="t"))
    await bench.store.acknowledge(Q, mail[-1].seq)
    bench.clock.advance(60_000)
    far = attrs.evolve(new("far"), relations=Relations(queue=OTHER, needs=("t",)))
    await bench.store.enqueue(Q, [far])
    mail = await bench.store.outbox(Q, limit=5)
    received = await losing(bench).receive(OTHER, Q, mail)
    assert received.deaths == deaths("far", ref="t")


async def test_of_many_deaths_those_since_the_call_began_are_found(bench: Bench) -> None:
    await bench.add("s", "old")
    await dependents(bench, *(f"o{n:03}" for n in range(10)), needs="old")
    await bench.store.cancel(Q, "old")
    bench.clock.advance(60_000)
    ids = [f"t{n:03}" for n in range(400)]
    await dependents(bench, *ids)
    answer = await losing(bench).cancel(Q, "s")
    assert answer.deaths == deaths(*ids, how="was cancelled")
    ended = [("s", state) for state in ENDED_AS]
    since_long_ago = trio.current_time() - 3600
    assert await find_lost_deaths(bench.store, Q, ended, since_long_ago) == answer.deaths
    assert DEAD_LOOKED_AT_MAX >= 2 * PROPAGATED_AT_ONCE
