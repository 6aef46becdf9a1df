"""WorkflowHandle: one enqueued workflow, by the handles of its tasks.

What it is made of is in its record (`workflow.graph`); how far it is, only its tasks know. It has
ended when each task has. Its outcome is that of its sinks, the nodes that no other node waits for.
If it failed, the cause is the failed node nearest to the roots.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

import attrs
import trio

from rediq_trio._errors import (
    ConfigError,
    ConnectionLost,
    RediqError,
    TaskCancelled,
    TaskFailed,
    TaskNotFound,
)
from rediq_trio._errors.nursery import unwrapped_errors
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.audit.audited import audited
from rediq_trio.store.port import BATCH
from rediq_trio.store.relay import log_deaths, relay
from rediq_trio.store.retrying import until_answered
from rediq_trio.tasks.handle import TaskHandle, failure_of, wait_at_most
from rediq_trio.tasks.task_info import make_task_info
from rediq_trio.tasks.too_slow import EXPLAIN_WITHIN, too_slow
from rediq_trio.values.bounds import Duration
from rediq_trio.values.observed.workflow import WorkflowStatus
from rediq_trio.values.task import TaskInfo
from rediq_trio.workflow import plan
from rediq_trio.workflow.graph import FAILED_STATES, Graph, outcome_of, read_states, runs
from rediq_trio.workflow.listing import status_of
from rediq_trio.workflow.picture import draw_mermaid, draw_svg

R = TypeVar("R")


@attrs.frozen(kw_only=True)
class WorkflowInfo:
    """What is known about a workflow when it was read; nodes before those that wait for them."""

    states: Mapping[str, State | None]
    """The state of each node; None for a node that was purged or deleted."""
    tasks: Mapping[str, TaskInfo]
    """The `TaskInfo` of each node that still exists."""
    counts: Mapping[State, int]
    """How many nodes are in each state."""
    purged: int
    """How many nodes exist no longer."""
    done: bool
    """Whether every node has ended or exists no longer."""
    state: str
    """`running` until it is done; then `completed`, `dead` or `cancelled`."""
    failed: str | None
    """The node that failed first, which made others fail; None if none has failed."""


class WorkflowHandle(Generic[R]):
    """One enqueued workflow. A handle holds no connection; every method asks the store."""

    def __init__(
        self, graph: Graph, handles: Mapping[str, TaskHandle[Any]], created_ms: int = 0
    ) -> None:
        self._graph, self._created_ms = graph, created_ms
        self._needs = graph.needs
        self.needs: Mapping[str, Sequence[str]] = MappingProxyType(self._needs)
        """Each node's name with the names of those that it waits for."""
        if missing := self._needs.keys() - handles.keys():
            raise ConfigError(f"WorkflowHandle: no handle for node {min(missing)!r}")
        self._own_ids = {node.name for node in graph.nodes if node.own_id}
        self._sinks = graph.sinks
        self._store = handles[self._sinks[0]]._store
        self.name = graph.name
        """The workflow's name."""
        self.handles: Mapping[str, TaskHandle[Any]] = MappingProxyType(
            {name: handles[name] for name in self._needs}
        )
        """The handle of each task by its node's name, nodes before those that wait for them."""
        self.id = graph.id
        """The workflow's id: `Client.workflow` finds it again by it."""

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.id} of {len(self.handles)} nodes>"

    async def info(self) -> WorkflowInfo:
        """Read its tasks, up to 1,000 of a queue in one call.

        Raises `TaskNotFound` when none of them exists any more.
        """
        names: dict[str, list[str]] = {}
        for name, handle in self.handles.items():
            names.setdefault(handle._partition, []).append(name)
        tasks: dict[str, TaskInfo] = {}
        for queue, node_names in names.items():
            store = self.handles[node_names[0]]._store
            for first in range(0, len(node_names), BATCH):
                part = node_names[first : first + BATCH]
                records = await store.get(queue, [self.handles[name]._local_id for name in part])
                for name, record in zip(part, records, strict=True):
                    info = None if record is None else make_task_info(queue, record)
                    # An id of the caller may be that of a later task.
                    if info and (name not in self._own_ids or info.workflow == self.id):
                        tasks[name] = info
        if not tasks:
            raise TaskNotFound(self.handles[self._sinks[0]].id)
        return self._summary({name: tasks[name] for name in self._needs if name in tasks})

    def _summary(self, tasks: Mapping[str, TaskInfo]) -> WorkflowInfo:
        states = {name: tasks[name].state if name in tasks else None for name in self._needs}
        known = list(states.values())
        return WorkflowInfo(
            states=MappingProxyType(states),
            tasks=MappingProxyType(dict(tasks)),
            counts=MappingProxyType({each: known.count(each) for each in State}),
            purged=known.count(None),
            done=not any(map(runs, known)),
            state=outcome_of(self._graph, states),
            failed=self._first_failed(tasks),
        )

    def _first_failed(self, tasks: Mapping[str, TaskInfo]) -> str | None:
        def by_itself(name: str) -> bool:
            # Dead tasks are kept longer than completed ones, so a missing one most likely completed.
            return all(
                other not in tasks or tasks[other].state is State.COMPLETED
                for other in self._needs[name]
            )

        def rank(name: str) -> tuple[bool, float]:
            ended = tasks[name].finished_at
            return not by_itself(name), ended.timestamp() if ended else float("inf")

        failed = [name for name, task in tasks.items() if task.state in FAILED_STATES]
        return min(failed, key=rank, default=None)

    async def result(self, timeout: Duration | None = None) -> R:
        """Wait until every sink has ended; return its result, or of several by their names.

        When a sink did not complete, raises the `TaskFailed` or `TaskCancelled` of the
        task that failed first, or `TaskNotFound` if a sink does not exist and no task
        failed. Raises `PayloadError` as `TaskHandle.result` does, and `trio.TooSlowError`
        after `timeout` seconds. Cancelling the wait does not affect the workflow.
        """
        results: dict[str, Any] = {}
        errors: dict[str, RediqError] = {}

        async def ask(name: str) -> None:
            try:
                results[name] = await self.handles[name].result()
            except (TaskFailed, TaskCancelled, TaskNotFound) as error:
                errors[name] = error

        with wait_at_most(timeout) as scope:
            # All at the same time: each wait keeps its task from being purged before it is read.
            await _for_each(ask, self._sinks)
            if errors:
                raise await self._cause(errors)
        if scope.cancelled_caught:
            raise await self._too_slow(timeout)
        found: Any = {name: results[name] for name in self._sinks}
        if len(found) == 1:
            (found,) = found.values()
        return cast("R", found)

    async def _cause(self, errors: Mapping[str, RediqError]) -> RediqError:
        first = next(errors[name] for name in self._sinks if name in errors)
        try:
            info = await until_answered(self.info)
        except TaskNotFound:
            return first
        if info.failed is None:
            return first
        return failure_of(info.tasks[info.failed]) or first

    async def wait(self, timeout: Duration | None = None) -> WorkflowInfo:
        """Wait until every task has ended in any way, and read them all.

        Raises `TaskNotFound` and `trio.TooSlowError` as `result` does.
        """

        async def wait(name: str) -> None:
            try:
                await self.handles[name].wait()
            except TaskNotFound:
                pass  # it was purged, so it has ended

        with wait_at_most(timeout):
            await _for_each(wait, self._sinks)
            # After a branch failed, nodes may still run for which no sink waits any more.
            while not (info := await until_answered(self.info)).done:
                await _for_each(wait, [n for n, state in info.states.items() if runs(state)])
            return info
        raise await self._too_slow(timeout)

    async def _too_slow(self, timeout: Duration | None) -> trio.TooSlowError:
        """Return the error that says what the first node that has not ended waits for."""
        name = self._sinks[0]
        with trio.move_on_after(EXPLAIN_WITHIN), suppress(ConnectionLost, TaskNotFound):
            # Without an answer, the last node is explained, and says so.
            states = (await self.info()).states
            name = next((each for each, state in states.items() if runs(state)), name)
        handle = self.handles[name]
        error = await too_slow(handle._store, handle._partition, handle._local_id, timeout)
        return trio.TooSlowError(f"node {name!r}: {error}")

    @audited("workflow", "id")
    async def cancel(self) -> dict[str, State | None]:
        """Cancel every task that has not ended; return the state of each, None if purged.

        Dependents are cancelled before their dependencies, so no further task starts.
        `active` is a task whose worker was asked to stop it; `wait()` returns how it ended.
        When interrupted, tasks cancelled so far stay cancelled, and the call may be
        repeated. Raises `TaskNotFound` when no task exists any more.
        """
        states = dict((await self.info()).states)

        async def cancel(name: str) -> None:
            handle = self.handles[name]
            answer = await handle._store.cancel(handle._partition, handle._local_id)
            states[name] = answer.state
            await log_deaths(handle._store, [(handle._partition, one) for one in answer.deaths])

        distances = plan.layers(plan.dependents_of(self._needs))
        for distance in range(max(distances.values()) + 1):
            together = [name for name in self._needs if distances[name] == distance]
            await _for_each(cancel, [name for name in together if runs(states[name])])
        await self._relay()
        return states

    @audited("workflow", "id")
    async def retry(self) -> dict[str, State | None]:
        """Make what has failed ready again; return the state of each task, None if purged.

        Dead and cancelled tasks are revived, those before the ones that wait for them, which wait
        again. What has completed stays so. A task may stay as it was, as with `TaskHandle.retry`; one
        whose dependency is gone stays dead. When interrupted, tasks revived so far stay revived, and
        the call may be repeated. Raises `TaskNotFound` when no task exists any more.
        """
        states = await self.states()
        if not any(states.values()):
            raise TaskNotFound(self.handles[self._sinks[0]].id)
        steps = plan.layers(self._needs)
        for step in range(max(steps.values()) + 1):
            failed: dict[str, list[str]] = {}
            for name in self._needs:
                if steps[name] == step and states[name] in FAILED_STATES:
                    failed.setdefault(self.handles[name]._partition, []).append(name)
            for queue, names in failed.items():
                ids = [self.handles[name]._local_id for name in names]
                revived = await self._store.revive(queue, ids)
                states.update(zip(names, revived, strict=True))
        await self._relay()
        return states

    async def _relay(self) -> None:
        for queue, store in {h._partition: h._store for h in self.handles.values()}.items():
            await relay(store, queue)

    async def states(self) -> dict[str, State | None]:
        """Read the state of each node, None for one whose task exists no longer, and nothing else."""
        (states,) = await read_states(self._store, [self._graph])
        return states

    async def status(self) -> WorkflowStatus:
        """Read how many of its tasks are done, running and failed, but nothing else of them.

        One call for each queue, which takes Redis some microseconds a task. When no task exists
        any more, its state is `gone`.
        """
        return status_of(self._graph, self._created_ms, await self.states())

    async def mermaid(self) -> str:
        """Return a drawing as Mermaid text, coloured by the current states; raises as `info` does."""
        return draw_mermaid(self._needs, (await self.info()).states)

    async def svg(self) -> str:
        """Return a drawing as an SVG, coloured by the current states; raises as `info` does."""
        states = (await self.info()).states
        return draw_svg(self._needs, states, title=self.name or "workflow")


async def _for_each(do: Callable[[str], Awaitable[None]], names: Iterable[str]) -> None:
    """Run `do` for all names in parallel; the first error ends all, and is raised unwrapped."""
    async with unwrapped_errors(), trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(do, name)
