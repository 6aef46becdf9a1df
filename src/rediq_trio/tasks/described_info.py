"""From the description of a task to the `TaskInfo` with all that its queue knows."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.lifecycle import State
from rediq_trio.store.reads.description import NAMED_RELATED, Description
from rediq_trio.tasks.instants import instant_or_none
from rediq_trio.tasks.prepare import reference_to
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.values.observed.related import Dependency, UniqueKey
from rediq_trio.values.task import TaskInfo


def make_described_info(partition: str, found: Description) -> TaskInfo:
    """Return the `TaskInfo` of a task with what its queue knows about it beside its record."""
    info = make_task_info(partition, found.record)
    return attrs.evolve(
        info,
        unique=info.unique and _unique(partition, info.unique, found),
        dependencies=tuple(_dependencies(partition, found, info.depends_on))[:NAMED_RELATED],
        dependents=tuple(id_of(partition, ref) for ref in found.dependents),
        dependent_count=found.dependent_count,
    )


def id_of(partition: str, ref: str) -> str:
    """Return the id of the task to which a queue has a reference."""
    return ref if "/" in ref else f"{partition}/{ref}"


def _unique(partition: str, unique: UniqueKey, found: Description) -> UniqueKey:
    lock = found.lock
    if lock is None or 0 < lock.till_ms <= found.now_ms:
        return attrs.evolve(unique, held=False)
    return attrs.evolve(
        unique,
        held=unique.held and lock.id == found.record.id,
        holder=f"{partition}/{lock.id}",
        held_until=instant_or_none(lock.till_ms),
    )


def _dependencies(
    partition: str, found: Description, depends_on: tuple[str, ...]
) -> Iterator[Dependency]:
    states = dict(found.needs)
    ids = {reference_to(partition, each): each for each in depends_on}
    if len(states) == NAMED_RELATED:
        # There may be more that are awaited, which cannot be told from those that have ended.
        ids = {}
    returned = {ref for ref, _ in found.record.inputs}
    for ref in {**ids, **states}:
        if ref in states:
            yield Dependency(id_of(partition, ref), states[ref], awaited=True)
        else:
            # With the other policy, a task that failed is noted like one without a result.
            completed = ref in returned or not found.record.run_on_dependency_failure
            yield Dependency(ids[ref], State.COMPLETED if completed else None, awaited=False)
