"""WorkflowHandle: one enqueued workflow, by the handles of its tasks.

What a workflow is, its tasks say: nothing is kept of it beside them. It has
ended when each of them has; its outcome is that of its sinks, the nodes that
nobody waits for, and the cause of a bad one is the failed node nearest the roots.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, Generic, TypeVar

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
from rediq_trio._nursery import held_back
from rediq_trio.spec.lifecycle import TERMINAL, State
from rediq_trio.store.port import BATCH
from rediq_trio.store.relay import relay
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.task_info import describe
from rediq_trio.values.bounds import check_number
from rediq_trio.values.task import TaskInfo
from rediq_trio.workflow import plan
from rediq_trio.workflow.picture import draw_mermaid, draw_svg
from rediq_trio.workflow.plan import Plan

R = TypeVar("R")

_FAILED = (State.DEAD, State.CANCELLED)


@attrs.frozen(kw_only=True)
class WorkflowInfo:
    """What is known of a workflow; each task as it was when it was read, the first ones first."""

    states: Mapping[str, State | None]
    """The state of each node; None for one that was purged or deleted."""
    tasks: Mapping[str, TaskInfo]
    """What is known of each node that is still there."""
    counts: Mapping[State, int]
    """How many nodes are in each state."""
    purged: int
    """How many nodes are there no longer."""
    done: bool
    """Whether every node has ended, or is there no longer."""
    state: str
    """`running` until it is done; then `completed`, `dead` or `cancelled`, as its result says."""
    failed: str | None
    """The node that failed first: the cause of the others; None when none has failed."""


class WorkflowHandle(Generic[R]):
    """One enqueued workflow. Holding it costs nothing; every method asks the store."""

    def __init__(self, plan: Plan, handles: Mapping[str, TaskHandle[Any]]) -> None:
        self._needs = plan.needs()
        if missing := self._needs.keys() - handles.keys():
            raise ConfigError(f"WorkflowHandle: no handle for node {min(missing)!r}")
        self._sinks = tuple(node.name for node in plan.sinks)
        self.name = plan.name
        """The workflow's name."""
        self.handles: Mapping[str, TaskHandle[Any]] = MappingProxyType(
            {name: handles[name] for name in self._needs}
        )
        """The handle of each task by its node's name, those before that others wait for."""
        self.id = self.handles[self._sinks[0]].id
        """The id of its last task; of several that nobody waits for, the one added first."""

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.id} of {len(self.handles)} nodes>"

    async def info(self) -> WorkflowInfo:
        """Read its tasks, up to 1,000 of a queue in one call.

        Raises `TaskNotFound` when none of them is there any more.
        """
        names: dict[str, list[str]] = {}
        for name, handle in self.handles.items():
            names.setdefault(handle._place, []).append(name)
        tasks: dict[str, TaskInfo] = {}
        for queue, all_of_it in names.items():
            store = self.handles[all_of_it[0]]._store
            for first in range(0, len(all_of_it), BATCH):
                part = all_of_it[first : first + BATCH]
                records = await store.get(queue, [self.handles[name]._own for name in part])
                for name, record in zip(part, records, strict=True):
                    if record is not None:
                        tasks[name] = describe(queue, record)
        if not tasks:
            raise TaskNotFound(self.id)
        return self._summary({name: tasks[name] for name in self._needs if name in tasks})

    def _summary(self, tasks: Mapping[str, TaskInfo]) -> WorkflowInfo:
        states = {name: tasks[name].state if name in tasks else None for name in self._needs}
        done = all(state is None or state in TERMINAL for state in states.values())
        failed = self._first_failed(tasks)
        # A node may fail and those after it run all the same, if its policy says so; only
        # what a sink has come to counts, where that is known.
        bad = any(states[name] in (*_FAILED, None) for name in self._sinks)
        state = "completed"
        if not done:
            state = "running"
        elif bad and failed is not None:
            state = tasks[failed].state.value
        known = list(states.values())
        return WorkflowInfo(
            states=MappingProxyType(states),
            tasks=MappingProxyType(dict(tasks)),
            counts=MappingProxyType({each: known.count(each) for each in State}),
            purged=known.count(None),
            done=done,
            state=state,
            failed=failed,
        )

    def _first_failed(self, tasks: Mapping[str, TaskInfo]) -> str | None:
        def by_itself(name: str) -> bool:
            # Dead tasks outlast completed ones: what is gone has most likely completed.
            return all(
                other not in tasks or tasks[other].state is State.COMPLETED
                for other in self._needs[name]
            )

        def rank(name: str) -> tuple[bool, float]:
            ended = tasks[name].finished_at
            return not by_itself(name), ended.timestamp() if ended else float("inf")

        failed = [name for name, task in tasks.items() if task.state in _FAILED]
        return min(failed, key=rank, default=None)

    async def result(self, timeout: float | None = None) -> R:
        """Wait until every sink has ended, and give the result of the one, or of each by its name.

        Raises `TaskFailed` or `TaskCancelled` of the task that failed first, when
        a sink did not complete; `TaskNotFound` when a sink is not there (any more)
        and no failed task tells why; `PayloadError` as `TaskHandle.result` does;
        `trio.TooSlowError` after `timeout` seconds. Cancelling the wait leaves
        the workflow alone.
        """
        results: dict[str, Any] = {}
        errors: dict[str, RediqError] = {}

        async def ask(name: str) -> None:
            try:
                results[name] = await self.handles[name].result()
            except (TaskFailed, TaskCancelled, TaskNotFound) as error:
                errors[name] = error

        with _within(timeout):
            # All at once: each keeps its task from being purged before it was read.
            await _each(ask, self._sinks)
            if errors:
                raise await self._cause(errors)
        several: Any = {name: results[name] for name in self._sinks}
        found: R = several if len(several) > 1 else results[self._sinks[0]]
        return found

    async def _cause(self, errors: Mapping[str, RediqError]) -> RediqError:
        first = next(errors[name] for name in self._sinks if name in errors)
        try:
            info = await self._patiently()
        except TaskNotFound:
            return first
        if info.failed is None:
            return first
        task = info.tasks[info.failed]
        if task.state is State.CANCELLED:
            return TaskCancelled(task.id)
        return TaskFailed(task.id, task.state.value, task.error or "")

    async def _patiently(self) -> WorkflowInfo:
        # A waiter outlives a restart of Redis: it just looks again.
        while True:
            try:
                return await self.info()
            except ConnectionLost:
                await trio.sleep(random.uniform(0.1, 0.5))

    async def wait(self, timeout: float | None = None) -> WorkflowInfo:
        """Wait until every task has ended, however, and read them all.

        Raises `TaskNotFound` and `trio.TooSlowError` as `result` does.
        """

        async def wait(name: str) -> None:
            try:
                await self.handles[name].wait()
            except TaskNotFound:
                pass  # it was purged, so it has ended

        with _within(timeout):
            await _each(wait, self._sinks)
            # Where a branch failed, others may still run that no sink waits for by now.
            while not (info := await self._patiently()).done:
                running = [n for n, s in info.states.items() if s is not None and s not in TERMINAL]
                await _each(wait, running)
            return info

    async def cancel(self) -> dict[str, State | None]:
        """Cancel every task that has not ended; give the state each is in now, None for a purged one.

        Those that wait go before those they wait for, so nothing of it begins
        any more. `active` is a task whose worker was asked to stop it; `wait()`
        tells how it ended. Ended or cancelled half-way, what was done stays done,
        and to repeat it is safe. Raises `TaskNotFound` when none is there any more.
        """
        states = dict((await self.info()).states)

        async def cancel(name: str) -> None:
            handle = self.handles[name]
            states[name] = await handle._store.cancel(handle._place, handle._own)

        for together in self._from_the_sinks():
            await _each(
                cancel, [n for n in together if (s := states[n]) is not None and s not in TERMINAL]
            )
        for queue, store in {h._place: h._store for h in self.handles.values()}.items():
            await relay(store, queue)
        return states

    def _from_the_sinks(self) -> list[list[str]]:
        distance = plan.layers(plan.turned(self._needs))
        steps: list[list[str]] = [[] for _ in range(max(distance.values()) + 1)]
        for name in self._needs:
            steps[distance[name]].append(name)
        return steps

    async def mermaid(self) -> str:
        """Draw it as Mermaid text, in the colours of its states now; raises as `info` does."""
        return draw_mermaid(self._needs, (await self.info()).states)

    async def svg(self) -> str:
        """Draw it as a self-contained SVG, in the colours of its states now; raises as `info` does."""
        states = (await self.info()).states
        return draw_svg(self._needs, states, title=self.name or "workflow")


def _within(timeout: float | None) -> AbstractContextManager[trio.CancelScope]:
    if timeout is not None:
        check_number("timeout", timeout, 0, float("inf"))
    return trio.fail_after(float("inf") if timeout is None else timeout)


async def _each(do: Callable[[str], Awaitable[None]], names: Iterable[str]) -> None:
    """Do it for all the names at once; the first error ends them all, and leaves as it was raised."""
    async with held_back(), trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(do, name)
