"""Every read of a store that a viewer causes, one call of each at its page size, and what it touches.

The figures of `reads` and `tests/redis/test_what_a_read_touches.py` are of these calls.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.history.entry import MAX_HISTORY
from rediq_trio.spec.history.logbook import Logbook
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Failed, NewTask, Relations
from rediq_trio.store.port import BATCH, Store
from rediq_trio.store.reads.scan import SCAN_STEP, Where
from rediq_trio.tasks.ids import new_id

QUEUE, DEAD = "viewed", "viewed-dead"
WORKFLOW = new_id()
PAGE = 50
"""Records that a page reads in one call."""


@attrs.frozen
class World:
    """A store with queues, and what to ask for."""

    store: Store
    pending: tuple[str, ...]
    """Ids of a page of tasks of `QUEUE`."""
    queues: tuple[str, ...]


Call = Callable[[World], Awaitable[object]]

VIEWED: Mapping[str, Call] = MappingProxyType({
    "description": lambda at: at.store.description(QUEUE, at.pending[0]),
    "failure_kinds": lambda at: at.store.failure_kinds(DEAD),
    "get": lambda at: at.store.get(QUEUE, at.pending),
    "groups": lambda at: at.store.groups(QUEUE, limit=PAGE),
    "history": lambda at: at.store.history(QUEUE, after=0, limit=PAGE),
    "limits": lambda at: at.store.limits(QUEUE),
    "list": lambda at: at.store.list(QUEUE, State.PENDING, limit=PAGE),
    "list, later": lambda at: at.store.list(
        QUEUE, State.PENDING, limit=PAGE, after=at.pending[-1]
    ),
    "logged": lambda at: at.store.logged(Logbook.AUDIT, limit=PAGE, newest=True),
    "outbox": lambda at: at.store.outbox(QUEUE, limit=PAGE),
    "overview": lambda at: at.store.overview(at.queues),
    "partitions": lambda at: at.store.partitions(),
    "queues": lambda at: at.store.queues(),
    "scan": lambda at: at.store.scan(QUEUE, State.PENDING, limit=PAGE),
    "scan, a page of the dead": lambda at: at.store.scan(
        DEAD, State.DEAD, limit=PAGE, newest=True
    ),
    "scan, a step of a search": lambda at: at.store.scan(
        DEAD, State.DEAD, limit=SCAN_STEP, newest=True, where=Where(error="not there")
    ),
    "scan, grouped": lambda at: at.store.scan(QUEUE, State.GROUPED, limit=PAGE),
    "series": lambda at: at.store.series(QUEUE, level=0, since_ms=0),
    "series_bytes": lambda at: at.store.series_bytes(QUEUE),
    "server_memory": lambda at: at.store.server_memory(),
    "situation": lambda at: at.store.situation(QUEUE, at.pending[0]),
    "states": lambda at: at.store.states(QUEUE, at.pending),
    "stats": lambda at: at.store.stats(QUEUE),
    "types": lambda at: at.store.types(QUEUE, since_ms=0),
    "with_schedules": lambda at: at.store.with_schedules(at.queues),
    "workers": lambda at: at.store.workers(),
    "workflow": lambda at: at.store.workflow(WORKFLOW),
    "workflows": lambda at: at.store.workflows(limit=PAGE, newest=True),
})  # fmt: skip
"""Each read, by the name of the store's method, with what is special about the call."""

NOT_VIEWED: Mapping[str, str] = MappingProxyType({
    "active_leases": "rediq check reads them in pages",
    "dump": "reads all of a queue, for tests and a replay",
    "key_report": "rediq check: scans keys in steps of its own",
    "targets": "rediq check reads them in pages",
    "totals": "rediq check reads them",
    "views": "rediq check reads what one of its pages is about",
})  # fmt: skip
"""Reads that no viewer causes, and who does."""


async def fill(store: Store, count: int, *, groups: int, limit_keys: int) -> World:
    """Put tasks in two queues: pending ones with and without limit keys, and grouped ones; dead ones.

    The first one keeps a history. The audit has as many lines as there are groups, and there are as
    many workflows.
    """
    await store.arrange(QUEUE, history=min(count, MAX_HISTORY))
    for n in range(groups):
        await store.log(Logbook.AUDIT, nonce=n.to_bytes(8, "big"), data=b"\x80")
        await store.keep_workflow(new_id() if n else WORKFLOW, b"\x80")
    ids: list[str] = []
    for first in range(0, count, BATCH):
        some = range(first, min(count, first + BATCH))
        tasks = [
            NewTask(
                new_id(),
                b"\x93\x01\xa4noop\xc0",
                relations=Relations(limit_key=f"k{n % limit_keys}" if n % 2 else ""),
            )
            for n in some
        ]
        await store.enqueue(QUEUE, tasks)
        ids += [task.id for task in tasks[: max(0, PAGE - len(ids))]]
    for first in range(0, groups, BATCH):
        await store.enqueue(QUEUE, [
            NewTask(new_id(), b"\x93\x01\xa4noop\xc0", relations=Relations(group=f"g{n}"))
            for n in range(first, min(groups, first + BATCH))
        ])  # fmt: skip
    await _bury(store, count)
    return World(store, tuple(ids), (QUEUE, DEAD))


async def _bury(store: Store, count: int) -> None:
    for first in range(0, count, BATCH):
        size = min(BATCH, count - first)
        await store.enqueue(DEAD, [NewTask(new_id(), b"\x93\x01\xa4noop\xc0") for _ in range(size)])
        claimed = await store.claim(
            DEAD, limit=size, lease_ms=10**7, worker="w", nonce=os.urandom(8)
        )
        failures = [
            Failed(lease.fence, "boom", 0, final=True, kind=f"k{n % 100}", sample=b"\x80")
            for n, lease in enumerate(claimed.leases)
        ]
        await store.settle(DEAD, failures)
