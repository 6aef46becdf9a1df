"""Damaged members of a group: each goes to dead with a reason, and holds nobody up."""

from __future__ import annotations

import pytest

from rediq_trio.spec.carried import BatchEnvelope
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Due, Relations
from rediq_trio.spec.records import GroupRule
from tests.conformance.bench import Q
from tests.redis.conftest import Behind
from tests.stored import LONG

REASONS = {
    "records": "its record cannot be decoded",
    "payloads": "its payload is missing",
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("damaged", REASONS)
async def test_a_damaged_member_is_buried_and_the_others_are_batched(
    behind: Behind, damaged: str, place: int
) -> None:
    store = behind.bench.store
    ids = ["m0", "m1", "m2"]
    await behind.bench.add(
        *ids, relations=Relations(group="g"), expires_in_ms=10**10, envelope=LONG
    )
    await behind.raw("HDEL", damaged, ids[place])
    await store.set_group_rules(Q, rules={"g": GroupRule(3, 50, 90)})
    assert await store.batch(Q, ids=["x", "y"]) == Due(1, None)
    lost = ids.pop(place)
    batch = (await behind.bench.record("x")).envelope
    assert isinstance(batch, BatchEnvelope)
    assert [member.id for member in batch.members] == ids
    assert await behind.upkeep() == ["x"]
    assert await behind.died_of(lost) == REASONS[damaged]
    await behind.bench.check()


async def test_a_group_of_damaged_members_makes_no_batch_and_is_gone(behind: Behind) -> None:
    store = behind.bench.store
    await behind.bench.add("m0", "m1", relations=Relations(group="g"))
    await behind.raw("HSET", "records", "m0", b"junk", "m1", b"junk")
    await store.set_group_rules(Q, rules={"g": GroupRule(9, 50, 90)})
    assert await store.batch(Q, ids=["x", "y"]) == Due(0, None)
    assert await store.groups(Q, limit=5) == ()
    assert await behind.upkeep() == []
    assert await behind.bench.ids(State.DEAD) == ["m0", "m1"]
    await behind.bench.check()
