"""The workflow that the documentation shows, drawn half-way through."""

from __future__ import annotations

from typing import Any

from rediq_trio.spec.lifecycle import State
from rediq_trio.values.task import Task
from rediq_trio.workflow.build import Workflow, chain, gather


def nightly() -> Workflow[Any]:
    """Build one with joins, and a link that skips a row."""
    workflow: Workflow[Any] = Workflow("nightly")
    sources = ("orders", "customers", "prices")
    fetched = [workflow.add(Task("fetch"), f"fetch {source}") for source in sources]
    join = workflow.add(Task("join"), after=fetched)
    report = workflow.add(Task("report"), after=join)
    index = workflow.add(Task("index"), after=[join, fetched[2]])
    workflow.add(Task("announce"), after=[report, index])
    workflow.add(Task("archive"), after=join)
    return workflow


STATES = {
    "fetch orders": State.COMPLETED,
    "fetch customers": State.COMPLETED,
    "fetch prices": State.COMPLETED,
    "join": State.COMPLETED,
    "report": State.ACTIVE,
    "index": State.RETRY,
    "announce": State.BLOCKED,
    "archive": State.DEAD,
}


def svg() -> str:
    """Draw it with its states."""
    return nightly().svg(STATES)


def mermaid() -> str:
    """Give a smaller one as Mermaid text."""
    return chain(gather(Task("fetch"), Task("fetch")), Task("join")).mermaid({"fetch": "active"})
