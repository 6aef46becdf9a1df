"""The graph of an enqueued workflow: what is kept of it, and what the states of its tasks mean.

A graph names tasks and has nothing of them, so it may outlive them. A node whose task has an id of
the caller may name a later task of that id, which belongs to another workflow or to none: such a
task counts as gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import attrs

from rediq_trio._errors import PayloadError
from rediq_trio.spec.lifecycle import TERMINAL, State
from rediq_trio.store.port import BATCH, Store
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.wire.envelope import pack_value, unpack_value

T = TypeVar("T")

GRAPH_VERSION = 1
"""What a packed graph begins with."""
FAILED_STATES = (State.DEAD, State.CANCELLED)


@attrs.frozen
class GraphNode:
    """One task of an enqueued workflow."""

    name: str
    queue: str
    """The partition where it lies."""
    local_id: str
    own_id: bool = False
    """Whether the caller chose the id, so that another task may have it later."""
    needs: tuple[str, ...] = ()
    """The names of the nodes that it waits for."""


@attrs.frozen
class Graph:
    """An enqueued workflow, without its tasks."""

    id: str
    name: str | None
    nodes: tuple[GraphNode, ...]
    """Nodes before those that wait for them."""
    sinks: tuple[str, ...]
    """Names of the nodes that no other waits for, in the order in which they were added."""

    @property
    def needs(self) -> dict[str, list[str]]:
        """Each node's name with the names that it waits for."""
        return {node.name: list(node.needs) for node in self.nodes}

    def pack(self) -> bytes:
        """Return the graph as it is stored."""
        number = {node.name: n for n, node in enumerate(self.nodes)}
        nodes = [
            [one.name, one.queue, one.local_id, one.own_id, [number[each] for each in one.needs]]
            for one in self.nodes
        ]
        sinks = [number[name] for name in self.sinks]
        return pack_value([GRAPH_VERSION, self.name, nodes, sinks], what="workflow")

    @classmethod
    def unpack(cls, workflow_id: str, packed: bytes) -> Graph:
        """Return the graph of a record; raise `PayloadError` if it cannot be read."""
        found: Any = unpack_value(packed, what=f"workflow {workflow_id}")
        try:
            version, name, nodes, sinks = cast("tuple[Any, Any, list[Any], list[int]]", found)
            if version != GRAPH_VERSION:
                raise ValueError(f"version {version!r}")
            names = [str(node[0]) for node in nodes]
            return cls(
                workflow_id,
                None if name is None else str(name),
                tuple(
                    GraphNode(str(a), str(b), str(c), bool(own), tuple(names[n] for n in needs))
                    for a, b, c, own, needs in cast("list[tuple[Any, Any, Any, Any, list[int]]]", nodes)
                ),
                tuple(names[n] for n in sinks),
            )
        except (TypeError, ValueError, LookupError) as error:
            raise PayloadError(f"workflow {workflow_id} cannot be decoded: {error}") from error


def runs(state: State | None) -> bool:
    """Return whether a task has not ended."""
    return state is not None and state not in TERMINAL


def outcome_of(graph: Graph, states: Mapping[str, State | None]) -> str:
    """Return the state of a whole workflow by those of its nodes, None for one that is gone.

    `gone` if none is left; `running` until each has ended. A node may fail while the nodes after it
    run, if their policy says so: only the sinks count. If one of them did not complete, it is the
    state of what failed by itself: `dead`, or `cancelled` where nothing died by itself.
    """
    if not any(states.values()):
        return "gone"
    if any(map(runs, states.values())):
        return "running"
    if all(states[name] not in (*FAILED_STATES, None) for name in graph.sinks):
        return "completed"
    by_itself = {states[node.name] for node in graph.nodes if _failed_by_itself(node, states)}
    found = [state.value for state in FAILED_STATES if state in by_itself]
    return found[0] if found else "completed"


def _failed_by_itself(node: GraphNode, states: Mapping[str, State | None]) -> bool:
    # Dead tasks are kept longer than completed ones, so a missing one most likely completed.
    return states[node.name] in FAILED_STATES and all(
        states[each] in (None, State.COMPLETED) for each in node.needs
    )


async def read_states(store: Store, graphs: Sequence[Graph]) -> tuple[dict[str, State | None], ...]:
    """Read the states of the nodes of workflows, all of a queue in one call or a few."""
    found = tuple(dict.fromkeys((n.name for n in g.nodes), None) for g in graphs)
    places: dict[str, list[tuple[int, GraphNode]]] = {}
    for n, graph in enumerate(graphs):
        for node in graph.nodes:
            places.setdefault(node.queue, []).append((n, node))
    answers: tuple[dict[str, State | None], ...] = tuple({**each} for each in found)
    for queue, nodes in places.items():
        for part in _parts(nodes):
            read = await store.states(queue, [node.local_id for _, node in part])
            for (n, node), state in zip(part, read.states, strict=True):
                answers[n][node.name] = state
        doubtful = [(n, one) for n, one in nodes if one.own_id and answers[n][one.name] is not None]
        for part in _parts(doubtful, DOUBTFUL_AT_ONCE):
            records = await store.get(queue, [one.local_id for _, one in part], skip_newer=True)
            for (n, one), record in zip(part, records, strict=True):
                if record is None or make_task_info(queue, record).workflow != graphs[n].id:
                    answers[n][one.name] = None
    return answers


DOUBTFUL_AT_ONCE = 100
"""Whole tasks that are read in one call."""


def _parts(items: Sequence[T], size: int = BATCH) -> Iterable[Sequence[T]]:
    return (items[first : first + size] for first in range(0, len(items), size))
