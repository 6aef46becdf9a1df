"""How far a workflow is, in words."""

from __future__ import annotations

from rediq_trio.observe.words import count
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.observed.workflow import WorkflowStatus


def progress_of(status: WorkflowStatus) -> str:
    """Return how far a workflow is, in words."""
    parts = [f"{count(status.done)} of {count(status.total)} completed"]
    for number, word in (
        (status.running, "running"), (status.waiting, "waiting"),
        (status.counts[State.DEAD], "dead"), (status.counts[State.CANCELLED], "cancelled"),
        (status.gone, "gone"),
    ):  # fmt: skip
        if number:
            parts.append(f"{count(number)} {word}")
    return ", ".join(parts)
