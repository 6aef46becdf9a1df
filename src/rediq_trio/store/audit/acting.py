"""ActingStore: a store that knows for whom it works. It does nothing else, and passes on each call.

What is made from a store, a queue or a handle for example, finds the person through it, so that no
constructor has to carry one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import attrs

from rediq_trio.spec.operations import OPERATIONS, Operation
from rediq_trio.store.patient import with_patience, without_patience
from rediq_trio.store.port import METHODS, Store, implements_store
from rediq_trio.values.bounds import check_text

P = ParamSpec("P")
A = TypeVar("A")
S = TypeVar("S", bound=type)

WHO_MAX, TOOL_MAX, WHERE_MAX = 128, 64, 200
"""Maximum characters of what is said of a person."""


@attrs.frozen
class Actor:
    """A person at a tool."""

    who: str
    tool: str
    where: str

    @classmethod
    def of(cls, who: object, tool: object, where: object) -> Actor:
        """Return an actor; raise `ConfigError` for a text that is missing or too long."""
        return cls(
            check_text("who", who, 1, WHO_MAX),
            check_text("tool", tool, 0, TOOL_MAX),
            check_text("where", where, 0, WHERE_MAX),
        )


def _passed_on(name: str) -> Callable[..., Any]:
    def call(self: ActingStore, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._store, name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


def _passes_on_what_is_no_operation(kind: S) -> S:
    for name in METHODS - OPERATIONS.keys() - vars(kind).keys():
        setattr(kind, name, _passed_on(name))
    return implements_store(kind)


@_passes_on_what_is_no_operation
class ActingStore(Store):
    """A store whose changes an actor makes."""

    def __init__(self, store: Store, actor: Actor, patience: float) -> None:
        self._store = without_actor(store)
        self.actor = actor
        self.patient_store = with_patience(self._store, patience)
        """What writes the entries of the audit."""

    @property
    def unconfirmed(self) -> int:
        return self._store.unconfirmed

    async def _do(
        self, operation: Operation[P, A], queue: str, /, *args: P.args, **kwargs: P.kwargs
    ) -> A:
        answer: A = await getattr(self._store, operation.name)(queue, *args, **kwargs)
        return answer


def acting_in(store: Store) -> ActingStore | None:
    """Return the store that knows who acts; None if it works for a program."""
    found = without_patience(store)
    return found if isinstance(found, ActingStore) else None


def without_actor(store: Store) -> Store:
    """Return the store that passes on nothing for anybody."""
    return store._store if isinstance(store, ActingStore) else store
