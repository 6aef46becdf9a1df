"""Workflow: a graph of tasks that is enqueued as one; chain and gather build the usual shapes.

A workflow is built, then planned: `check` finds errors in the graph, `plan` chooses every
id and the order of writing. Each plan chooses new ids, so one workflow can be enqueued many
times.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast, overload

import attrs

from rediq_trio._errors import ConfigError, quote
from rediq_trio.tasks.ids import new_id
from rediq_trio.values.bounds import MAX_TYPE
from rediq_trio.values.task import Task
from rediq_trio.workflow import plan
from rediq_trio.workflow.picture import draw_mermaid, draw_svg
from rediq_trio.workflow.plan import MAX_NODES, Plan

R = TypeVar("R")


@attrs.frozen(eq=False)
class Node:
    """One task of a workflow. Made by `Workflow.add`."""

    name: str
    """Its name within the workflow."""
    task: Task[Any]


class Workflow(Generic[R]):
    """Tasks and their dependencies: any graph without a cycle, of up to 1,000 nodes.

    A node runs when all nodes before it have completed. `R` is the type of the
    workflow's result, as far as `chain` and `gather` know it. Building a workflow sends
    nothing: pass it to `Client.enqueue`.
    """

    def __init__(self: Workflow[Any], name: str | None = None) -> None:
        if name is not None:
            _check_text("name", name)
        self.name = name
        self._nodes: dict[str, Node] = {}
        self._needs: dict[str, dict[str, None]] = {}
        self._wanted: dict[str, str] = {}
        self._numbers: dict[str, itertools.count[int]] = {}
        self._node_of_id: dict[str, str] = {}

    def __repr__(self) -> str:
        named = "" if self.name is None else f" {self.name!r}"
        return f"<Workflow{named} of {len(self)} nodes>"

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its nodes, in the order in which they were added."""
        return tuple(self._nodes.values())

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """The links, each as the names of the node before and the node after it."""
        return tuple((before, name) for name, needs in self._needs.items() for before in needs)

    def add(
        self,
        task: Task[Any],
        name: str | None = None,
        after: Node | str | Iterable[Node | str] = (),
    ) -> Node:
        """Add a task that runs when the nodes `after` have completed; return its node.

        `after`: nodes, or their names. `name`: 1 to 256 printable characters, by default
        the task's type, followed by `-2`, `-3` and so on if that is taken. Raises
        `ConfigError`, and then nothing is added.
        """
        if not isinstance(after, Node | str | Iterable):
            raise ConfigError.of("after", after, "nodes of the workflow, or their names")
        several = (after,) if isinstance(after, Node | str) else after
        return self._add(task, name, [self._name_of(each) for each in several])

    def link(self, before: Node | str, after: Node | str) -> None:
        """Make the node `after` wait for the node `before`; both may be named.

        Linking twice is the same as linking once. Raises `ConfigError` for a node that is
        not part of this workflow, and for a node linked to itself; `check` finds longer
        cycles.
        """
        first, second = self._name_of(before), self._name_of(after)
        if first == second:
            raise self._error(f"node {quote(first)} cannot wait for itself")
        self._needs[second][first] = None

    def check(self) -> None:
        """Raise `ConfigError` for an empty workflow and for a cycle, whose nodes it names.

        Also raises it for a task whose `depends_on` names another node: use a link.
        """
        if not self._nodes:
            raise self._error("it has no node; add a task")
        if cycle := plan.find_cycle(self._needs):
            raise self._error(f"its nodes wait for one another: {' -> '.join([*cycle, cycle[0]])}")
        for name, node in self._nodes.items():
            for each in node.task.depends_on:
                if (other := self._node_of_id.get(each)) is not None:
                    raise self._error(
                        f"node {quote(name)} depends on a node of its own workflow by id: "
                        f"link({other!r}, {name!r}) instead"
                    )

    def plan(self, router: Callable[[Task[Any]], Task[Any]] | None = None) -> Plan:
        """Check the workflow, choose every node's id and the order of writing; write nothing.

        `router` returns each task with its partition. Raises `ConfigError` as `check` does.
        """
        self.check()
        tasks = {name: node.task for name, node in self._nodes.items()}
        if router is not None:
            tasks = {name: router(task) for name, task in tasks.items()}
        return plan.make_plan(tasks, self._needs, lambda task: task.id or new_id(), self.name)

    def mermaid(self, states: Mapping[str, str | None] | None = None) -> str:
        """Return a drawing as Mermaid text, coloured by `states`: node names to states.

        None as a state means purged. Raises `ConfigError` for an unknown name or state.
        """
        return draw_mermaid(self._needs, states)

    def svg(self, states: Mapping[str, str | None] | None = None) -> str:
        """Return a drawing as a self-contained SVG, coloured by `states`, as `mermaid` does.

        Raises `ConfigError` as `check` does, and for an unknown name or state.
        """
        self.check()
        return draw_svg(self._needs, states, title=self.name or "workflow")

    def _error(self, text: str) -> ConfigError:
        name = "workflow" if self.name is None else f"workflow {quote(self.name)}"
        return ConfigError(f"{name}: {text}")

    def _name_of(self, node: object) -> str:
        if isinstance(node, Node):
            if self._nodes.get(node.name) is node:
                return node.name
            raise self._error(f"{quote(node.name)} is a node of another workflow")
        if isinstance(node, str) and node in self._nodes:
            return node
        raise self._error(f"no node {quote(node)}; pass a Node, or the name of one")

    def _add(
        self, task: object, name: str | None, before: Iterable[str], wanted: str | None = None
    ) -> Node:
        found = self._checked(task)
        if name is not None:
            _check_text("name", name)
            if name in self._nodes:
                raise self._error(f"a node is named {quote(name)} already")
        wanted = name or wanted or found.type
        node = Node(self._free_name(wanted), found)
        self._nodes[node.name] = node
        self._wanted[node.name] = wanted
        self._needs[node.name] = dict.fromkeys(before)
        if found.id is not None:
            self._node_of_id[f"{found.queue}/{found.id}"] = node.name
        return node

    def _checked(self, task: object) -> Task[Any]:
        if not isinstance(task, Task):
            raise ConfigError.of("task", task, "a Task, as TaskType.task(...) returns it")
        found = cast("Task[Any]", task)
        if len(self._nodes) >= MAX_NODES:
            raise self._error(f"more than {MAX_NODES:,} nodes")
        for option in ("group", "unique"):
            if getattr(found, option) is not None:
                raise self._error(
                    f"the task {quote(found.type)} has {option}=: a node cannot, "
                    "as others wait for this very task"
                )
        full = f"{found.queue}/{found.id}"
        if found.id is not None and full in self._node_of_id:
            raise self._error(
                f"the task {quote(found.type)} has the id {quote(full)}, "
                f"which is that of node {quote(self._node_of_id[full])}"
            )
        return found

    def _free_name(self, wanted: str) -> str:
        if wanted not in self._nodes:
            return wanted
        numbers = self._numbers.setdefault(wanted, itertools.count(2))
        return next(name for n in numbers if (name := f"{wanted}-{n}") not in self._nodes)

    def _append(self, parts: Iterable[object], before: Iterable[str]) -> list[str]:
        """Add tasks, and copies of workflows, after these nodes; return the sinks of all of them."""
        before = list(before)
        sinks: list[str] = []
        for part in parts:
            if not isinstance(part, Workflow):
                if not isinstance(part, Task):
                    raise ConfigError.of("task", part, "a Task or a Workflow")
                sinks.append(self._add(cast("object", part), None, before).name)
                continue
            inner = cast("Workflow[Any]", part)
            if not len(inner):
                continue
            inner.check()
            copies = {
                name: self._add(node.task, None, (), inner._wanted[name]).name
                for name, node in inner._nodes.items()
            }
            for name, needs in inner._needs.items():
                self._needs[copies[name]] = dict.fromkeys([copies[n] for n in needs] or before)
            dependents = plan.dependents_of(inner._needs)
            sinks += [copy for name, copy in copies.items() if not dependents[name]]
        return sinks


Part = Task[R] | Workflow[R]
"""What `chain` and `gather` take."""


@overload
def chain(last: Part[R], /) -> Workflow[R]: ...
@overload
def chain(*parts: *tuple[*tuple[Part[Any], ...], Part[R]]) -> Workflow[R]: ...
def chain(*parts: Part[Any]) -> Workflow[Any]:  # type: ignore[misc]  # mypy takes a tuple that ends so for wider
    """Return a workflow of tasks and workflows that run one after the other.

    Workflows are copied in. Each part starts when all nodes of the part before it have
    completed. A part without nodes is skipped; `Client.enqueue` refuses a workflow that has
    none at all. The result is that of the last part with nodes. Raises `ConfigError`.
    """
    workflow: Workflow[Any] = Workflow()
    sinks: list[str] = []
    for part in parts:
        sinks = workflow._append((part,), sinks) or sinks
    return workflow


@overload
def gather(*parts: Part[Any], then: Part[R]) -> Workflow[R]: ...
@overload
def gather(*parts: Part[Any], then: None = None) -> Workflow[Any]: ...
def gather(*parts: Part[Any], then: Part[Any] | None = None) -> Workflow[Any]:
    """Return a workflow of tasks and workflows that run in parallel.

    Workflows are copied in. `then`, a task or a workflow, starts when all of them have
    completed, and its result is the workflow's. Without parts, or with parts that have no
    nodes, `then` starts at once, and its `results()` are empty. Raises `ConfigError`.
    """
    workflow: Workflow[Any] = Workflow()
    sinks = workflow._append(parts, ())
    if then is not None:
        workflow._append((then,), sinks)
    return workflow


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TYPE or not value.isprintable():
        raise ConfigError.of(field, value, f"1 to {MAX_TYPE} printable characters")
