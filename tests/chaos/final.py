"""The end of a run: all is drained, and what the queues say then is written down."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import trio

import rediq_trio as rediq
from rediq_trio.schedules.declare import SCHEDULE_METADATA, TICK_METADATA
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.opening import open_store
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.task_info import make_task_info
from tests.chaos.ground import Ground
from tests.chaos.kinds import ORIGIN, QUEUES, SCHEDULES
from tests.chaos.observe import Observer

DRAIN_WITHIN = 90.0
"""Seconds in which everything has to end."""
WAITING = ("scheduled", "blocked", "grouped", "pending", "active", "retry")


async def drain(ground: Ground) -> dict[str, int]:
    """Wait until no task waits or runs; return the tasks that are left when that takes too long."""
    left: dict[str, int] = {}
    async with rediq.connect(ground.url) as client:
        await pause_schedules(client)
        with trio.move_on_after(DRAIN_WITHIN):
            while True:
                left = await _left(client)
                if not left:
                    return {}
                await trio.sleep(0.2)
    return left


async def pause_schedules(client: rediq.Client) -> None:
    """Pause all schedules."""
    for name in SCHEDULES:
        try:
            await client.schedules().pause(name)
        except rediq.ScheduleNotFound:
            pass  # no worker has come up to declare it


async def _left(client: rediq.Client) -> dict[str, int]:
    left: dict[str, int] = {}
    for name in QUEUES:
        stats = await client.queue(name).stats()
        for state in WAITING:
            if count := getattr(stats, state):
                left[f"{name}: {state}"] = count
    return left


async def dump(ground: Ground) -> int:
    """Write the state of every task and queue to `final.jsonl`; return how many tasks there are."""
    observer = Observer(ground.folder, "final")
    count = 0
    async with open_store(ground.url) as store:
        client = rediq.Client(store)
        for name in QUEUES:
            for state in State:
                count += await _dump_state(store, observer, name, state)
            queue = client.queue(name)
            stats = attrs.asdict(await queue.stats())
            violations = [attrs.asdict(one) for one in await queue.check()]
            observer.note("queue", name=name, counters=stats, violations=violations)
    observer.close()
    return count


async def _dump_state(store: Store, observer: Observer, place: str, state: State) -> int:
    count = 0
    after: str | None = None
    while ids := await store.list(place, state, limit=BATCH, after=after):
        after = ids[-1]
        await _dump_tasks(store, observer, place, ids)
        count += len(ids)
    return count


async def _dump_tasks(store: Store, observer: Observer, place: str, ids: Sequence[str]) -> None:
    for record in await store.get(place, ids):
        if record is None:
            continue
        info = make_task_info(place, record)
        observer.note(
            "task",
            id=info.id,
            type=info.type,
            state=str(info.state),
            attempt=info.attempt,
            deliveries=info.deliveries,
            crashes=info.crashes,
            snoozes=record.snoozes,
            created_ms=record.created_ms,
            run_ms=record.run_ms,
            started_ms=record.started_ms,
            finished_ms=record.finished_ms,
            error=info.error,
            members=list(info.members) or None,
            schedule=info.metadata.get(SCHEDULE_METADATA),
            origin=info.metadata.get(ORIGIN),
            tick=info.metadata.get(TICK_METADATA),
        )
