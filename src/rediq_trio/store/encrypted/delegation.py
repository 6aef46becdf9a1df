"""Delegation: how a store in front of another names each operation that it hands on unchanged.

Nothing is handed on by default: an operation that such a store does not name is an error at import,
so that a new one that carries payloads cannot pass by an encryption that does not know it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from rediq_trio.store.port import Store

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=type)


def passed(method: Callable[Concatenate[Store, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Make a method that hands its arguments to the same method of `self._store`."""
    name: str = getattr(method, "__name__", "")

    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", getattr(self._store, name)(*args, **kwargs))

    call.__name__ = call.__qualname__ = name
    return call


def implements_store(kind: S) -> S:
    """Return the class; raise `TypeError` when it lacks an operation of `Store`."""
    wanted = {name for name in vars(Store) if not name.startswith("_")}
    if missing := sorted(wanted - vars(kind).keys()):
        raise TypeError(
            f"{kind.__name__} does not define {', '.join(missing)}: wrap it, or name it as one that is "
            "handed on unchanged: passed(Store.name)"
        )
    return kind
