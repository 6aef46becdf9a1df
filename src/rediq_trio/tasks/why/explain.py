"""Why a task waits: one consistent read of its queue, and what is read right after.

The parts about the task and its queue are of one instant. Workers, the rate of the last minute and
the states of tasks in other queues come from reads of their own, so those parts carry theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rediq_trio._errors import TaskNotFound
from rediq_trio.spec.ids import split_ref
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.store.port import Store
from rediq_trio.store.reads.description import NEEDS_READ
from rediq_trio.store.reads.situation import Situation
from rediq_trio.tasks.described_info import make_described_info
from rediq_trio.tasks.for_each import call_each
from rediq_trio.tasks.task_info import UNREADABLE_TEXT, read_worker_infos
from rediq_trio.tasks.why.part_makers import (
    NAMED_TASKS_MAX,
    QUOTED_MAX,
    PartMaker,
    own_parts,
    starts_before,
)
from rediq_trio.tasks.why.recent_rate import RATE_SINCE_MS, recent_rate
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.observed.why import Why, WhyKind, WhyPart
from rediq_trio.values.task import TaskInfo, WorkerInfo
from rediq_trio.values.words import counted, duration, shown

_RANK = {kind: rank for rank, kind in enumerate(WhyKind)}
_NO_START = frozenset({
    WhyKind.PAUSED, WhyKind.UNSERVED, WhyKind.NOT_CLAIMING, WhyKind.UNKNOWN_TYPE, WhyKind.LIMIT,
    WhyKind.NEWER_FIRST,
})  # fmt: skip
"""What must end before the rate of the last minute says anything."""


async def explain(store: Store, partition: str, local_id: str) -> Why:
    """Find out why a task waits, or how it ended; raise `TaskNotFound`."""
    found = await store.situation(partition, local_id)
    if found is None:
        raise TaskNotFound(f"{partition}/{local_id}")
    described = found.description
    info = None if described is None else make_described_info(partition, described)
    parts = [*own_parts(partition, found, info)]
    if found.state in WAITING:
        workers = read_worker_infos(await store.workers())
        # Read last, as this also says at what instant the workers were there.
        read = await store.series(partition, level=0, since_ms=RATE_SINCE_MS)
        maker = PartMaker(read.now_ms)
        parts += _worker_parts(maker, queue_of(partition), workers, found, info)
        held = any(part.kind in _NO_START for part in parts)
        if found.state is State.PENDING and described is not None and not held:
            parts += _estimates(maker, found, recent_rate(read))
    if found.state is State.BLOCKED and described is not None:
        parts += await _elsewhere(store, [ref for ref, _ in described.needs])
    parts.sort(key=lambda part: _RANK[part.kind])
    task_id = f"{partition}/{local_id}"
    clauses = "; ".join(part.sentence for part in parts)
    return Why(
        task_id=task_id,
        state=found.state,
        sentence=f"{task_id} is {found.state}: {clauses}.",
        parts=tuple(parts),
    )


def _worker_parts(
    maker: PartMaker,
    queue: str,
    workers: Sequence[WorkerInfo],
    found: Situation,
    info: TaskInfo | None,
) -> Iterator[WhyPart]:
    serving = [worker for worker in workers if queue in worker.queues]
    claiming = [worker for worker in serving if worker.state in (None, "working")]
    if not serving:
        text = f"no live worker serves the queue {queue}"
        yield maker.make(WhyKind.UNSERVED, text, queue=queue)
        return
    if not claiming:
        states = dict(sorted(Counter(str(worker.state) for worker in serving).items()))
        each = ", ".join(f"{number} {state}" for state, number in states.items())
        text = (
            f"{counted(len(serving), 'live worker')} of the queue {queue}, and none claims: {each}"
        )
        yield maker.make(WhyKind.NOT_CLAIMING, text, queue=queue, states=states)
        return
    # An aggregator takes a batch, whatever its type.
    asked = info is not None and not info.members and info.type != UNREADABLE_TEXT
    kind = info.type if info is not None and asked else None
    sure = sum(kind in (worker.types or ()) for worker in claiming)
    many = counted(len(claiming), "live worker")
    does = "claims" if len(claiming) == 1 else "claim"
    if kind is not None and not sure and all(worker.types is not None for worker in claiming):
        versions = tuple(sorted({worker.version for worker in claiming}))
        said = ", ".join(shown(version, QUOTED_MAX) for version in versions[:NAMED_TASKS_MAX])
        text = f"{many} {does} from the queue, and none knows the type {shown(kind, QUOTED_MAX)} (version {said})"
        yield maker.make(
            WhyKind.UNKNOWN_TYPE, text, type=kind, workers=len(claiming), versions=versions
        )
        return
    if found.state is State.PENDING and all(
        worker.running >= worker.concurrency for worker in claiming
    ):
        yield _slots_taken(maker, claiming)
        return
    text = f"{many} {does} from the queue"
    yield maker.make(WhyKind.SERVED, text, workers=len(claiming), sure=sure)


def _slots_taken(maker: PartMaker, claiming: Sequence[WorkerInfo]) -> WhyPart:
    running = sum(worker.running for worker in claiming)
    slots = sum(worker.concurrency for worker in claiming)
    since = [task.since for worker in claiming for task in worker.running_tasks or ()]
    one = len(claiming) == 1
    who = "the only worker that claims" if one else f"the {len(claiming):,} workers that claim"
    most = f"{running:,} of the {counted(slots, 'task')} that {'it' if one else 'they'} may run"
    text = f"{who} from the queue {'runs' if one else 'run'} {most} at once"
    oldest = min(since, default=None)
    if oldest is not None:
        text += f", the oldest for {maker.ago(round(oldest.timestamp() * 1000))}"
    return maker.make(
        WhyKind.SLOTS_TAKEN,
        text,
        workers=len(claiming),
        running=running,
        slots=slots,
        oldest_since=oldest,
    )


def _estimates(maker: PartMaker, found: Situation, rate: float | None) -> Iterator[WhyPart]:
    starts = starts_before(found)
    if rate is None or starts is None:
        return
    if not rate:
        text = "no attempt of the queue ended in the last minute"
        yield maker.make(WhyKind.ESTIMATE, text, seconds=None, rate=rate)
        return
    seconds = starts / rate
    text = f"that takes about {duration(seconds)} at the rate of the last minute"
    yield maker.make(WhyKind.ESTIMATE, text, seconds=seconds, rate=rate)


async def _elsewhere(store: Store, refs: Sequence[str]) -> list[WhyPart]:
    """Read the states of the first `NEEDS_READ` tasks of other queues."""
    by_queue: dict[str, list[str]] = {}
    for queue, local_id in map(split_ref, [ref for ref in refs if "/" in ref][:NEEDS_READ]):
        by_queue.setdefault(queue, []).append(local_id)

    async def read(queue: str) -> WhyPart:
        ids = by_queue[queue]
        found = await store.states(queue, ids)
        tasks = tuple(
            (f"{queue}/{each}", state) for each, state in zip(ids, found.states, strict=True)
        )
        named = [f"{each} is {state or 'gone'}" for each, state in tasks[:NAMED_TASKS_MAX]]
        more = f" and {len(tasks) - len(named):,} more" if len(tasks) > len(named) else ""
        text = f"{', '.join(named)}{more}"
        return PartMaker(found.now_ms).make(WhyKind.ELSEWHERE, text, queue=queue, tasks=tasks)

    return await call_each([*by_queue], read) if by_queue else []
