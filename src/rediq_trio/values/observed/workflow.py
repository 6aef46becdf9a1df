"""WorkflowStatus: how far a workflow is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import attrs

from rediq_trio.spec.lifecycle import State

WORKFLOW_STATES = ("running", "completed", "dead", "cancelled", "gone")
"""What a workflow can be as a whole."""


@attrs.frozen(kw_only=True)
class WorkflowStatus:
    """One workflow when it was read: how many of its nodes are done, running and failed."""

    id: str
    name: str | None
    created_at: dt.datetime
    """When its record was written, just before its tasks."""
    state: str
    """`running` until each node has ended; then `completed`, `dead` or `cancelled`. `gone` if none of its
    tasks is there: they were removed, or not written yet. `unreadable` if its record cannot be read."""
    total: int
    """How many nodes it has."""
    counts: Mapping[State, int]
    """How many nodes are in each state."""
    gone: int
    """How many nodes' tasks exist no longer."""
    cursor: str
    """Its place among the workflows, for `after=` of `Client.workflows`."""
    unreadable: str | None = None
    """Why its record cannot be read."""

    @property
    def done(self) -> int:
        """How many nodes have completed."""
        return self.counts[State.COMPLETED]

    @property
    def running(self) -> int:
        """How many nodes are run by a worker now."""
        return self.counts[State.ACTIVE]

    @property
    def failed(self) -> int:
        """How many nodes are dead or cancelled."""
        return self.counts[State.DEAD] + self.counts[State.CANCELLED]

    @property
    def waiting(self) -> int:
        """How many nodes have not ended, and are not run now."""
        return self.total - self.gone - self.done - self.running - self.failed
