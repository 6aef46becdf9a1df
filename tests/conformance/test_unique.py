"""Unique keys: one task in the window, and what ends the window."""

from typing import Any

import attrs
import pytest

from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Answer,
    AnswerKind,
    Completed,
    Due,
    Relations,
    Released,
    Stopped,
    Until,
)
from rediq_trio.spec.records import Counters, Lock

from .bench import LEASE, START, Bench, Q, failed, new, snoozed

KEYED = Relations(unique="k")
REPLACING = Relations(unique="k", replace=True)
STARTED = Relations(unique="k", until=Until.STARTED)
BY_TIME = Relations(unique="k", until=Until.EXPIRED, ttl_ms=100)


async def offer(bench: Bench, task_id: str, relations: Relations = KEYED, **options: Any) -> object:
    """Enqueue a task, and give what became of it."""
    [answer] = await bench.store.enqueue(Q, [new(task_id, relations=relations, **options)])
    return answer


async def holder(bench: Bench, key: str = "k") -> str | None:
    """Give the task that a key names, whether or not its time has run out."""
    lock = (await bench.dump()).locks.get(key)
    return None if lock is None else lock.id


def taken(by: str) -> Answer:
    return Answer(AnswerKind.TAKEN, by)


# --- the window begins


async def test_a_task_takes_its_key(bench: Bench) -> None:
    assert await offer(bench, "t") is State.PENDING
    record = await bench.record()
    assert (record.unique, record.until, record.owns_unique_key) == ("k", Until.DONE, True)
    assert (await bench.dump()).locks == {"k": Lock("t")}


async def test_a_task_without_a_key_takes_none(bench: Bench) -> None:
    await bench.add("t", relations=Relations(limit_key="k"))
    assert (await bench.dump()).locks == {}


async def test_a_second_task_is_refused_and_told_who_holds_the_key(bench: Bench) -> None:
    await offer(bench, "t")
    before = await bench.dump()
    assert await offer(bench, "u", delay_ms=5) == taken("t")
    assert await bench.dump() == before


async def test_of_two_in_one_batch_the_first_takes_the_key(bench: Bench) -> None:
    tasks = [new("a", relations=KEYED), new("b", relations=KEYED), new("c")]
    answers = await bench.store.enqueue(Q, tasks)
    assert answers == (State.PENDING, taken("a"), State.PENDING)


async def test_an_id_that_exists_is_refused_for_its_id(bench: Bench) -> None:
    await offer(bench, "t")
    assert await offer(bench, "t") is None


async def test_tasks_of_other_keys_do_not_meet(bench: Bench) -> None:
    await offer(bench, "t")
    assert await offer(bench, "u", Relations(unique="K")) is State.PENDING
    assert await offer(bench, "v", Relations(unique="kk")) is State.PENDING
    assert await offer(bench, "w", Relations()) is State.PENDING


async def test_keys_of_other_queues_do_not_meet(bench: Bench) -> None:
    await offer(bench, "t")
    assert await bench.store.enqueue("other", [new("u", relations=KEYED)]) == (State.PENDING,)


@pytest.mark.parametrize("key", ["schlüssel", "a b", "*", "k" * 256])
async def test_a_key_is_any_text(bench: Bench, key: str) -> None:
    relations = Relations(unique=key)
    await offer(bench, "t", relations)
    assert await offer(bench, "u", relations) == taken("t")
    assert await holder(bench, key) == "t"


@pytest.mark.parametrize("relations", [KEYED, STARTED, BY_TIME], ids=["done", "started", "expired"])
@pytest.mark.parametrize("how", ["scheduled", "blocked", "grouped"])
async def test_a_task_that_waits_holds_its_key(
    bench: Bench, relations: Relations, how: str
) -> None:
    options: dict[str, Any] = {"scheduled": {"delay_ms": 5}}.get(how, {})
    relations = attrs.evolve(
        relations,
        needs_later=("later",) if how == "blocked" else (),
        group="g" if how == "grouped" else "",
    )
    assert await offer(bench, "t", relations, **options) is State(how)
    assert await offer(bench, "u") == taken("t")


# --- the end of the holder


async def end(bench: Bench, how: str) -> None:
    """End the task `t`, which is pending, in one way or another."""
    store = bench.store
    match how:
        case "cancel":
            await store.cancel(Q, "t")
        case "delete":
            await store.delete(Q, ["t"])
        case "flush":
            await store.flush(Q)
        case "expire":
            bench.clock.advance(10 * LEASE)
            await store.expire(Q, limit=5)
        case "a claim of the expired":
            bench.clock.advance(10 * LEASE)
            assert await bench.take() == []
        case _:
            await end_in_hand(bench, how)


async def end_in_hand(bench: Bench, how: str) -> None:
    store = bench.store
    [lease] = await bench.take()
    fence = lease.fence
    match how:
        case "complete":
            await store.settle(Q, [Completed(fence, b"r")])
        case "fail to dead":
            await store.settle(Q, [failed(fence, final=True)])
        case "stop":
            await store.cancel(Q, "t")
            await store.settle(Q, [Stopped(fence)])
        case "fail after a cancel":
            await store.cancel(Q, "t")
            await store.settle(Q, [failed(fence)])
        case "reclaim to dead":
            bench.clock.advance(LEASE)
            await store.reclaim(Q, limit=5)
        case _:
            raise AssertionError(how)


ENDS = (
    "complete", "fail to dead", "fail after a cancel", "stop", "reclaim to dead", "cancel",
    "delete", "flush", "expire", "a claim of the expired",
)  # fmt: skip
TAKEN_BACK = ("cancel", "stop", "fail after a cancel", "delete", "flush")
"""Ends that say that the task was not wanted: they end a window of time, too."""


@pytest.mark.parametrize("retention", [0, 1000])
@pytest.mark.parametrize("how", ENDS)
async def test_the_key_is_free_in_the_very_step_that_ends_its_holder(
    bench: Bench, how: str, retention: int
) -> None:
    await offer(bench, "t", expires_in_ms=5 * LEASE, max_crashes=0, retention_ms=retention)
    await end(bench, how)
    assert (await bench.dump()).locks == {}
    assert await offer(bench, "u") is State.PENDING
    assert await holder(bench) == "u"


@pytest.mark.parametrize("how", ENDS)
async def test_a_key_with_a_time_is_free_when_its_holder_ends_before(
    bench: Bench, how: str
) -> None:
    relations = attrs.evolve(KEYED, ttl_ms=10**9)
    await offer(bench, "t", relations, expires_in_ms=5 * LEASE, max_crashes=0)
    await end(bench, how)
    assert (await bench.dump()).locks == {}
    assert await offer(bench, "u") is State.PENDING
    assert (await bench.dump()).locks == {"k": Lock("u")}


@pytest.mark.parametrize("how", ENDS)
async def test_a_window_of_time_outlives_its_holder_unless_that_was_taken_back(
    bench: Bench, how: str
) -> None:
    relations = attrs.evolve(BY_TIME, ttl_ms=10**9)
    await offer(bench, "t", relations, expires_in_ms=5 * LEASE, max_crashes=0, retention_ms=0)
    await end(bench, how)
    answer = await offer(bench, "u")
    assert answer == (State.PENDING if how in TAKEN_BACK else taken("t"))


@pytest.mark.parametrize("back", ["fail", "release", "snooze", "reclaim"])
async def test_a_task_that_will_run_again_keeps_its_key(bench: Bench, back: str) -> None:
    fence = await bench.active(relations=KEYED)
    match back:
        case "fail":
            await bench.store.settle(Q, [failed(fence)])
        case "release":
            await bench.store.settle(Q, [Released(fence)])
        case "snooze":
            await bench.store.settle(Q, [snoozed(fence)])
        case _:
            bench.clock.advance(LEASE)
            await bench.store.reclaim(Q, limit=5)
    assert await offer(bench, "u") == taken("t")


async def test_a_task_in_hand_that_is_to_stop_keeps_its_key_until_it_has(bench: Bench) -> None:
    await bench.active(relations=KEYED)
    await bench.store.cancel(Q, "t")
    assert await offer(bench, "u") == taken("t")


async def test_the_end_of_another_task_frees_no_key(bench: Bench) -> None:
    await offer(bench, "t")
    for task_id, relations in [("u", Relations(unique="l")), ("v", Relations())]:
        await bench.add(task_id, relations=relations, priority=0)
        [lease] = await bench.take()
        await bench.store.settle(Q, [Completed(lease.fence, b"r")])
    await bench.store.delete(Q, ["u", "v"])
    assert await holder(bench) == "t"


async def test_a_stale_settlement_frees_no_key(bench: Bench) -> None:
    fence = await bench.active(relations=KEYED)
    await bench.store.settle(Q, [Released(fence)])
    await bench.take()
    assert await bench.store.settle(Q, [Completed(fence, b"r")]) == (None,)
    assert await holder(bench) == "t"


# --- until its first claim


async def test_a_window_until_the_start_is_over_with_the_first_claim(bench: Bench) -> None:
    await bench.active(relations=STARTED)
    record = await bench.record()
    assert (record.unique, record.owns_unique_key) == ("k", False)
    assert await offer(bench, "u", STARTED) is State.PENDING


async def test_a_window_until_the_start_does_not_begin_again_with_a_retry(bench: Bench) -> None:
    fence = await bench.active(relations=STARTED)
    await bench.store.settle(Q, [Released(fence)])
    assert await offer(bench, "u", STARTED) is State.PENDING
    assert await holder(bench) == "u"
    assert len(await bench.take(1)) == 1
    assert await holder(bench) == "u"


@pytest.mark.parametrize("how", ["cancel", "delete", "flush", "expire", "a claim of the expired"])
async def test_a_window_until_the_start_is_over_when_its_holder_never_starts(
    bench: Bench, how: str
) -> None:
    await offer(bench, "t", STARTED, expires_in_ms=5 * LEASE)
    await end(bench, how)
    assert await offer(bench, "u") is State.PENDING


@pytest.mark.parametrize("relations", [KEYED, BY_TIME], ids=["done", "expired"])
async def test_other_windows_outlive_the_first_claim(bench: Bench, relations: Relations) -> None:
    await bench.active(relations=relations)
    assert await offer(bench, "u") == taken("t")


# --- time


@pytest.mark.parametrize("until", Until)
async def test_a_window_with_a_time_is_over_at_its_instant_and_not_before(
    bench: Bench, until: Until
) -> None:
    await offer(bench, "t", Relations(unique="k", until=until, ttl_ms=100))
    assert (await bench.dump()).locks == {"k": Lock("t", START + 100)}
    bench.clock.advance(99)
    assert await offer(bench, "u") == taken("t")
    bench.clock.advance(1)
    assert await offer(bench, "u") is State.PENDING
    assert (await bench.dump()).locks == {"k": Lock("u")}


@pytest.mark.parametrize("how", ENDS)
async def test_the_end_of_a_holder_whose_time_ran_out_does_not_free_the_key_of_the_next(
    bench: Bench, how: str
) -> None:
    relations = attrs.evolve(KEYED, ttl_ms=100)
    await offer(bench, "t", relations, expires_in_ms=5 * LEASE, max_crashes=0)
    bench.clock.advance(100)
    assert await offer(bench, "u", delay_ms=10**9) is State.SCHEDULED
    await end(bench, how)
    assert await holder(bench) == (None if how == "flush" else "u")


async def test_a_window_of_time_outlives_completion_and_purge(bench: Bench) -> None:
    fence = await bench.active(relations=BY_TIME, retention_ms=10)
    await bench.store.settle(Q, [Completed(fence, b"r")])
    assert await offer(bench, "u") == taken("t")
    bench.clock.advance(10)
    assert (await purge(bench)).moved == 1
    assert await offer(bench, "u") == taken("t")
    bench.clock.advance(90)
    assert await offer(bench, "u") is State.PENDING


async def test_a_window_of_time_outlives_a_task_of_no_retention(bench: Bench) -> None:
    fence = await bench.active(relations=BY_TIME, retention_ms=0)
    await bench.store.settle(Q, [Completed(fence, b"r")])
    assert await bench.mentioned() == set()
    assert await offer(bench, "u") == taken("t")


async def purge(bench: Bench, limit: int = 100) -> Due:
    return await bench.store.purge(Q, limit=limit, dead_retention_ms=10**9, max_dead=100)


async def test_a_purge_forgets_keys_at_their_instant_and_tells_when_the_next_is_due(
    bench: Bench,
) -> None:
    await offer(bench, "t", BY_TIME)
    await offer(bench, "u", Relations(unique="l", ttl_ms=150))
    await offer(bench, "v", Relations(unique="m"))
    bench.clock.advance(99)
    assert await purge(bench) == Due(0, 1)
    bench.clock.advance(1)
    assert await purge(bench) == Due(0, 50)
    assert (await bench.dump()).locks == {"l": Lock("u", START + 150), "m": Lock("v")}
    bench.clock.advance(50)
    assert await purge(bench) == Due(0, None)
    assert (await bench.dump()).locks == {"m": Lock("v")}


async def test_a_purge_forgets_keys_in_bounded_batches(bench: Bench) -> None:
    for n in range(3):
        await offer(bench, f"t{n}", Relations(unique=f"k{n}", ttl_ms=10 + n))
    bench.clock.advance(20)
    assert await purge(bench, limit=2) == Due(0, 0)
    assert set((await bench.dump()).locks) == {"k2"}


async def test_a_key_whose_time_ran_out_leaves_its_holder_alone(bench: Bench) -> None:
    await offer(bench, "t", BY_TIME)
    before = await bench.record()
    bench.clock.advance(100)
    await purge(bench)
    assert await bench.record() == before


# --- replacing


async def test_a_pending_holder_is_replaced_and_keeps_its_place(bench: Bench) -> None:
    await bench.add("first")
    await offer(bench, "t", delay_ms=0, expires_in_ms=50, max_retry=9)
    await bench.add("last")
    before = await bench.record()
    bench.clock.advance(7)
    answer = await offer(bench, "u", REPLACING, max_retry=1, max_crashes=2, retention_ms=5)
    assert answer == Answer(AnswerKind.REPLACED, "t", State.PENDING)
    assert await bench.record() == attrs.evolve(
        before,
        envelope=b"envelope of u",
        max_retry=1,
        max_crashes=2,
        retention_ms=5,
        run_ms=START + 7,
        expires_ms=0,
    )
    assert await bench.ids(State.PENDING) == ["first", "t", "last"]
    assert (await bench.dump()).counters == Counters(enqueued=3)
    assert (await bench.store.get(Q, ["u"])) == (None,)


async def test_a_replacement_takes_its_own_priority(bench: Bench) -> None:
    await bench.add("first")
    await offer(bench, "t")
    await offer(bench, "u", REPLACING, priority=1)
    assert await bench.ids(State.PENDING) == ["t", "first"]


async def test_a_replacement_for_an_instant_that_has_passed_is_for_now(bench: Bench) -> None:
    await offer(bench, "t", delay_ms=5)
    answer = await offer(bench, "u", REPLACING, run_at_ms=START - 1)
    assert answer == Answer(AnswerKind.REPLACED, "t", State.PENDING)
    assert (await bench.record()).run_ms == START


async def test_the_run_of_a_scheduled_holder_is_pushed_back(bench: Bench) -> None:
    await offer(bench, "t", delay_ms=10)
    bench.clock.advance(5)
    answer = await offer(bench, "u", REPLACING, delay_ms=10)
    assert answer == Answer(AnswerKind.REPLACED, "t", State.SCHEDULED)
    assert (await bench.record()).run_ms == START + 15
    assert (await bench.dump()).seq == 1


async def test_a_scheduled_holder_that_is_to_run_now_stands_behind_the_ready(bench: Bench) -> None:
    await offer(bench, "t", delay_ms=10)
    await bench.add("first")
    answer = await offer(bench, "u", REPLACING)
    assert answer == Answer(AnswerKind.REPLACED, "t", State.PENDING)
    assert await bench.ids(State.PENDING) == ["first", "t"]


async def test_a_pending_holder_can_be_put_off(bench: Bench) -> None:
    await offer(bench, "t")
    answer = await offer(bench, "u", REPLACING, delay_ms=10)
    assert answer == Answer(AnswerKind.REPLACED, "t", State.SCHEDULED)
    assert await bench.take() == []


async def test_an_instant_that_has_passed_is_now_for_a_replacement_too(bench: Bench) -> None:
    await offer(bench, "t", delay_ms=10)
    bench.clock.advance(5)
    await offer(bench, "u", REPLACING, run_at_ms=START + 1)
    assert (await bench.record()).run_ms == START + 5


async def test_a_replacement_brings_its_own_expiry(bench: Bench) -> None:
    await offer(bench, "t", expires_in_ms=10)
    await offer(bench, "u", REPLACING, expires_in_ms=30)
    bench.clock.advance(10)
    assert await bench.store.expire(Q, limit=5) == Due(0, 20)
    await offer(bench, "v", REPLACING)
    bench.clock.advance(20)
    assert await bench.store.expire(Q, limit=5) == Due(0, None)


async def test_a_replacement_brings_its_own_window(bench: Bench) -> None:
    await offer(bench, "t", attrs.evolve(KEYED, ttl_ms=50))
    bench.clock.advance(20)
    await offer(bench, "u", attrs.evolve(REPLACING, until=Until.STARTED, ttl_ms=50))
    assert (await bench.dump()).locks == {"k": Lock("t", START + 70)}
    assert (await bench.record()).until is Until.STARTED
    await offer(bench, "v", REPLACING)
    assert (await bench.dump()).locks == {"k": Lock("t")}


async def test_a_replacement_brings_its_own_limit_key(bench: Bench) -> None:
    await offer(bench, "t", Relations(unique="k", limit_key="a"))
    await offer(bench, "u", Relations(unique="k", replace=True, limit_key="b"))
    assert (await bench.record()).limit_key == "b"
    assert set((await bench.dump()).turns) == {"b"}
    await offer(bench, "v", REPLACING)
    assert set((await bench.dump()).turns) == set()
    assert await bench.ids(State.PENDING) == ["t"]


async def test_a_replaced_task_runs_with_the_payload_of_the_last(bench: Bench) -> None:
    await offer(bench, "t")
    await offer(bench, "u", REPLACING)
    await offer(bench, "v", REPLACING)
    [lease] = await bench.take(5)
    assert (lease.fence.id, lease.envelope) == ("t", b"envelope of v")


async def test_a_holder_in_hand_is_not_replaced(bench: Bench) -> None:
    await bench.active(relations=KEYED)
    before = await bench.dump()
    assert await offer(bench, "u", REPLACING) == taken("t")
    assert await bench.dump() == before


@pytest.mark.parametrize("back", ["release", "fail", "snooze", "retried"])
async def test_a_holder_that_was_claimed_once_is_not_replaced(bench: Bench, back: str) -> None:
    fence = await bench.active(relations=KEYED)
    match back:
        case "release":
            await bench.store.settle(Q, [Released(fence)])
        case "snooze":
            await bench.store.settle(Q, [snoozed(fence)])
        case _:
            await bench.store.settle(Q, [failed(fence, delay_ms=0)])
            if back == "retried":
                await bench.store.promote(Q, limit=5)
    before = await bench.dump()
    assert await offer(bench, "u", REPLACING) == taken("t")
    assert await bench.dump() == before


@pytest.mark.parametrize(
    "relations", [{"needs_later": ("x",)}, {"group": "g"}], ids=["blocked", "grouped"]
)
async def test_a_holder_that_is_blocked_or_grouped_is_not_replaced(
    bench: Bench, relations: dict[str, Any]
) -> None:
    await offer(bench, "t", Relations(unique="k", **relations))
    assert await offer(bench, "u", REPLACING) == taken("t")


async def test_a_holder_that_has_ended_is_not_replaced(bench: Bench) -> None:
    fence = await bench.active(relations=BY_TIME)
    await bench.store.settle(Q, [Completed(fence, b"r")])
    assert await offer(bench, "u", REPLACING) == taken("t")


@pytest.mark.parametrize(
    "relations",
    [{"needs": ("other",)}, {"needs_later": ("x",)}, {"dependents": ("x",)}, {"group": "g"}],
    ids=["needs", "needs_later", "dependents", "group"],
)
async def test_a_task_that_is_tied_to_others_replaces_nobody(
    bench: Bench, relations: dict[str, Any]
) -> None:
    await bench.add("other")
    await offer(bench, "t")
    before = await bench.dump()
    assert await offer(bench, "u", attrs.evolve(REPLACING, **relations)) == taken("t")
    assert await bench.dump() == before


async def test_a_task_that_only_has_the_id_of_a_holder_that_is_gone_is_not_replaced(
    bench: Bench,
) -> None:
    fence = await bench.active(relations=BY_TIME, retention_ms=0)
    await bench.store.settle(Q, [Completed(fence, b"r")])
    await bench.add("t")
    before = await bench.record()
    assert await offer(bench, "u", REPLACING) == taken("t")
    assert await bench.record() == before
    await bench.store.delete(Q, ["t"])
    await bench.add("t", relations=Relations(unique="l"))
    assert await offer(bench, "u", REPLACING) == taken("t")


async def test_a_free_key_is_taken_by_one_that_would_replace(bench: Bench) -> None:
    assert await offer(bench, "u", REPLACING) is State.PENDING
    assert await holder(bench) == "u"


async def test_a_replaced_holder_frees_the_key_when_it_ends(bench: Bench) -> None:
    await offer(bench, "t")
    await offer(bench, "u", REPLACING)
    await end(bench, "complete")
    assert (await bench.dump()).locks == {}


# --- revival


@pytest.mark.parametrize("until", [Until.DONE, Until.STARTED])
@pytest.mark.parametrize("state", [State.DEAD, State.CANCELLED])
async def test_a_revived_task_takes_its_key_again(bench: Bench, state: State, until: Until) -> None:
    relations = Relations(unique="k", until=until, ttl_ms=100)
    await bench.ended("t", state, relations=relations)
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert (await bench.record()).owns_unique_key
    assert (await bench.dump()).locks == {"k": Lock("t")}
    assert await offer(bench, "u") == taken("t")


async def test_a_task_whose_key_has_another_holder_is_not_revived(bench: Bench) -> None:
    await bench.ended("t", State.DEAD, relations=KEYED)
    await offer(bench, "u")
    before = await bench.dump()
    assert await bench.store.revive(Q, ["t"]) == (State.DEAD,)
    assert await bench.dump() == before


async def test_of_two_that_are_revived_with_one_key_the_first_takes_it(bench: Bench) -> None:
    for task_id in "tu":
        await bench.ended(task_id, State.DEAD, relations=KEYED)
    assert await bench.store.revive(Q, ["t", "u"]) == (State.PENDING, State.DEAD)


async def test_a_task_is_revived_when_the_time_of_the_other_holder_has_run_out(
    bench: Bench,
) -> None:
    await bench.ended("t", State.DEAD, relations=KEYED)
    await offer(bench, "u", BY_TIME)
    bench.clock.advance(100)
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert await holder(bench) == "t"


async def test_a_window_of_time_does_not_begin_again_with_a_revival(bench: Bench) -> None:
    await bench.ended("t", State.CANCELLED, relations=BY_TIME)
    await offer(bench, "u")
    assert await bench.store.revive(Q, ["t"]) == (State.PENDING,)
    assert await holder(bench) == "u"


async def test_a_revived_task_frees_its_key_when_it_ends_again(bench: Bench) -> None:
    await bench.ended("t", State.DEAD, relations=KEYED)
    await bench.store.revive(Q, ["t"])
    await end(bench, "complete")
    assert (await bench.dump()).locks == {}


async def test_the_time_of_a_key_that_is_free_again_keeps_no_keeper_waiting(bench: Bench) -> None:
    fence = await bench.active(retention_ms=0, relations=Relations(unique="k", ttl_ms=50))
    await bench.store.settle(Q, [Completed(fence, b"r")])
    due = await bench.store.purge(Q, limit=5, dead_retention_ms=1, max_dead=1)
    assert due == Due(0, None)


async def test_the_view_of_a_task_names_the_holder_of_its_key(bench: Bench) -> None:
    fence = await bench.active("old", relations=Relations(unique="k"))
    await bench.store.settle(Q, [Completed(fence, b"r")])
    await bench.add("new", relations=Relations(unique="k"))
    await bench.add("plain")
    views = await bench.task_views("old", "new", "plain")
    assert [view.holder for view in views] == ["new", "new", None]
