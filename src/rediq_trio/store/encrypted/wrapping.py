"""What a store that wraps another one must not hand on unseen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from rediq_trio.spec.operations import OPERATIONS, Carries
from rediq_trio.store.port import METHODS, READS, WRITES, Store, implements_store

S = TypeVar("S", bound=type[Store])


class Wrapping(Protocol):
    """A store that wraps another one."""

    _store: Store


def _passed(name: str) -> Callable[..., Any]:
    def call(self: Wrapping, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._store, name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


def wraps_what_is_carried(kind: S) -> S:
    """Return the class, with methods that pass on what carries nothing to encrypt.

    Raises `TypeError` if it does not define a method that carries envelopes, results, steps or
    progress which are not encrypted yet.
    """
    carried = {**READS, **WRITES} | {name: each.carries for name, each in OPERATIONS.items()}
    passed = METHODS - vars(kind).keys()
    if clear := [name for name in carried if carried[name] & ~Carries.ENCRYPTED and name in passed]:
        raise TypeError(
            f"{kind.__name__} hands on {', '.join(clear)} unchanged, which would lie in the store in "
            "clear: wrap it, or say in spec/operations.py that it carries nothing"
        )
    for name in passed - OPERATIONS.keys():
        setattr(kind, name, _passed(name))
    return implements_store(kind)
