"""PatientStore: repeats lost calls for some seconds, for those who wait for the answer.

A store promises that its methods may be repeated. What a repetition answers may differ, because the
first call may have been carried out: then what was to be removed is missing, and that is success.
The tasks that died by the first call are read, since a repetition does not answer them.
`enqueue` is not repeated here: of a task with an id of the caller, a repetition could not say who
wrote it. The client repeats it if all ids are new.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, ParamSpec, TypeVar

import attrs
import trio

from rediq_trio._errors import ConnectionLost, RediqError
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import (
    Cancelling,
    Death,
    Deleted,
    Enqueued,
    InState,
    Mail,
    MailKind,
    NewTask,
    Received,
    Requeued,
    States,
    Version,
)
from rediq_trio.spec.operations import Operation
from rediq_trio.spec.stored_format import ENDED_AS
from rediq_trio.store.broadcast import Signal, Topic
from rediq_trio.store.port import READS, WRITES, Store, implements_store
from rediq_trio.store.reads.lost_deaths import find_lost_deaths
from rediq_trio.store.retrying import until_answered

P = ParamSpec("P")
A = TypeVar("A")
S = TypeVar("S", bound=type)


def with_patience(store: Store, patience: float) -> Store:
    """Return a store that repeats lost calls of `store` for `patience` seconds; 0 for one try."""
    return PatientStore(store, patience) if patience else store


def without_patience(store: Store) -> Store:
    """Return the store whose calls `with_patience` repeats, or the store itself."""
    return store._store if isinstance(store, PatientStore) else store


def patience_of(store: Store) -> float:
    """Return for how many seconds a store repeats lost calls; 0 for one that does not."""
    return store._patience if isinstance(store, PatientStore) else 0.0


def _repeated(name: str) -> Callable[..., Any]:
    async def call(self: PatientStore, /, *args: Any, **kwargs: Any) -> Any:
        return await self._repeat(lambda: getattr(self._store, name)(*args, **kwargs))

    call.__name__ = call.__qualname__ = name
    return call


def _repeats_what_is_no_operation(kind: S) -> S:
    for name in READS.keys() | WRITES.keys():
        setattr(kind, name, _repeated(name))
    return implements_store(kind)


@_repeats_what_is_no_operation
class PatientStore(Store):
    """A store whose lost calls are repeated."""

    def __init__(self, store: Store, patience: float) -> None:
        self._store = store
        self._patience = patience

    @property
    def unconfirmed(self) -> int:
        return self._store.unconfirmed

    def listen(
        self, topics: Iterable[Topic]
    ) -> AbstractContextManager[trio.MemoryReceiveChannel[Signal]]:
        return self._store.listen(topics)

    async def _repeat(
        self,
        call: Callable[[], Awaitable[A]],
        on_failure: Callable[[ConnectionLost], object] | None = None,
    ) -> A:
        return await until_answered(call, give_up_after=self._patience, on_failure=on_failure)

    async def _do(
        self, operation: Operation[P, A], queue: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> A:
        method = getattr(self._store, operation.name)
        found: A = await self._repeat(lambda: method(queue, *args, **kwargs))
        return found

    async def _do_again(self, call: Callable[[], Awaitable[A]]) -> tuple[A, bool]:
        """Return an answer, and whether an earlier call may have been carried out."""
        again = False

        def note(lost: ConnectionLost) -> None:
            nonlocal again
            again = again or lost.sent

        answer = await self._repeat(call, note)
        return answer, again

    async def enqueue(
        self, queue: str, /, tasks: Sequence[NewTask], *, atomic: bool = False, step: bool = False
    ) -> Enqueued:
        return await self._store.enqueue(queue, tasks, atomic=atomic, step=step)

    async def delete(
        self, queue: str, /, ids: Sequence[str], *, still: InState | None = None
    ) -> Deleted:
        began = trio.current_time()
        deleted, again = await self._do_again(lambda: self._store.delete(queue, ids, still=still))
        deaths = deleted.deaths
        if again and not deaths:
            gone = [(one, None) for one, state in zip(ids, deleted, strict=True) if state is None]
            deaths = await self._lost_deaths(queue, gone, began)
        states = (State.DEAD if s is None and again else s for s in deleted)
        return Deleted(states, deaths)

    async def revive(
        self, queue: str, /, ids: Sequence[str], *, still: InState | None = None
    ) -> States:
        states, again = await self._do_again(lambda: self._store.revive(queue, ids, still=still))
        # What the first call revived is not in its state any more.
        lost = again and still is not None
        return tuple(State.PENDING if s is None and lost else s for s in states)

    async def cancel(
        self, queue: str, /, task_id: str, *, still: InState | None = None
    ) -> Cancelling:
        began = trio.current_time()
        answer, again = await self._do_again(
            lambda: self._store.cancel(queue, task_id, still=still)
        )
        changed = answer.state is None and again and still is not None
        state = State.CANCELLED if changed else answer.state
        deaths = answer.deaths
        if again and state is State.CANCELLED and not deaths:
            deaths = await self._lost_deaths(queue, [(task_id, state)], began)
        return Cancelling(state, deaths)

    async def receive(self, queue: str, /, sender: str, mail: Sequence[Mail]) -> Received:
        began = trio.current_time()
        answer, again = await self._do_again(lambda: self._store.receive(queue, sender, mail))
        if not again or answer.deaths:
            return answer
        deaths = await self._lost_deaths(queue, _ended_by(sender, mail), began)
        return attrs.evolve(answer, deaths=deaths)

    async def _lost_deaths(
        self, queue: str, ended: Sequence[tuple[str, State | None]], began: float
    ) -> tuple[Death, ...]:
        """Return who died by a call whose answer was lost; none if that cannot be read."""
        with suppress(RediqError):
            return await self._repeat(lambda: find_lost_deaths(self._store, queue, ended, began))
        return ()

    async def requeue(
        self,
        queue: str,
        /,
        task_id: str,
        *,
        seen: Version,
        task: NewTask,
        still: InState | None = None,
    ) -> Requeued:
        def call() -> Awaitable[Requeued]:
            return self._store.requeue(queue, task_id, seen=seen, task=task, still=still)

        answer, again = await self._do_again(call)
        return Requeued(State.PENDING) if answer.state is None and again else answer

    async def retract(self, queue: str, /, *, names: Collection[str]) -> tuple[str, ...]:
        gone, again = await self._do_again(lambda: self._store.retract(queue, names=names))
        return tuple(sorted(names)) if again else gone


def _ended_by(sender: str, mail: Iterable[Mail]) -> list[tuple[str, State | None]]:
    """Return the tasks of which the receiver of these messages may have learned that they ended."""
    found: dict[tuple[str, State | None], None] = {}
    for message in mail:
        if message.kind is MailKind.ENDED:
            found[f"{sender}/{message.ref}", message.ended_as] = None
        elif message.task is not None:
            needs = message.task.relations.needs
            found |= dict.fromkeys((ref, state) for ref in needs for state in ENDED_AS)
    return [*found]
