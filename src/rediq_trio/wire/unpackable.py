"""Which part of a value msgpack cannot carry, and what to pass instead: for error messages only."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import attrs

from rediq_trio._errors import quote
from rediq_trio.values.bounds import MAX_DEPTH
from rediq_trio.wire.packing import pack

_CONVERTER = "give the app of its task type a rediq.Converter for it"
_PACK_ERRORS = (TypeError, ValueError, OverflowError, RecursionError)


Explain = Callable[[Any], "str | None"]
"""Returns why a converter of the app fails for a value; '' if it does not, None without one."""


def find_unpackable(value: Any, what: str, explain: Explain | None = None) -> str | None:
    """Return where in a value the first part is that cannot be carried, and why; None without one."""
    try:
        return _find(value, what, explain)
    except Exception:  # of a user's value, whose methods may raise anything: no hint then
        return None


def _find(value: Any, what: str, explain: Explain | None) -> str | None:
    level: list[tuple[str, Any]] = [(what, value)]
    for _ in range(MAX_DEPTH + 1):
        below: list[tuple[str, Any]] = []
        for path, item in level:
            if explain is not None and (why := explain(item)) is not None:
                if why:
                    return f"{path}: {why}"
                continue
            if (parts := _parts(path, item)) is None:
                if (why := _refused(item)) is not None:
                    return (
                        f"{path}: msgpack cannot carry {type(item).__name__} {quote(item)}: {why}"
                    )
            else:
                if isinstance(item, dict):
                    for key in cast("dict[Any, Any]", item):
                        if not isinstance(key, str | bytes):
                            return (
                                f"{path}: key {quote(key)}: must be str or bytes: pass {_key(key)}"
                            )
                below += parts
        level = below
    return f"{what}: nested deeper than {MAX_DEPTH} levels" if level else None


def _parts(path: str, item: Any) -> Iterator[tuple[str, Any]] | None:
    """Return the parts of a container with their paths; None for any other value."""
    if isinstance(item, dict):
        found = cast("dict[Any, Any]", item)
        return ((f"{path}[{quote(key)}]", part) for key, part in found.items())
    if isinstance(item, list | tuple):
        return ((f"{path}[{n}]", part) for n, part in enumerate(cast("list[Any]", item)))
    kind = cast("type[Any]", type(item))
    if attrs.has(kind):
        names = [field.name for field in attrs.fields(kind)]
    elif dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    else:
        return None
    return ((f"{path}.{name}", getattr(item, name, None)) for name in names)


def _refused(item: Any) -> str | None:
    """Return why a value that is no container cannot be carried, and what to do; None if it can."""
    if isinstance(item, set | frozenset):
        return "pass sorted(...) or list(...)"
    try:
        pack(item)
    except _PACK_ERRORS as error:
        return _hint(item) or f"{error}; pass what msgpack can carry"
    return None


def _hint(item: Any) -> str | None:
    if _has(item, "model_dump"):
        return f"pass .model_dump(mode='json'), or {_CONVERTER}"
    if _has(item, "tolist"):
        method = ".item()" if getattr(item, "ndim", None) == 0 else ".tolist()"
        return f"pass {method}, or {_CONVERTER}"
    if isinstance(item, int):
        return "it has more than 64 bits: pass str(...)"
    if isinstance(item, str):
        return "it is no valid Unicode: pass bytes"
    if inspect.isawaitable(item):
        return "await it first"
    if isinstance(item, Iterable):
        return "pass list(...)"
    if inspect.isroutine(item) or isinstance(item, type):
        return "pass its name"
    classes = "make it an attrs class or a dataclass that an annotation names"
    return f"pass a dict, or {classes}, or {_CONVERTER}"


def _has(item: Any, name: str) -> bool:
    method: Callable[..., Any] | None = getattr(cast("type[Any]", type(item)), name, None)
    return callable(method)


def _key(key: Any) -> str:
    return "str(key)" if isinstance(key, int | float) else "a list of pairs"
