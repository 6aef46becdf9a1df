from __future__ import annotations

import pytest
import trio
import trio.testing

from rediq_trio.spec.messages import Relations
from rediq_trio.spec.records import GroupRule
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.worker.keeping.batcher import Batcher
from tests.actors.parts import Q, Watched, new_task

pytestmark = pytest.mark.mock_clock

RULE = GroupRule(5, 60_000, 60_000)


async def _rules(store: Watched) -> dict[str, GroupRule | None]:
    return {group.name: group.rule for group in await store.groups(Q, limit=10, start=0)}


async def test_a_group_that_is_signalled_while_rules_are_set_has_its_rule_after_the_next_step() -> (
    None
):
    store = Watched()
    batcher = Batcher(store, Q, {"a": RULE, "b": RULE})
    await batcher.step()  # the scan: there is nothing yet
    for name in "ab":
        await store.enqueue(Q, [new_task(relations=Relations(group=name))])
    batcher.handle_signal(Signal(Q, SignalKind.GROUP, "a"))
    store.delay = lambda name: 1.0 if name == "set_group_rules" else 0.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.step)
        await trio.testing.wait_all_tasks_blocked()
        batcher.handle_signal(Signal(Q, SignalKind.GROUP, "b"))
    await batcher.step()
    assert await _rules(store) == {"a": RULE, "b": RULE}


async def test_a_resync_makes_it_look_for_groups_at_once() -> None:
    store = Watched()
    batcher = Batcher(store, Q, {"a": RULE})
    await batcher.step()
    await store.enqueue(Q, [new_task(relations=Relations(group="a"))])
    await batcher.step()
    assert await _rules(store) == {"a": None}
    batcher.handle_signal(Signal(Q, SignalKind.RESYNC))
    await batcher.step()
    assert await _rules(store) == {"a": RULE}
