"""A dependency: a task (the source), and one that waits for its end (the dependent).

It is stored twice: `edges` lists the dependent for the source, `needs` the source for the
dependent. Each is stored in the queue of its task.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation, violation
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
    """Return the target of a dependency."""
    return Target(TargetType.DEPENDENCY, source, dependent, raw)


def targets_of(queue: QueueState) -> Iterator[Target]:
    """Return the dependencies in a queue of the specification, as both sides list them."""
    for source, dependents in queue.edges.items():
        yield from (dependency_target(source, each) for each in sorted(dependents))
    for dependent, sources in queue.needs.items():
        yield from (dependency_target(each, dependent) for each in sorted(sources))


def view_of(queue: QueueState, _now: int, target: Target) -> DependencyView:
    """Return the view of a dependency of the specification."""
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


def violations_of(view: DependencyView) -> Iterator[Violation]:
    """Check that both sides list the dependency, and that the dependent was notified of an end."""
    target, alive = view.target, view.source_lives
    first, second = target.name, target.other
    if view.in_edges:
        # An unreadable source is a violation of its own; a claim buries it, and notifies then.
        over = not alive and not (view.has_source and view.source is None)
        if over and view.unresolved is False:
            yield violation(13, target, f"{first} has ended, and {second} was not notified")
        if alive and view.source is not None and not view.source.has_dependents:
            yield violation(
                13, target, f"the record of {first} does not say that tasks wait for it"
            )
    if not view.in_needs:
        if view.in_edges and alive and lacks_one(view):
            yield violation(
                8, target, f"`needs` does not list {first} for {second}, which waits for it"
            )
    elif view.dependent is None:
        yield violation(
            2, target, f"`needs` still lists {first} for {second}, which no longer exists"
        )
    elif (
        view.dependent.state is State.BLOCKED
        and view.source is not None
        and not view.in_edges
        and (view.unresolved is False or alive)
    ):
        yield violation(
            13,
            target,
            f"{second} waits for {first}, and will not be notified: `edges` does not list it",
        )


ACTIONS = frozenset({Action.RELINK})
"""What a repair of a dependency can do."""


def repairs_of(view: DependencyView) -> Iterator[Repair]:
    """Return what can be repaired of a dependency."""
    source, target, alive = view.source, view.target, view.source_lives
    first, second = target.name, target.other
    if view.has_source and source is None:
        return
    blocked = view.dependent is not None and view.dependent.state is State.BLOCKED
    if not alive and view.unresolved is not False:
        return
    reason = "who waits for a task is notified of how it ended"
    if view.in_edges and alive:
        if lacks_one(view) and not view.in_needs:
            yield Repair(Action.RELINK, target, f"`needs` does not list {first}", "it does",
                         f"`edges` does, and {second} waits for one more than `needs` lists")  # fmt: skip
        elif source is not None and not source.has_dependents:
            yield Repair(Action.RELINK, target, f"{first} does not say that tasks wait for it",
                         "it does", reason)  # fmt: skip
    elif view.in_edges and source is not None:
        yield Repair(
            Action.RELINK, target, f"{first} is {source.state}", f"{second} is notified", reason
        )
    elif view.in_edges and not view.crosses_queues and not (blocked and view.in_needs):
        yield Repair(Action.RELINK, target, f"{first} is gone, and `edges` lists it", "not listed",
                     f"{second} no longer waits for it")  # fmt: skip
    elif view.in_needs and blocked and source is not None and source.state is not State.GROUPED:
        yield Repair(Action.RELINK, target, f"`edges` does not list {second}",
                     "it does" if alive else f"{second} is notified", reason)  # fmt: skip
