"""The bound of the records of workflows, at its real size."""

from __future__ import annotations

from rediq_trio.spec.history import workflows
from rediq_trio.spec.history.workflows import WORKFLOWS_MAX, WorkflowRecord


def test_no_more_records_are_kept_than_may_be() -> None:
    kept = workflows.Workflows(
        tuple(WorkflowRecord(f"w{n}", n + 1, 0, b"") for n in range(WORKFLOWS_MAX)),
        {f"w{n}": 0 for n in range(WORKFLOWS_MAX)},
        WORKFLOWS_MAX,
    )
    after, _ = workflows.keep_workflow(kept, 5, "new", b"")
    assert len(after.records) == WORKFLOWS_MAX == len(after.checks)
    assert (after.records[0].id, after.records[-1].id) == ("w1", "new")
