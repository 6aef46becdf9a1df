"""Graphs of tasks: their order, their cycles, and the plan of writing them.

A graph is a mapping from each name to the names it needs, which must complete before it.
All functions are deterministic: among equals, the order of the mapping decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, PayloadTooLarge
from rediq_trio.tasks.ids import new_id
from rediq_trio.tasks.prepare import MAX_ATOMIC_BYTES, PreparedTask, prepare, reference_to
from rediq_trio.values.task import Task
from rediq_trio.values.telemetry.sending import SentTask
from rediq_trio.workflow.graph import Graph, GraphNode

MAX_NODES = 1000
"""Maximum number of nodes of one workflow."""
MAX_LINKS = 50_000
"""Maximum number of links of a workflow."""

Needs = Mapping[str, Iterable[str]]
"""Each name with the names that it waits for."""


def dependents_of(needs: Needs) -> dict[str, list[str]]:
    """Return each name with the names that wait for it."""
    dependents: dict[str, list[str]] = {name: [] for name in needs}
    for name, before in needs.items():
        for other in before:
            dependents[other].append(name)
    return dependents


def topological(needs: Needs) -> list[str]:
    """Return the names so that each comes after all that it needs; raise `CycleError` for a cycle."""
    sorter = TopologicalSorter[str](dict.fromkeys(needs, ()))
    for name, before in needs.items():
        sorter.add(name, *before)
    return list(sorter.static_order())


def find_cycle(needs: Needs) -> list[str]:
    """Return the names on one cycle, each needed by the next; an empty list without a cycle."""
    try:
        topological(needs)
    except CycleError as error:
        around: list[str] = error.args[1][1:]  # its last name is also its first
        begin = around.index(next(name for name in needs if name in around))
        return around[begin:] + around[:begin]
    return []


def layers(needs: Needs) -> dict[str, int]:
    """Return for each name the length of the longest path to it: the earliest step it can run in."""
    found: dict[str, int] = {}
    for name in topological(needs):
        found[name] = max((found[before] + 1 for before in needs[name]), default=0)
    return found


@attrs.frozen
class PlanNode:
    """One task of a workflow as it is to be written."""

    name: str
    task: Task[Any]
    local_id: str
    """Its id within its queue, chosen by the plan."""
    needs: tuple[str, ...]
    """`"<queue>/<id>"` of the nodes it waits for."""
    dependents: tuple[str, ...]
    """`"<queue>/<id>"` of the nodes that wait for it."""

    @property
    def queue(self) -> str:
        """The queue it goes to."""
        return self.task.queue

    @property
    def id(self) -> str:
        """`"<queue>/<id>"`."""
        return f"{self.task.queue}/{self.local_id}"


@attrs.frozen
class Plan:
    """A workflow with chosen ids, in the order in which it is to be written."""

    nodes: tuple[PlanNode, ...]
    """Dependents before their dependencies, so that no dependency ends before they exist; of those
    that can run in the same step, in the order in which they were added."""
    home: str
    """The queue of most nodes; among equals, that of the first node."""
    sinks: tuple[PlanNode, ...]
    """Nodes that no other waits for, in the order in which they were added."""
    roots: tuple[PlanNode, ...]
    """Nodes that wait for no other, in the order in which they were added."""
    name: str | None = None
    """The workflow's name."""
    id: str = attrs.field(factory=new_id, kw_only=True, eq=False)
    """The workflow's id, a new one for each plan."""

    def graph(self) -> Graph:
        """Return what is kept of the workflow, to find it again."""
        at = {node.name: node for node in self.nodes}
        needs = self.needs()
        nodes = tuple(
            GraphNode(
                name, at[name].queue, at[name].local_id, at[name].task.id is not None, tuple(before)
            )
            for name, before in needs.items()
        )
        return Graph(self.id, self.name, nodes, tuple(node.name for node in self.sinks))

    def needs(self) -> dict[str, list[str]]:
        """Return each node's name with the names that it waits for, dependencies first."""
        names = {node.id: node.name for node in self.nodes}
        found = {node.name: [names[i] for i in node.needs] for node in self.nodes}
        return {name: found[name] for name in topological(found)}


def make_plan(
    tasks: Mapping[str, Task[Any]],
    needs: Needs,
    id_of: Callable[[Task[Any]], str],
    name: str | None,
) -> Plan:
    """Choose the ids of an acyclic graph's tasks and the order of writing them.

    `id_of` is called once per node, in the order of `tasks`.
    """
    local_ids = {name: id_of(task) for name, task in tasks.items()}
    ids = {name: f"{task.queue}/{local_ids[name]}" for name, task in tasks.items()}
    dependents = dependents_of(needs)
    nodes = {
        name: PlanNode(
            name=name,
            task=task,
            local_id=local_ids[name],
            needs=tuple(ids[other] for other in needs[name]),
            dependents=tuple(ids[other] for other in dependents[name]),
        )
        for name, task in tasks.items()
    }
    depth = layers(needs)
    # Among equal counts, `most_common` returns the one that was met first.
    ((home, _),) = Counter(task.queue for task in tasks.values()).most_common(1)
    return Plan(
        nodes=tuple(sorted(nodes.values(), key=lambda node: -depth[node.name])),
        home=home,
        sinks=tuple(node for node in nodes.values() if not node.dependents),
        roots=tuple(node for node in nodes.values() if not node.needs),
        name=name,
    )


def prepare_node(
    node: PlanNode, plan: Plan, max_payload: int, sent: SentTask | None = None
) -> PreparedTask:
    """Check and pack one task of a workflow that is written through the plan's `home`."""
    queue, home = node.queue, plan.home
    outside = [each for each in node.task.depends_on if each not in node.needs]
    task = attrs.evolve(node.task, id=node.local_id, depends_on=(*outside, *node.needs))
    one = prepare(task, max_payload, sent, plan.id)
    relations = attrs.evolve(
        one.new.relations,
        queue="" if queue == home else queue,
        run_on_dependency_failure=task.on_dependency_failure == "run",
        limit_key=task.limit_key or "",
        needs=tuple(reference_to(queue, each) for each in dict.fromkeys(outside)),
        needs_later=tuple(reference_to(queue, each) for each in node.needs),
        dependents=tuple(reference_to(queue, each) for each in node.dependents),
    )
    return attrs.evolve(one, new=attrs.evolve(one.new, relations=relations))


def check_atomic(nodes: Sequence[PreparedTask]) -> None:
    """Raise `ConfigError` or `PayloadTooLarge` if a workflow is too large for one step."""
    links = sum(len(one.new.relations.needs_later) for one in nodes)
    if links > MAX_LINKS:
        raise ConfigError.of("workflow", f"<{links:,} links>", f"of at most {MAX_LINKS:,} links")
    size = sum(len(one.new.envelope) for one in nodes)
    if size > MAX_ATOMIC_BYTES:
        raise PayloadTooLarge(
            f"workflow: {size:,} bytes packed; at most {MAX_ATOMIC_BYTES:,} are written in one step"
        )
