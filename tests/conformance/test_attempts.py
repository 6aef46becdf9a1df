"""What is kept of the attempts that did not complete their task."""

from __future__ import annotations

import pytest

from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, Failed, Fence, Outcome, Released, Snoozed, Stopped
from rediq_trio.spec.records import ATTEMPTS_KEPT

from .bench import LEASE, START, Bench, Q, new

DETAIL = b"\x00 what \xff"


def failed(fence: Fence, detail: bytes = DETAIL, *, final: bool = False) -> Failed:
    return Failed(fence, "boom", 0, final, detail=detail)


async def kept(bench: Bench, task_id: str = "t") -> list[StoredAttempt]:
    return list((await bench.record(task_id)).attempts)


async def again(bench: Bench) -> Fence:
    """Claim the one task that is due."""
    await bench.store.promote(Q, limit=1)
    [lease] = await bench.take()
    return lease.fence


@pytest.mark.parametrize(
    ("kind", "transition"),
    [
        (failed, "fail"),
        (lambda fence: failed(fence, final=True), "fail"),
        (lambda fence: Snoozed(fence, 9, DETAIL), "snooze"),
        (lambda fence: Released(fence, DETAIL), "release"),
    ],
)
async def test_an_attempt_that_did_not_complete_its_task_leaves_a_record(
    bench: Bench, kind: type[Released], transition: str
) -> None:
    fence = await bench.active()
    bench.clock.advance(7)
    await bench.store.settle(Q, [kind(fence)])
    assert await kept(bench) == [
        StoredAttempt(1, 1, "w", START, START + 7, transition, DETAIL),
    ]


async def test_a_lease_that_ran_out_leaves_a_record_of_a_crash(bench: Bench) -> None:
    await bench.active(max_crashes=1)
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=1)
    first = StoredAttempt(1, 1, "w", START, START + LEASE, "reclaim")
    assert await kept(bench) == [first]
    await again(bench)
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=1)
    second = StoredAttempt(1, 2, "w", START + LEASE, START + 2 * LEASE, "reclaim")
    assert await kept(bench) == [first, second]
    assert (await bench.record()).state is State.DEAD


@pytest.mark.parametrize(
    "kind", [Released, lambda fence: Snoozed(fence, 9), lambda fence: failed(fence, b"")]
)
async def test_an_outcome_without_a_detail_leaves_no_record(
    bench: Bench, kind: type[Released]
) -> None:
    await bench.store.settle(Q, [kind(await bench.active())])
    assert await kept(bench) == []


async def test_an_attempt_that_was_stopped_leaves_no_record(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.cancel(Q, "t")
    await bench.store.settle(Q, [Stopped(fence)])
    assert await kept(bench) == []


async def test_a_failure_after_a_cancel_leaves_a_record(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.cancel(Q, "t")
    assert await bench.store.settle(Q, [failed(fence)]) == (State.CANCELLED,)
    assert [one.transition for one in await kept(bench)] == ["fail"]


async def test_the_last_ten_attempts_are_kept_oldest_first(bench: Bench) -> None:
    fence = await bench.active(max_retry=20)
    for number in range(ATTEMPTS_KEPT + 2):
        await bench.store.settle(Q, [failed(fence, bytes([number + 1]))])
        fence = await again(bench)
    numbers = range(3, ATTEMPTS_KEPT + 3)
    assert [(one.number, one.delivery, one.detail) for one in await kept(bench)] == [
        (number, number, bytes([number])) for number in numbers
    ]


async def test_details_that_repeat_are_kept_for_each_attempt(bench: Bench) -> None:
    fence = await bench.active(max_retry=40, max_crashes=40)
    details = [b"a", b"a", b"", b"a", b"a", b"a", b"b", b"a", b"a", *[b"c"] * ATTEMPTS_KEPT]
    for number, detail in enumerate(details, 1):
        if detail:
            await bench.store.settle(Q, [failed(fence, detail)])
        else:
            bench.clock.advance(LEASE)
            await bench.store.reclaim(Q, limit=1)
        found = [one.detail for one in await kept(bench)]
        assert found == details[:number][-ATTEMPTS_KEPT:]
        fence = await again(bench)


async def test_a_settlement_that_comes_twice_leaves_one_record(bench: Bench) -> None:
    fence = await bench.active()
    await bench.store.settle(Q, [failed(fence), failed(fence)])
    await bench.store.settle(Q, [failed(fence)])
    assert len(await kept(bench)) == 1


async def test_a_stale_settlement_leaves_no_record(bench: Bench) -> None:
    fence = await bench.active()
    bench.clock.advance(LEASE)
    await bench.store.reclaim(Q, limit=1)
    assert await bench.store.settle(Q, [failed(fence)]) == (None,)
    assert [one.transition for one in await kept(bench)] == ["reclaim"]


async def test_each_outcome_of_a_batch_has_the_detail_of_its_own(bench: Bench) -> None:
    await bench.add("a", "b", "c", "d")
    a, b, c, d = [lease.fence for lease in await bench.take(4)]
    outcomes: list[Outcome] = [
        Completed(a, b"r", retention_ms=9), failed(b, b"of b"), failed(c, b""), Released(d, b"of d"),
    ]  # fmt: skip
    await bench.store.settle(Q, outcomes)
    found = {task_id: [one.detail for one in await kept(bench, task_id)] for task_id in "abcd"}
    assert found == {"a": [], "b": [b"of b"], "c": [], "d": [b"of d"]}


async def test_a_completed_task_keeps_its_attempts_until_it_is_purged(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active(retention_ms=5))])
    await bench.store.settle(Q, [Completed(await again(bench), b"r")])
    assert [one.detail for one in await kept(bench)] == [DETAIL]
    bench.clock.advance(5)
    await bench.store.purge(Q, limit=1, dead_retention_ms=1, max_dead=0)
    await gone(bench)


async def gone(bench: Bench) -> None:
    """Check that nothing is left of the task: a new one of its id has no attempts."""
    assert "t" not in await bench.mentioned()
    await bench.active()
    assert await kept(bench) == []


async def test_a_task_that_completes_without_retention_leaves_no_attempts(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active(retention_ms=0))])
    await bench.store.settle(Q, [Completed(await again(bench), b"r")])
    await gone(bench)


async def test_what_succeeds_a_task_has_no_attempts_of_it(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active())])
    fence = await again(bench)
    await bench.store.settle(Q, [Completed(fence, b"r", (new("t"),))])
    assert await kept(bench) == []


@pytest.mark.parametrize("how", ["delete", "purge", "flush"])
async def test_attempts_go_with_their_task(bench: Bench, how: str) -> None:
    await bench.store.settle(Q, [failed(await bench.active(), final=True)])
    if how == "delete":
        await bench.store.delete(Q, ["t"])
    elif how == "purge":
        await bench.store.purge(Q, limit=1, dead_retention_ms=1, max_dead=0)
    else:
        await bench.store.flush(Q)
    await gone(bench)


async def test_a_revived_task_keeps_its_attempts(bench: Bench) -> None:
    await bench.store.settle(Q, [failed(await bench.active(), final=True)])
    await bench.store.revive(Q, ["t"])
    await bench.store.settle(Q, [failed(await again(bench))])
    assert [(one.number, one.delivery) for one in await kept(bench)] == [(1, 1), (1, 2)]
