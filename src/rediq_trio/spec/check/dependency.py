"""A dependency: a task (the source), and one that waits for its end (the dependent).

It is stored twice: `edges` lists the dependent for the source, `needs` the source for the
dependent. Each is stored in the queue of its task.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Findings, Repairs, Target, TargetType
from rediq_trio.spec.ids import split_ref
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import QueueState, Record


@attrs.frozen
class DependencyView:
    """A task and one that waits for it. A task of another queue cannot be seen."""

    target: Target
    in_edges: bool
    """`edges` lists the dependent for the source."""
    in_needs: bool
    """`needs` lists the source for the dependent."""
    source: Record | None
    dependent: Record | None
    has_source: bool
    """The source has a record, readable or not."""
    needs: int
    """How many tasks `needs` lists for the dependent."""
    unresolved: bool | None
    """Dependents of the source have still to be notified of its end; None if that would take too long
    to find out."""

    @property
    def crosses_queues(self) -> bool:
        """One of the two is in another queue."""
        return bool(split_ref(self.target.name)[0] or split_ref(self.target.other)[0])

    @property
    def source_lives(self) -> bool:
        """The source has not ended."""
        return self.source is not None and not self.source.terminal


def dependency_target(source: str, dependent: str, *raw: bytes) -> Target:
    return Target(TargetType.DEPENDENCY, source, dependent, raw)


def targets_of(queue: QueueState) -> Iterator[Target]:
    for source, dependents in queue.edges.items():
        yield from (dependency_target(source, each) for each in sorted(dependents))
    for dependent, sources in queue.needs.items():
        yield from (dependency_target(each, dependent) for each in sorted(sources))


def view_of(queue: QueueState, _now: int, target: Target) -> DependencyView:
    source, dependent = target.name, target.other
    record = queue.records.get(source)
    return DependencyView(
        target,
        in_edges=dependent in queue.edges.get(source, ()),
        in_needs=source in queue.needs.get(dependent, ()),
        source=record,
        dependent=queue.records.get(dependent),
        has_source=record is not None,
        needs=len(queue.needs.get(dependent, ())),
        unresolved=any(ending.id == source for ending in queue.endings),
    )


def lacks_one(view: DependencyView) -> bool:
    """Return whether the dependent waits for more tasks than `needs` lists."""
    dependent = view.dependent
    if view.crosses_queues or dependent is None or dependent.state is not State.BLOCKED:
        return False
    return view.needs < dependent.waits


def violations_of(view: DependencyView) -> Findings:
    """Check that both sides list the dependency, and that the dependent was notified of an end."""
    alive, first, second = view.source_lives, view.target.name, view.target.other
    if view.in_edges:
        # An unreadable source is a violation of its own; a claim buries it, and notifies then.
        over = not alive and not (view.has_source and view.source is None)
        if over and view.unresolved is False:
            yield 13, f"{first} has ended, and {second} was not notified"
        if alive and view.source is not None and not view.source.has_dependents:
            yield 13, f"the record of {first} does not say that tasks wait for it"
    if not view.in_needs:
        if view.in_edges and alive and lacks_one(view):
            yield 8, f"`needs` does not list {first} for {second}, which waits for it"
    elif view.dependent is None:
        yield 2, f"`needs` still lists {first} for {second}, which no longer exists"
    elif (
        view.dependent.state is State.BLOCKED
        and view.source is not None
        and not view.in_edges
        and (view.unresolved is False or alive)
    ):
        yield 13, f"{second} waits for {first}, and will not be notified: `edges` does not list it"


def repairs_of(view: DependencyView) -> Repairs:
    source, alive = view.source, view.source_lives
    first, second = view.target.name, view.target.other
    if (view.has_source and source is None) or (not alive and view.unresolved is not False):
        return
    blocked = view.dependent is not None and view.dependent.state is State.BLOCKED
    why = "who waits for a task is notified of how it ended"
    before, after = "", f"{second} is notified"
    if view.in_edges and alive:
        after = "it does"
        if lacks_one(view) and not view.in_needs:
            before = f"`needs` does not list {first}"
            why = f"`edges` does, and {second} waits for one more than `needs` lists"
        elif source is not None and not source.has_dependents:
            before = f"{first} does not say that tasks wait for it"
    elif view.in_edges and source is not None:
        before = f"{first} is {source.state}"
    elif view.in_edges and not view.crosses_queues and not (blocked and view.in_needs):
        before, after = f"{first} is gone, and `edges` lists it", "not listed"
        why = f"{second} no longer waits for it"
    elif view.in_needs and blocked and source is not None and source.state is not State.GROUPED:
        before, after = f"`edges` does not list {second}", "it does" if alive else after
    if before:
        yield Action.RELINK, before, after, why
