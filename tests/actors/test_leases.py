from __future__ import annotations

import pytest
import trio

from rediq_trio.worker.leases import LeaseTable, Reason, margin
from tests.actors.parts import LEASE, Q, Watched, claim, new_task, record

pytestmark = pytest.mark.mock_clock


async def _claimed_again(lease_table: LeaseTable) -> Watched:
    """Claim the same task twice for one worker: its first lease has expired in between."""
    store = Watched()
    await store.enqueue(Q, [new_task(id="t")])
    await claim(store, lease_table)
    await trio.sleep(LEASE + 1)
    await store.reclaim(Q, limit=10)
    return store


async def test_a_task_that_is_claimed_again_cancels_its_old_attempt() -> None:
    lease_table = LeaseTable()
    store = await _claimed_again(lease_table)
    (old,) = lease_table
    with old.open_scope(1000.0):
        (new,) = await claim(store, lease_table)
        await trio.sleep_forever()
    assert (old.reason, new.reason) == (Reason.LEASE_LOST, None)
    assert lease_table.get(Q, "t") is new


async def test_the_end_of_an_old_attempt_leaves_the_newer_lease() -> None:
    lease_table = LeaseTable()
    store = await _claimed_again(lease_table)
    (old,) = lease_table
    (new,) = await claim(store, lease_table)
    lease_table.drop(old)
    assert [*lease_table] == [new]
    lease_table.drop(new)
    assert len(lease_table) == 0


async def test_a_lease_is_safe_until_its_margin_before_the_stores_end_however_late_the_answer() -> (
    None
):
    store, lease_table = Watched(), LeaseTable()
    store.delay = lambda name: 3.0 if name == "claim" else 0.0
    await store.enqueue(Q, [new_task(id="t")])
    (held,) = await claim(store, lease_table)
    ends = held.trio_time((await record(store, "t")).lease_ms)
    assert held.safe_until == pytest.approx(ends - margin(LEASE), abs=0.01)
    assert lease_table.next_expiry() == held.safe_until


async def test_a_lost_lease_does_not_expire_once_more() -> None:
    store, lease_table = Watched(), LeaseTable()
    await store.enqueue(Q, [new_task(), new_task()])
    first, second = await claim(store, lease_table)
    second.safe_until += 5
    first.cancel(Reason.LEASE_LOST)
    assert lease_table.next_expiry() == second.safe_until


async def test_an_attempt_that_is_cancelled_before_it_starts_ends_at_once() -> None:
    store, lease_table = Watched(), LeaseTable()
    await store.enqueue(Q, [new_task()])
    (held,) = await claim(store, lease_table)
    held.cancel(Reason.CANCELLED)
    with held.open_scope(1000.0) as scope:
        await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 0
