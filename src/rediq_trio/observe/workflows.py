"""How a workflow does: how far it is, at which node it stands still, and what each node waits for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from rediq_trio.observe.words import counted, duration, percent, relative, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.port import Store
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.task import TaskInfo
from rediq_trio.workflow.handle import WorkflowHandle
from rediq_trio.workflow.plan import dependents_of

NODES_READ_AT_ONCE = 50
"""Tasks of a workflow that are read in one call, at most: their payloads come with them."""
NODES_READ = 500
"""Nodes of which the task is read; of more, only the states, and the tasks of those in trouble."""
TROUBLE_READ = 50
NODES_NAMED = 3
"""Nodes that a sentence names."""
NODE_NAME_SHOWN = 40
LISTED_ORDER = (
    State.DEAD, State.CANCELLED, State.RETRY, State.ACTIVE, State.PENDING, State.SCHEDULED, State.GROUPED,
    State.BLOCKED, None, State.COMPLETED,
)  # fmt: skip
"""States as a list shows them: trouble first. None is for a node that is gone."""
_FAILED = (State.DEAD, State.CANCELLED)
_OVER = (State.COMPLETED, State.DEAD, State.CANCELLED, None)


@attrs.frozen(kw_only=True)
class WorkflowView:
    """One workflow at one instant."""

    status: WorkflowStatus
    at: dt.datetime
    needs: Mapping[str, Sequence[str]]
    """Each node's name with the names of those that it waits for."""
    ids: Mapping[str, str]
    """The id of each node's task."""
    states: Mapping[str, State | None]
    tasks: Mapping[str, TaskInfo]
    """The tasks that were read: of at most 500 nodes all, else of those in trouble."""

    @property
    def stuck(self) -> str | None:
        """The node that failed first, for which others wait or failed; None if none has failed."""

        def rank(name: str) -> tuple[bool, float]:
            before = [self.states[each] for each in self.needs[name]]
            by_itself = not any(state in _FAILED for state in before)
            task = self.tasks.get(name)
            ended = task.finished_at if task is not None else None
            return not by_itself, ended.timestamp() if ended else float("inf")

        failed = [name for name, state in self.states.items() if state in _FAILED]
        return min(failed, key=rank, default=None)

    @property
    def lit(self) -> frozenset[str]:
        """The nodes that have failed, and those that will not run because of them."""
        below, found = dependents_of(self.needs), set[str]()
        stack = [name for name, state in self.states.items() if state in _FAILED]
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack += [each for each in below[name] if self.states[each] is not State.COMPLETED]
        return frozenset(found)

    @property
    def behind(self) -> int:
        """How many nodes wait for one that has failed."""
        return sum(self.states[name] not in _OVER for name in self.lit)

    @property
    def took(self) -> float | None:
        """Seconds from its start to its end, or until now; None if the end of no task is known."""
        begun = self.status.created_at
        if self.status.state == "running":
            return max(0.0, (self.at - begun).total_seconds())
        ends = [task.finished_at for task in self.tasks.values() if task.finished_at is not None]
        return max(0.0, (max(ends) - begun).total_seconds()) if ends else None

    def words(self, name: str) -> str:
        """Return how far a node is, in a few words."""
        state, task = self.states[name], self.tasks.get(name)
        if state is None:
            return "gone"
        if state is State.BLOCKED:
            done = (State.COMPLETED, None)
            open_ones = [each for each in self.needs[name] if self.states[each] not in done]
            return f"by {named(open_ones)}" if open_ones else "by its dependencies"
        return state.value if task is None else node_words(task, self.at)

    def ordered(self) -> list[str]:
        """Return the nodes, those in trouble first."""
        place = {name: number for number, name in enumerate(self.needs)}
        return sorted(self.needs, key=lambda name: (LISTED_ORDER.index(self.states[name]), place[name]))


def node_words(task: TaskInfo, now: dt.datetime) -> str:
    """Return how far a task is, in a few words: "41 s", "3 of 3 attempts", "62 %, 1 min 40 s"."""
    attempts = f"{task.attempt} of {counted(task.max_retry + 1, 'attempt')}"
    match task.state:
        case State.COMPLETED if task.started_at and task.finished_at:
            return duration((task.finished_at - task.started_at).total_seconds())
        case State.ACTIVE:
            since = now - (task.started_at or now)
            ran = duration(max(0.0, since.total_seconds()))
            return f"{percent(task.progress.percent / 100)}, {ran}" if task.progress else ran
        case State.DEAD:
            return attempts if task.attempt else "never ran"
        case State.RETRY:
            return f"{task.attempt} of {task.max_retry + 1}, {relative(task.run_at, now)}"
        case State.SCHEDULED:
            return relative(task.run_at, now)
        case State.PENDING:
            return f"waits for {duration(max(0.0, (now - task.run_at).total_seconds()))}"
        case _:
            return task.state.value


def named(names: Sequence[str], most: int = NODES_NAMED) -> str:
    """Return names in a list of at most so many: "a, b and 4 more"."""
    some = ", ".join(shown(name, NODE_NAME_SHOWN) for name in names[:most])
    return some + (f" and {len(names) - most:,} more" if len(names) > most else "")


async def read_workflow(handle: WorkflowHandle[Any]) -> WorkflowView:
    """Read a workflow: the states of its nodes, and the tasks of up to 500 of them.

    The tasks are read after the states, in calls for 50, so a node may have moved on between. Raises
    `ConnectionLost`.
    """
    at = utc_now()
    states = await handle.states()
    status = await handle.status()
    wanted: Iterable[str] = states
    if len(states) > NODES_READ:
        urgent = (*_FAILED, State.ACTIVE, State.RETRY)
        wanted = [name for name, state in states.items() if state in urgent][:TROUBLE_READ]
    tasks = await _read_tasks(handle, [name for name in wanted if states[name] is not None])
    # A task that was read moved on perhaps: one page shows one state of it.
    states |= {name: task.state for name, task in tasks.items()}
    return WorkflowView(
        status=status,
        at=at,
        needs=handle.needs,
        ids={name: each.id for name, each in handle.handles.items()},
        states=states,
        tasks=tasks,
    )


async def _read_tasks(handle: WorkflowHandle[Any], names: Iterable[str]) -> dict[str, TaskInfo]:
    by_partition: dict[tuple[str, Store], list[str]] = {}
    for name in names:
        one = handle.handles[name]
        by_partition.setdefault((one._partition, one._store), []).append(name)
    found: dict[str, TaskInfo] = {}
    for (partition, store), some in by_partition.items():
        for first in range(0, len(some), NODES_READ_AT_ONCE):
            part = some[first : first + NODES_READ_AT_ONCE]
            ids = [handle.handles[name]._local_id for name in part]
            records = await store.get(partition, ids, skip_newer=True)
            for name, record in zip(part, records, strict=True):
                if record is not None:
                    found[name] = make_task_info(partition, record)
    return found
