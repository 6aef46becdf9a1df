"""Enqueueing many tasks in steps, each of one queue and all or nothing.

A step is refused when one of its tasks finds no room, or not the task that it needs. An id that
exists, or a unique key that is taken, refuses nothing: the handle is that of the existing task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import attrs
import trio

from rediq_trio._errors import PartlyEnqueued, RediqError, Unconfirmed
from rediq_trio.spec.messages import Answer, AnswerKind, Enqueued, NewTask
from rediq_trio.store.port import BATCH
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.prepare import PreparedTask
from rediq_trio.values.chance import uniform

FULL_QUEUE_FIRST_PAUSE, FULL_QUEUE_LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two attempts to enqueue into a full queue."""
ENQUEUE_BYTES_MAX = 4 * 1024 * 1024
"""Maximum bytes of envelopes that one call carries, unless a single one is larger."""

TasksByPlace = Mapping[int, PreparedTask]
"""Tasks by their place among all that were given."""


class Send(Protocol):
    """Sends tasks to their queue; with `step`, all or nothing."""

    def __call__(
        self, queue: str, tasks: Sequence[NewTask], /, *, repeatable: bool, step: bool
    ) -> Awaitable[Enqueued]: ...


@attrs.frozen
class StepWriter:
    """Writes the tasks of one `enqueue_many`, and collects their handles."""

    prepared: Sequence[PreparedTask]
    wait: bool
    """Wait for room in a full queue."""
    send: Send
    handle_of: Callable[[PreparedTask, Any], TaskHandle[Any]]
    """Returns the handle for an answer; raises if the task was refused."""
    relay: Callable[[str], Awaitable[None]]
    """Relays the messages of a queue."""
    handles: dict[int, TaskHandle[Any]] = attrs.field(factory=dict)

    async def write(self) -> list[TaskHandle[Any]]:
        """Write all tasks; raise `PartlyEnqueued` for an error after some were written."""
        try:
            await self._write_queues()
        except RediqError as error:
            all_written = len(self.handles) == len(self.prepared)
            if not self.handles or (isinstance(error, Unconfirmed) and all_written):
                raise
            refused = [one.named for n, one in enumerate(self.prepared) if n not in self.handles]
            written = [self.handles.get(n) for n in range(len(self.prepared))]
            raise PartlyEnqueued(written, refused, error) from error
        return [self.handles[n] for n in range(len(self.prepared))]

    async def _write_queues(self) -> None:
        by_queue: dict[str, dict[int, PreparedTask]] = {}
        for n, one in enumerate(self.prepared):
            by_queue.setdefault(one.task.queue, {})[n] = one
        for queue, some in by_queue.items():
            for step in _split(some):
                await self._write_step(queue, step)
            if any(one.elsewhere for one in some.values()):
                await self.relay(queue)

    async def _write_step(self, queue: str, step: TasksByPlace) -> None:
        """Write a step. With `wait`, what finds room is a step of its own, and the rest waits."""
        pause = FULL_QUEUE_FIRST_PAUSE
        now: TasksByPlace = step
        while step:
            answers = await self._send(queue, now)
            first = _first_refused(answers)
            if not self.wait or first is None or answers[first].kind is not AnswerKind.FULL:
                self._add_handles(now, answers)
                left: dict[int, PreparedTask] = {n: step[n] for n in step if n not in now}
                now = step = left
                pause = FULL_QUEUE_FIRST_PAUSE
            elif first:
                fitting: dict[int, PreparedTask] = {n: step[n] for n in [*step][:first]}
                now = fitting
                continue
            if step:
                await trio.sleep(uniform(pause / 2, pause))
                pause = min(FULL_QUEUE_LONGEST_PAUSE, pause * 2)
                now = step

    async def _send(self, queue: str, step: TasksByPlace) -> Any:
        new_tasks = [one.new for one in step.values()]
        repeatable = all(one.task.id is None for one in step.values())
        try:
            # A single task needs no step of its own, and can share a call with others.
            return await self.send(queue, new_tasks, repeatable=repeatable, step=len(step) > 1)
        except Unconfirmed as unconfirmed:
            self._add_handles(step, cast("Enqueued", unconfirmed.answer))
            raise

    def _add_handles(self, step: TasksByPlace, answers: Enqueued) -> None:
        """Add the handles of a step; raise, and add none, if it was refused."""
        first = _first_refused(answers)
        if first is not None:
            self.handle_of([*step.values()][first], answers[first])
        for (n, one), answer in zip(step.items(), answers, strict=True):
            self.handles[n] = self.handle_of(one, answer)


def _first_refused(answers: Sequence[Any]) -> int | None:
    """Return the place of the task that a step was refused for; a missing task goes first."""
    kinds = [answer.kind if isinstance(answer, Answer) else None for answer in answers]
    found = (kind for kind in (AnswerKind.MISSING, AnswerKind.FULL) if kind in kinds)
    kind = next(found, None)
    return None if kind is None else kinds.index(kind)


def _split(some: TasksByPlace) -> Iterable[dict[int, PreparedTask]]:
    part: dict[int, PreparedTask] = {}
    size = 0
    for n, one in some.items():
        bytes_of = len(one.new.envelope)
        if part and (len(part) == BATCH or size + bytes_of > ENQUEUE_BYTES_MAX):
            yield part
            part, size = {}, 0
        part[n] = one
        size += bytes_of
    if part:
        yield part
