"""Workflow: a graph of tasks that is enqueued as one; chain and gather: the usual shapes of it.

A workflow is built, then planned: `check` finds what is wrong with the whole,
`plan` decides every id and the order of writing. Ids are decided anew by each
plan, so one workflow can be enqueued many times.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast, overload

import attrs

from rediq_trio._errors import ConfigError, shown
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
    """Tasks, and which of them wait for which: any graph without a cycle, of up to 1,000 nodes.

    A node runs once all that it was put after have completed. `R` is what the
    workflow's result is, as far as `chain` and `gather` can tell. Building it
    sends nothing: hand it to `Client.enqueue`.
    """

    def __init__(self: Workflow[Any], name: str | None = None) -> None:
        if name is not None:
            _check_text("name", name)
        self.name = name
        self._nodes: dict[str, Node] = {}
        self._needs: dict[str, dict[str, None]] = {}
        self._wanted: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._owns: dict[str, str] = {}

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
        """The names of each two nodes that are linked: the one before, the one after."""
        return tuple((before, name) for name, needs in self._needs.items() for before in needs)

    def add(
        self,
        task: Task[Any],
        name: str | None = None,
        after: Node | str | Iterable[Node | str] = (),
    ) -> Node:
        """Add a task that runs once the nodes `after` have completed, and give its node.

        `after`: nodes, or their names. `name`: 1 to 256 printable characters;
        left out, it is the task's type, with `-2`, `-3` behind it where that is
        taken. Raises `ConfigError`, and adds nothing then.
        """
        if not isinstance(after, Node | str | Iterable):
            raise ConfigError.of("after", after, "nodes of the workflow, or their names")
        several = (after,) if isinstance(after, Node | str) else after
        return self._add(task, name, [self._known(each) for each in several])

    def link(self, before: Node | str, after: Node | str) -> None:
        """Let the node `after` wait for the node `before`; both may be given by name.

        To link twice is to link once. Raises `ConfigError` for what is no node of
        this workflow, and for a node linked to itself; `check` finds longer cycles.
        """
        first, second = self._known(before), self._known(after)
        if first == second:
            raise ConfigError(f"{self._said()}: node {shown(first)} cannot wait for itself")
        self._needs[second][first] = None

    def check(self) -> None:
        """Raise `ConfigError` for an empty workflow, and for a cycle, which it names whole.

        Also for a task whose own `depends_on` names another node: that is a link.
        """
        if not self._nodes:
            raise ConfigError(f"{self._said()}: it has no node; add a task")
        if cycle := plan.find_cycle(self._needs):
            around = " -> ".join([*cycle, cycle[0]])
            raise ConfigError(f"{self._said()}: its nodes wait for one another: {around}")
        for node in self._nodes.values():
            for each in getattr(node.task, "depends_on", ()):
                other = self._owns.get(getattr(each, "id", each))
                if other is not None:
                    raise ConfigError(
                        f"{self._said()}: node {shown(node.name)} depends on a node of its own "
                        f"workflow by id: link({other!r}, {node.name!r}) instead"
                    )

    def plan(self, place: Callable[[Task[Any]], Task[Any]] | None = None) -> Plan:
        """Check the whole, decide every node's id, and order them for writing; writes nothing.

        `place` gives each task in its partition. Raises `ConfigError` as `check` does.
        """
        self.check()
        tasks = {name: node.task for name, node in self._nodes.items()}
        if place is not None:
            tasks = {name: place(task) for name, task in tasks.items()}
        return plan.make_plan(tasks, self._needs, lambda task: task.id or new_id(), self.name)

    def mermaid(self, states: Mapping[str, str | None] | None = None) -> str:
        """Draw it as Mermaid text; with `states`, a state (None: purged) by node name, in colours.

        Raises `ConfigError` for a name or a state that there is not.
        """
        return draw_mermaid(self._needs, states)

    def svg(self, states: Mapping[str, str | None] | None = None) -> str:
        """Draw it as a self-contained SVG; with `states`, a state (None: purged) by node name.

        Raises `ConfigError` as `check` does, and for a name or a state that there is not.
        """
        self.check()
        return draw_svg(self._needs, states, title=self.name or "workflow")

    def _said(self) -> str:
        return "workflow" if self.name is None else f"workflow {shown(self.name)}"

    def _known(self, node: object) -> str:
        if isinstance(node, Node):
            if self._nodes.get(node.name) is node:
                return node.name
            raise ConfigError(f"{self._said()}: {shown(node.name)} is a node of another workflow")
        if isinstance(node, str) and node in self._nodes:
            return node
        raise ConfigError(f"{self._said()}: no node {shown(node)}; give a Node, or the name of one")

    def _add(
        self, task: object, name: str | None, before: Iterable[str], wanted: str | None = None
    ) -> Node:
        found = self._taken(task)
        if name is not None:
            _check_text("name", name)
            if name in self._nodes:
                raise ConfigError(f"{self._said()}: there is a node {shown(name)} already")
        wanted = name or wanted or found.type
        node = Node(self._free(wanted), found)
        self._nodes[node.name] = node
        self._wanted[node.name] = wanted
        self._needs[node.name] = dict.fromkeys(before)
        if found.id is not None:
            self._owns[f"{found.queue}/{found.id}"] = node.name
        return node

    def _taken(self, task: object) -> Task[Any]:
        if not isinstance(task, Task):
            raise ConfigError.of("task", task, "a Task: what TaskType.task(...) gives")
        found = cast("Task[Any]", task)
        if len(self._nodes) >= MAX_NODES:
            raise ConfigError(f"{self._said()}: more than {MAX_NODES:,} nodes")
        for option in ("group", "unique"):
            if getattr(found, option, None) is not None:
                raise ConfigError(
                    f"{self._said()}: the task {shown(found.type)} has {option}=: a node cannot, "
                    "as others wait for this very task"
                )
        full = f"{found.queue}/{found.id}"
        if found.id is not None and full in self._owns:
            raise ConfigError(
                f"{self._said()}: the task {shown(found.type)} has the id {shown(full)}, "
                f"which is that of node {shown(self._owns[full])}"
            )
        return found

    def _free(self, wanted: str) -> str:
        if wanted not in self._nodes:
            return wanted
        for number in itertools.count(self._numbers.get(wanted, 2)):
            name = f"{wanted}-{number}"
            if name not in self._nodes:
                self._numbers[wanted] = number + 1
                return name
        raise AssertionError("unreachable: count is endless")

    def _put(self, parts: Iterable[object], before: Iterable[str]) -> list[str]:
        """Add tasks, and copies of workflows, after these nodes, and give the sinks of them all."""
        before = list(before)
        sinks: list[str] = []
        for part in parts:
            if not isinstance(part, Workflow):
                if not isinstance(part, Task):
                    raise ConfigError.of("task", part, "a Task or a Workflow")
                sinks.append(self._add(cast("object", part), None, before).name)
                continue
            inner = cast("Workflow[Any]", part)
            inner.check()
            copies = {
                name: self._add(node.task, None, (), inner._wanted[name]).name
                for name, node in inner._nodes.items()
            }
            for name, needs in inner._needs.items():
                self._needs[copies[name]] = dict.fromkeys([copies[n] for n in needs] or before)
            dependents = plan.turned(inner._needs)
            sinks += [copy for name, copy in copies.items() if not dependents[name]]
        return sinks


Part = Task[R] | Workflow[R]
"""What `chain` and `gather` are made of."""


@overload
def chain(last: Part[R], /) -> Workflow[R]: ...
@overload
def chain(*parts: *tuple[*tuple[Part[Any], ...], Part[R]]) -> Workflow[R]: ...
def chain(*parts: Part[Any]) -> Workflow[Any]:  # type: ignore[misc]  # mypy holds a tuple that ends so for wider
    """Make a workflow of tasks and workflows that run one after the other.

    Workflows are copied in: each begins when all of the part before it has
    completed. Its result is that of the last part. Raises `ConfigError`.
    """
    made: Workflow[Any] = Workflow()
    sinks: list[str] = []
    for part in _some("chain", parts):
        sinks = made._put((part,), sinks)
    return made


@overload
def gather(*parts: Part[Any], then: Part[R]) -> Workflow[R]: ...
@overload
def gather(*parts: Part[Any], then: None = None) -> Workflow[Any]: ...
def gather(*parts: Part[Any], then: Part[Any] | None = None) -> Workflow[Any]:
    """Make a workflow of tasks and workflows that run side by side.

    Workflows are copied in. `then`, a task or a workflow, begins when all of them
    have completed, and gives the result. Raises `ConfigError`.
    """
    made: Workflow[Any] = Workflow()
    sinks = made._put(_some("gather", parts), ())
    if then is not None:
        made._put((then,), sinks)
    return made


def _some(name: str, parts: tuple[object, ...]) -> tuple[object, ...]:
    if not parts:
        raise ConfigError(f"{name}(): give at least one Task or Workflow")
    return parts


def _check_text(field: str, value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TYPE or not value.isprintable():
        raise ConfigError.of(field, value, f"1 to {MAX_TYPE} printable characters")
