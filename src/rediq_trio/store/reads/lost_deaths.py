"""Which tasks died by a call whose answer was lost: read afterwards from what is dead.

A call answers which tasks died because of one that it ended, and its caller logs them. A repetition
finds the task ended already, so it answers none. But a dead task keeps its reason, which names the one
that it needed, and the instant of its death. The deaths since the call began whose reasons lead back to
what it ended are those that it would have answered.

Someone who ends the same task in the same seconds may answer the same deaths: then both log them.
"""

from __future__ import annotations

from collections.abc import Iterable

import trio

from rediq_trio.spec.change import death_of
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Death
from rediq_trio.spec.records import Record
from rediq_trio.spec.stored_format import ENDED_AS, NEED_FAILED
from rediq_trio.store.port import Store
from rediq_trio.store.reads.scan import SCAN_STEP, Where

DEAD_LOOKED_AT_MAX = 20 * SCAN_STEP
"""Dead tasks that are looked at, the newest first, at most."""


async def find_lost_deaths(
    store: Store, queue: str, ended: Iterable[tuple[str, State | None]], began: float
) -> tuple[Death, ...]:
    """Return the tasks of a queue that died because others ended, oldest first.

    `ended` has those others: the reference, and the state, None for one that is gone. Deaths before
    `began`, a time of Trio's clock, are left out.
    """
    recent = await _dead_since(store, queue, began)
    causes = {NEED_FAILED % (ref, ENDED_AS[state]) for ref, state in ended}
    found: list[Death] = []
    left = recent
    while left:
        died = [record for record in left if record.error in causes]
        if not died:
            break
        found += map(death_of, died)
        left = [record for record in left if record.error not in causes]
        causes = {NEED_FAILED % (record.id, ENDED_AS[State.DEAD]) for record in died}
    return tuple(found)


async def _dead_since(store: Store, queue: str, began: float) -> list[Record]:
    found: list[Record] = []
    after, looked_at = None, 0
    where = Where(error=NEED_FAILED.partition("%s")[0])
    while looked_at < DEAD_LOOKED_AT_MAX:
        step = await store.scan(
            queue, State.DEAD, limit=SCAN_STEP, after=after, newest=True, where=where
        )
        if not where.since_ms:
            since = step.now_ms - round((trio.current_time() - began) * 1000) - 1
            where = Where(error=where.error, since_ms=max(1, since))
        found += (record for record in step.records if record.finished_ms >= where.since_ms)
        after, looked_at = step.last, looked_at + step.looked_at
        if step.over or after is None or after.score < where.since_ms:
            break
    return found[::-1]
