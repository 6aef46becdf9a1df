"""Finding workflows again: reading their records, with the states of their tasks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs
import trio

from rediq_trio._errors import ConfigError, PayloadError, RediqError, WorkflowNotFound
from rediq_trio.spec.history.workflows import WorkflowRecord
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.instants import instant
from rediq_trio.values.bounds import check_flag, check_name, check_number
from rediq_trio.values.observed.workflow import WORKFLOW_STATES, WorkflowStatus
from rediq_trio.workflow.graph import Graph, outcome_of, read_states

RECORDS_READ_AT_ONCE = 100
"""Records that are read in one call, at most."""
FORGET_WITHIN = 2.0
"""Seconds for removing the record of a workflow that was refused."""
_CURSOR_MAX = 2**53


async def read_graph(store: Store, workflow_id: str) -> tuple[Graph, int]:
    """Return a workflow's graph, and when it was written in ms; raise as `Client.workflow` does."""
    record = await store.workflow(check_name("workflow", workflow_id))
    if record is None:
        raise WorkflowNotFound(workflow_id)
    return Graph.unpack(record.id, record.data), record.created_ms


async def list_workflows(
    store: Store,
    *,
    newest: bool,
    state: str | None,
    limit: int,
    after: WorkflowStatus | str | None,
) -> tuple[WorkflowStatus, ...]:
    """Read a page; raise as `Client.workflows` does."""
    check_flag("newest", newest)
    check_number("limit", limit, 1, BATCH, integer=True)
    if state is not None and state not in WORKFLOW_STATES:
        raise ConfigError.of("state", state, f"one of {', '.join(WORKFLOW_STATES)}, or None")
    place = None if after is None else _place_of(after)
    found: list[WorkflowStatus] = []
    while len(found) < limit:
        most = RECORDS_READ_AT_ONCE if state else min(RECORDS_READ_AT_ONCE, limit - len(found))
        records = await store.workflows(limit=most, after=place, newest=newest)
        if not records:
            break
        place = records[-1].number
        found += [one for one in await _statuses(store, records) if state in (None, one.state)]
    return tuple(found[:limit])


def _place_of(after: object) -> int:
    cursor = after.cursor if isinstance(after, WorkflowStatus) else after
    if isinstance(cursor, str) and cursor.isascii() and cursor.isdecimal():
        place = int(cursor[:17])
        if place < _CURSOR_MAX:
            return place
    raise ConfigError.of("after", after, "a WorkflowStatus of a list, or the cursor of one")


async def _statuses(store: Store, records: tuple[WorkflowRecord, ...]) -> list[WorkflowStatus]:
    graphs: dict[str, Graph] = {}
    unreadable: dict[str, str] = {}
    for record in records:
        try:
            graphs[record.id] = Graph.unpack(record.id, record.data)
        except PayloadError as error:
            unreadable[record.id] = str(error)
    states = dict(zip(graphs, await read_states(store, list(graphs.values())), strict=True))
    return [
        status_of(graphs[one.id], one.created_ms, states[one.id], str(one.number))
        if one.id in graphs
        else _unreadable(one, unreadable[one.id])
        for one in records
    ]


def status_of(
    graph: Graph, created_ms: int, states: Mapping[str, State | None], cursor: str = ""
) -> WorkflowStatus:
    """Return the status of a workflow from the states of its nodes."""
    known = list(states.values())
    return WorkflowStatus(
        id=graph.id,
        name=graph.name,
        created_at=instant(created_ms),
        state=outcome_of(graph, states),
        total=len(known),
        counts=MappingProxyType({each: known.count(each) for each in State}),
        gone=known.count(None),
        cursor=cursor,
    )


def _unreadable(record: WorkflowRecord, why: str) -> WorkflowStatus:
    return WorkflowStatus(
        id=record.id,
        name=None,
        created_at=instant(record.created_ms),
        state="unreadable",
        total=0,
        counts=MappingProxyType(dict.fromkeys(State, 0)),
        gone=0,
        cursor=str(record.number),
        unreadable=why,
    )


async def forget_refused(store: Store, workflow_id: str) -> None:
    """Remove the record of a workflow whose tasks were refused, if the store answers soon.

    A record that stays lists a workflow without tasks, and is removed by a worker later.
    """
    with trio.move_on_after(FORGET_WITHIN, shield=True):
        try:
            await store.forget_workflow(workflow_id)
        except RediqError:
            pass


@attrs.frozen
class Swept:
    """The result of `sweep`."""

    looked: int
    """Records that were due."""
    removed: int


async def sweep(store: Store, limit: int = 10) -> Swept:
    """Remove the records of workflows of which no task is left, of those that are due.

    Any number of workers may do this: each record is looked at by one of them.
    """
    due, removed = await store.due_workflows(limit=limit), 0
    for record in due:
        try:
            graph = Graph.unpack(record.id, record.data)
        except PayloadError:
            continue  # a worker with the keys, or of a newer version, looks at it
        (states,) = await read_states(store, [graph])
        if not any(states.values()):
            await store.forget_workflow(record.id)
            removed += 1
    return Swept(len(due), removed)
