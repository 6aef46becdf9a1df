"""The rules of what is kept by type: how tallies are added up, and when a step ends.

A worker numbers its tallies of a queue. One that comes again, because its answer was lost, has the
number of the last one and is not counted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from rediq_trio.spec.history.type_counts import (
    NO_COUNTS,
    NO_TYPES,
    STEPS_READ,
    TALLY_FORGOTTEN,
    TYPE_COUNT_MAX,
    TYPES_BYTES,
    TYPES_KEPT,
    TYPES_STEP_MS,
    TYPES_STEPS,
    WAITS_AT,
    WEIGHT,
    WEIGHT_KEPT,
    WEIGHT_MAX,
    WEIGHT_OF,
    KeptType,
    LastTally,
    QueueTypes,
    Tallied,
    TypeCounts,
    TypesRead,
    as_codes,
    step_size,
)
from rediq_trio.spec.records import QueueState


def tally(
    queue: QueueState, now: int, *, worker: bytes, number: int, counts: Mapping[str, TypeCounts]
) -> tuple[QueueState, Tallied]:
    """Add what a worker has counted since its last tally, by type; '' stands for the other types.

    A tally that has come before is not counted again, nor one for a queue that was never used, or
    was removed. `worker` is a key of 8 bytes; `number` rises by each tally.
    """
    types = queue.types
    last = types.tallies.get(worker)
    if not queue.counters.enqueued or (last is not None and number <= last.number):
        return queue, Tallied(counted=False)
    step = now // TYPES_STEP_MS
    if types.step - 1 <= step < types.step:
        step = types.step
    ended = -1 < types.step < step
    if ended:
        types = _end_step(types, step)
    elif step < types.step:
        types = _go_back(types, step)
    types = attrs.evolve(types, step=step)
    for name, some in counts.items():
        types = _add(types, name, some)
    tallies = {**types.tallies, worker: LastTally(number, step)}
    types = attrs.evolve(types, tallies=MappingProxyType(tallies))
    return attrs.evolve(queue, types=types), Tallied(counted=True, ended=ended)


def _end_step(types: QueueTypes, step: int) -> QueueTypes:
    """End the step in progress: keep it as codes, and remove what is too old or too much."""
    ended = {at: cells for at, cells in types.ended.items() if at >= step - TYPES_STEPS}
    if types.current and types.step >= step - TYPES_STEPS:
        ended[types.step] = {index: as_codes(cell) for index, cell in types.current.items()}
    size = sum(map(step_size, ended.values()))
    for at in sorted(ended):
        if size <= TYPES_BYTES:
            break
        size -= step_size(ended.pop(at))
    kept = tuple(_weighed(one, step - types.step) for one in types.kept)
    tallies = {
        worker: last
        for worker, last in types.tallies.items()
        if last.step >= step - TALLY_FORGOTTEN
    }
    return QueueTypes(
        step, kept, MappingProxyType({}), MappingProxyType(ended), MappingProxyType(tallies)
    )


def _weighed(one: KeptType, steps: int) -> KeptType:
    weight = 0 if steps > TYPES_STEPS else one.weight
    for _ in range(steps if weight else 0):
        weight = weight * WEIGHT_KEPT // WEIGHT_OF
    return attrs.evolve(one, weight=weight)


def _go_back(types: QueueTypes, step: int) -> QueueTypes:
    """Remove the steps that are still to come, by a clock that went back."""
    ended = {at: cells for at, cells in types.ended.items() if at < step}
    kept = tuple(attrs.evolve(one, since=min(one.since, step)) for one in types.kept)
    return attrs.evolve(
        types, kept=kept, current=MappingProxyType({}), ended=MappingProxyType(ended)
    )


def _add(types: QueueTypes, name: str, counts: TypeCounts) -> QueueTypes:
    """Add the counts of one type."""
    attempts = sum(counts[:WAITS_AT])
    kept, current = list(types.kept), dict(types.current)
    index = next((n for n, one in enumerate(kept, 1) if one.name == name), 0)
    if not index and name:
        if len(kept) < TYPES_KEPT:
            kept.append(KeptType(name, types.step, 0))
            index = len(kept)
        else:
            least = min(range(len(kept)), key=lambda n: (kept[n].weight, n))
            if attempts * WEIGHT > kept[least].weight:
                kept[least] = KeptType(name, types.step, 0)
                index = least + 1
                if index in current:
                    current[0] = _sum(current.get(0, NO_COUNTS), current.pop(index))
    if index:
        one = kept[index - 1]
        weight = min(WEIGHT_MAX, one.weight + attempts * WEIGHT)
        kept[index - 1] = attrs.evolve(one, weight=weight)
    current[index] = _sum(current.get(index, NO_COUNTS), counts)
    return attrs.evolve(types, kept=tuple(kept), current=MappingProxyType(current))


def _sum(one: TypeCounts, two: TypeCounts) -> TypeCounts:
    return tuple(min(TYPE_COUNT_MAX, a + b) for a, b in zip(one, two, strict=True))


def read_types(queue: QueueState, now: int, *, since_ms: int) -> TypesRead:
    """Read the first steps since an instant, `STEPS_READ` at most.

    `since_ms` is counted from now if it is not above 0. The step in which it is is the first.
    """
    types = queue.types
    last = max(now // TYPES_STEP_MS, types.step)
    since = since_ms if since_ms > 0 else now + since_ms
    first = max(last - TYPES_STEPS, since // TYPES_STEP_MS)
    until = min(last, first + STEPS_READ - 1)
    found = {at: cells for at, cells in types.ended.items() if first <= at <= until}
    current = types.current if first <= types.step <= until else NO_TYPES.current
    read = QueueTypes(types.step, types.kept, current, MappingProxyType(found))
    return TypesRead(now, read, (until + 1) * TYPES_STEP_MS if until < last else 0)
