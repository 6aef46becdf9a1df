"""Workflows of a key prefix: a record of each, so that it is found again by its id.

A record is written before the tasks of its workflow, and removed when none of them is left. So a
crash between the steps leaves a record without tasks, which is removed later; never tasks that are
found by nobody, and never half a workflow. No task depends on a record: when there are too many,
the oldest are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs

WORKFLOWS_MAX = 10_000
"""How many records are kept, at most: those of the last workflows."""
WORKFLOWS_MAX_BYTES = 16 * 1024 * 1024
"""How many bytes the kept records have together; the last one is kept even if it has more."""
DROPPED_AT_ONCE = 100
"""Records that one new record drops, at most."""
WORKFLOWS_READ_BYTES = 256 * 1024
"""After so many bytes of records, a read ends."""
CHECK_FIRST_MS = 600_000
"""When it is first looked whether tasks of a workflow are left, in ms after its record was written."""
CHECK_LEAST_MS, CHECK_MOST_MS = 60_000, 3_600_000
"""How long until it is looked again, at least and at most, in ms: a quarter of the record's age."""
CREATED_DIGITS = 16
"""A stored record begins with its instant, in so many digits."""


@attrs.frozen
class WorkflowRecord:
    """What is kept of one workflow."""

    id: str
    number: int
    """Its place: it grows with each new record."""
    created_ms: int
    data: bytes
    """Its name, and its tasks by the names of their nodes, as the caller packed them."""

    @property
    def size(self) -> int:
        """The bytes that it counts for."""
        return CREATED_DIGITS + len(self.data)


@attrs.frozen
class Workflows:
    """All records, in the order of their numbers."""

    records: tuple[WorkflowRecord, ...] = ()
    checks: Mapping[str, int] = MappingProxyType({})
    """When each workflow is next to be looked at, in ms, by its id."""
    last: int = 0
    """The number of the last record that was written."""

    def find(self, workflow_id: str) -> WorkflowRecord | None:
        """Return the record of a workflow."""
        return next((one for one in self.records if one.id == workflow_id), None)


def keep_workflow(
    kept: Workflows, now: int, workflow_id: str, data: bytes
) -> tuple[Workflows, int]:
    """Write the record of a workflow, unless there is one; drop the oldest if there are too many.

    Return when it was written, in ms.
    """
    checks = {**kept.checks, workflow_id: now + CHECK_FIRST_MS}
    if known := kept.find(workflow_id):
        return attrs.evolve(kept, checks=checks), known.created_ms
    record = WorkflowRecord(workflow_id, kept.last + 1, now, data)
    records = [*kept.records, record]
    size = sum(one.size for one in records)
    for _ in range(DROPPED_AT_ONCE):
        if len(records) == 1 or (len(records) <= WORKFLOWS_MAX and size <= WORKFLOWS_MAX_BYTES):
            break
        oldest = records.pop(0)
        size -= oldest.size
        del checks[oldest.id]
    return Workflows(tuple(records), checks, record.number), now


def forget_workflow(kept: Workflows, workflow_id: str) -> Workflows:
    """Remove the record of a workflow."""
    records = tuple(one for one in kept.records if one.id != workflow_id)
    checks = {one: at for one, at in kept.checks.items() if one != workflow_id}
    return attrs.evolve(kept, records=records, checks=checks)


def read_workflows(
    kept: Workflows, *, limit: int, after: int | None, newest: bool
) -> tuple[WorkflowRecord, ...]:
    """Return records after a number, or before it and backwards with `newest`.

    There may be fewer than `limit`, but one at least unless there is none.
    """
    if newest:
        found = [one for one in reversed(kept.records) if after is None or one.number < after]
    else:
        found = [one for one in kept.records if after is None or one.number > after]
    return _within(found[:limit])


def due_workflows(
    kept: Workflows, now: int, *, limit: int
) -> tuple[Workflows, tuple[WorkflowRecord, ...]]:
    """Return records that are to be looked at, and put off each: so only one caller gets it."""
    due = sorted((at, one.encode(), one) for one, at in kept.checks.items() if at <= now)
    found = [kept.find(workflow_id) for _, _, workflow_id in due[:limit]]
    looked = _within([one for one in found if one is not None])
    again = {one.id: now + check_after(now - one.created_ms) for one in looked}
    return attrs.evolve(kept, checks={**kept.checks, **again}), looked


def check_after(age_ms: int) -> int:
    """Return in how many ms a workflow of this age is looked at again."""
    return max(CHECK_LEAST_MS, min(CHECK_MOST_MS, age_ms // 4))


def _within(records: Sequence[WorkflowRecord]) -> tuple[WorkflowRecord, ...]:
    size, found = 0, list[WorkflowRecord]()
    for one in records:
        found.append(one)
        size += one.size
        if size >= WORKFLOWS_READ_BYTES:
            break
    return tuple(found)
