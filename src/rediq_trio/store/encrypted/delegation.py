"""Delegation: how a store that wraps another names each method that it passes on unchanged.

Nothing is passed on by default. It is an error at import if a wrapping store does not define a
method, or passes one on that carries data to encrypt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from rediq_trio.spec.operations import OPERATIONS, Carries
from rediq_trio.store.port import READS, Store, implements_store

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=type)


def passed(method: Callable[Concatenate[Store, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Return a method that passes its arguments to the same method of `self._store`."""
    name: str = getattr(method, "__name__", "")

    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", getattr(self._store, name)(*args, **kwargs))

    call.__name__ = call.__qualname__ = name
    call.__dict__["is_passed"] = True
    return call


def wraps_what_is_carried(kind: S) -> S:
    """Return the class; raise `TypeError` if it lacks a method of `Store`, or hands one on unchanged
    that carries envelopes, results, steps or progress which are not encrypted yet."""
    carried = {**READS} | {name: each.carries for name, each in OPERATIONS.items()}
    clear = [
        name
        for name, carries in carried.items()
        if carries & ~Carries.ENCRYPTED
        and getattr(vars(kind).get(name), "is_passed", False)
    ]
    if clear:
        raise TypeError(
            f"{kind.__name__} hands on {', '.join(clear)} unchanged, which would lie in the store in "
            "clear: wrap it, or say in spec/operations.py that it carries nothing"
        )
    return implements_store(kind)
