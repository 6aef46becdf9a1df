"""Graphs of tasks: their order, their cycles, and the plan of writing them.

A graph is a mapping from each name to the names it needs, which must complete before it.
All functions are deterministic: among equals, the order of the mapping decides.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from rediq_trio.values.task import Task

MAX_NODES = 1000
"""Maximum number of nodes of one workflow."""

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
    """Return the names so that each comes after all that it needs (Kahn 1962).

    Names on a cycle, and names that wait for a cycle, are left out.
    """
    dependents = dependents_of(needs)
    missing = {name: len(list(before)) for name, before in needs.items()}
    ready = deque(name for name, count in missing.items() if count == 0)
    order: list[str] = []
    while ready:
        name = ready.popleft()
        order.append(name)
        for other in dependents[name]:
            missing[other] -= 1
            if missing[other] == 0:
                ready.append(other)
    return order


def find_cycle(needs: Needs) -> list[str]:
    """Return the names on one cycle, each needed by the next; an empty list without a cycle."""
    left = needs.keys() - set(topological(needs))
    if not left:
        return []
    # Each remaining name needs another remaining one, so walking back finds a cycle.
    at = next(name for name in needs if name in left)
    path: dict[str, None] = {}
    while at not in path:
        path[at] = None
        at = next(before for before in needs[at] if before in left)
    walked = list(path)
    around = walked[walked.index(at) :][::-1]
    first = min(around, key={name: index for index, name in enumerate(needs)}.__getitem__)
    begin = around.index(first)
    return around[begin:] + around[:begin]


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
    """Dependents before their dependencies, so that no dependency ends before they exist."""
    home: str
    """The queue of most nodes; among equals, that of the first node."""
    sinks: tuple[PlanNode, ...]
    """Nodes that no other waits for, in the order in which they were added."""
    roots: tuple[PlanNode, ...]
    """Nodes that wait for no other, in the order in which they were added."""
    name: str | None = None
    """The workflow's name."""

    def needs(self) -> dict[str, list[str]]:
        """Return each node's name with the names that it waits for, dependencies first."""
        names = {node.id: node.name for node in self.nodes}
        return {node.name: [names[i] for i in node.needs] for node in reversed(self.nodes)}


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
    # Among equal counts, `most_common` returns the one that was met first.
    ((home, _),) = Counter(task.queue for task in tasks.values()).most_common(1)
    return Plan(
        nodes=tuple(nodes[name] for name in reversed(topological(needs))),
        home=home,
        sinks=tuple(node for node in nodes.values() if not node.dependents),
        roots=tuple(node for node in nodes.values() if not node.needs),
        name=name,
    )
