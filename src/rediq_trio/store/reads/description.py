"""A task together with what its queue knows about it beside its record."""

from __future__ import annotations

import attrs

from rediq_trio.spec.ids import pack_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Lock, QueueState, Record

NAMED_RELATED = 250
"""Dependencies, and dependents, that one description names, at most: Redis takes less than 1 ms."""
NEEDS_READ = 100
"""Dependencies whose records one description reads, at most."""


@attrs.frozen
class Description:
    """A task at one instant, with what its queue knows about it beside its record."""

    now_ms: int
    record: Record
    lock: Lock | None
    """Its unique key, as it is taken: by this task or by another one, maybe over by time."""
    dependent_count: int
    """How many tasks wait for its end."""
    dependents: tuple[str, ...]
    """References of the first `NAMED_RELATED` of them."""
    needs: tuple[tuple[str, State | None], ...]
    """References of the first `NAMED_RELATED` tasks whose end it has not been notified of, each with
    its state. The state is None for a task of another queue, for one that is gone, and after the
    first `NEEDS_READ`."""


def description_of(queue: QueueState, now: int, task_id: str) -> Description | None:
    """Return the description of a task; None if there is none."""
    record = queue.records.get(task_id)
    if record is None:
        return None
    dependents = sorted(queue.edges.get(task_id, ()), key=pack_ref)
    needs = sorted(queue.needs.get(task_id, ()), key=pack_ref)[:NAMED_RELATED]
    states = [_state(queue, ref) for ref in needs[:NEEDS_READ]]
    return Description(
        now_ms=now,
        record=record,
        lock=queue.locks.get(record.unique) if record.unique else None,
        dependent_count=len(dependents),
        dependents=tuple(dependents[:NAMED_RELATED]),
        needs=tuple(zip(needs, [*states, *[None] * (len(needs) - len(states))], strict=True)),
    )


def _state(queue: QueueState, ref: str) -> State | None:
    found = queue.records.get(ref)
    return None if found is None else found.state
