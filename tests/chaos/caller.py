"""A client whose every call is noted: what was asked, and what came of it, as far as it can know."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import attrs
import trio

import rediq_trio as rediq
from tests.chaos.kinds import ORIGIN, task_retention
from tests.chaos.observe import Observer

T = TypeVar("T")

TRIES = 100
"""How often an enqueue is sent until someone has answered."""


def described(task: rediq.Task[Any]) -> dict[str, Any]:
    """Return the arguments of a task that the judge needs."""
    unique = None
    if task.unique is not None:
        unique = {
            "key": task.unique.key,
            "until": task.unique.until,
            "on_conflict": task.unique.on_conflict,
            "ttl": task.unique.ttl,
        }
    payload = task.payload if isinstance(task.payload, dict) else {}
    return {
        "kind": payload.get("kind", task.type),
        "due_s": task.delay,
        "priority": task.priority,
        "max_retry": task.max_retry,
        "max_crashes": task.max_crashes,
        "timeout_s": task.timeout,
        "expires_s": task.expires,
        "deadline_s": task.deadline,
        "unique": unique,
        "limit_key": task.limit_key,
        "depends_on": list(task.depends_on),
        "on_dependency_failure": task.on_dependency_failure,
        "group": task.group,
        "retention": task.retention,
    }


class Untold(rediq.RediqError):
    """A bulk change is over, and does not say what became of each task."""


def movable(options: Mapping[str, Any]) -> bool:
    """Return whether a task of these options can be moved; no other says where it came from.

    What replaces another one under its unique key has the id of that one.
    """
    return not any(options.get(name) for name in ("unique", "group", "depends_on"))


@attrs.define(eq=False)
class Caller:
    """One client of the queue, with ids of its own."""

    client: rediq.Client
    observer: Observer
    made: int = 0
    """Tasks that were acknowledged."""
    _ids: int = 0

    def task(self, kind: str, /, type: str = "work", **options: Any) -> rediq.Task[Any]:
        """Make a task with an id of this client's own."""
        self._ids += 1
        payload = {"kind": kind}
        for name in ("seconds", "times"):
            if name in options:
                payload[name] = options.pop(name)
        if type == "threaded":
            del payload["kind"]
        options = {
            "queue": "main",
            "max_crashes": 1000,
            "retention": task_retention(),
            "id": f"{self.observer.client}-{self._ids}",
            **options,
        }
        if type == "work":
            own = f"{options['queue']}/{options['id']}"
            options = {"metadata": {ORIGIN: own} if movable(options) else {}, **options}
        return rediq.Task(type, payload, **options)

    async def enqueue(self, task: rediq.Task[Any]) -> bool:
        """Enqueue until there is an answer; return whether the task was created."""
        for _ in range(TRIES):
            answer = await self._enqueue_once(task)
            if answer is not None:
                return answer
            await trio.sleep(random.uniform(0.1, 0.5))
        return False

    async def _enqueue_once(self, task: rediq.Task[Any]) -> bool | None:
        number = self.observer.call("enqueue", f"{task.queue}/{task.id}", described(task))
        try:
            handle = await self.client.enqueue(task)
        except rediq.DuplicateTask as error:
            self.observer.returned(number, {"created": False, "id": error.existing_id})
            # Its own id: an earlier try was carried out, and the reply lost.
            return error.existing_id == f"{task.queue}/{task.id}"
        except rediq.ConnectionLost as error:
            self.observer.raised(number, error)
            return None
        except rediq.RediqError as error:
            self.observer.raised(number, error)
            return isinstance(error, rediq.Unconfirmed)
        self.observer.returned(number, {"created": handle.created, "id": handle.id})
        self.made += handle.created
        return handle.created

    async def enqueue_many(self, tasks: list[rediq.Task[Any]]) -> None:
        """Enqueue tasks of one queue in one call, until someone has answered."""
        for _ in range(TRIES):
            numbers = [
                self.observer.call("enqueue", f"{task.queue}/{task.id}", described(task))
                for task in tasks
            ]
            try:
                handles = await self.client.enqueue_many(tasks)
            except rediq.RediqError as error:
                for number in numbers:
                    self.observer.raised(number, error)
                if not isinstance(error, rediq.ConnectionLost):
                    return
                await trio.sleep(random.uniform(0.1, 0.5))
            else:
                for number, handle in zip(numbers, handles, strict=True):
                    self.observer.returned(number, {"created": handle.created, "id": handle.id})
                    self.made += handle.created
                return

    async def cancel(self, task_id: str) -> None:
        """Cancel a task."""
        await self._operate("cancel", task_id, self.client.task(task_id).cancel, str)

    async def retry(self, task_id: str) -> None:
        """Revive a task."""
        await self._operate("retry", task_id, self.client.task(task_id).retry, str)

    async def delete(self, task_id: str) -> None:
        """Delete a task."""
        await self._operate("delete", task_id, self.client.task(task_id).delete, bool)

    async def run_now(self, task_id: str) -> None:
        """Make a task due at once."""
        await self._operate("run_now", task_id, self.client.task(task_id).run_now, bool)

    async def reschedule(self, task_id: str, delay: float) -> None:
        """Make a task due at another time."""
        handle = self.client.task(task_id)
        await self._operate(
            "reschedule", task_id, lambda: handle.reschedule(delay=delay), str, delay_s=delay
        )

    async def update(self, task_id: str, priority: int) -> None:
        """Change the priority of a task."""
        handle = self.client.task(task_id)
        await self._operate("update", task_id, lambda: handle.update(priority=priority), str)

    async def requeue(self, task_id: str, queue: str) -> None:
        """Move a task to another queue."""
        handle = self.client.task(task_id)
        await self._operate(
            "requeue", task_id, lambda: handle.requeue(queue), lambda moved: moved.id
        )

    async def enqueue_again(self, task: rediq.Task[Any]) -> None:
        """Enqueue a new task of the payload and options of one that was made before."""
        self._ids += 1
        own = f"{self.observer.client}-{self._ids}"
        new_id = f"{task.queue}/{own}"
        number = self.observer.call("enqueue", new_id, described(attrs.evolve(task, delay=None)))
        try:
            handle = await self.client.task(f"{task.queue}/{task.id}").enqueue_again(
                id=own, metadata={ORIGIN: new_id}
            )
        except rediq.RediqError as error:
            self.observer.raised(number, error)
        else:
            self.observer.returned(number, {"created": handle.created, "id": handle.id})
            self.made += handle.created

    async def change_all(
        self, op: str, selection: rediq.Selection, ids: Iterable[str], late: Iterable[str],
        selected_at: int, queue: str,
    ) -> None:  # fmt: skip
        """Make one change of all tasks of a selection. What becomes of each is not known.

        `late` came after the selection, which was made at `selected_at`: nothing happens to them.
        """
        numbers = [self.observer.call(op, task_id) for task_id in ids]
        numbers += [self.observer.call(op, one, {"late_since": selected_at}) for one in late]
        progress = selection.requeue(queue) if op == "requeue" else getattr(selection, op)()
        error: rediq.RediqError = Untold()
        try:
            async for _ in progress:
                pass
        except rediq.RediqError as raised:
            error = raised
        for number in numbers:
            self.observer.raised(number, error)

    async def info(self, task_id: str) -> None:
        """Read a task."""
        await self._operate("info", task_id, self.client.task(task_id).info, _facts)

    async def _operate(
        self, op: str, task_id: str, do: Callable[[], Awaitable[T]], say: Callable[[T], Any],
        **args: Any,
    ) -> None:  # fmt: skip
        number = self.observer.call(op, task_id, args)
        try:
            answer = await do()
        except rediq.TaskNotFound:
            self.observer.returned(number, None)
        except rediq.RediqError as error:
            self.observer.raised(number, error)
        else:
            self.observer.returned(number, say(answer))


def _facts(info: rediq.TaskInfo) -> dict[str, Any]:
    return {
        "state": str(info.state),
        "attempt": info.attempt,
        "deliveries": info.deliveries,
        "crashes": info.crashes,
    }
