"""msgpack, with types: the one module that imports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgpack

_packb = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore  (it has no types)
_unpacker = cast("Callable[..., Any]", msgpack.Unpacker)  # pyright: ignore  (it has no types)
_unpackb = cast("Callable[..., Any]", msgpack.unpackb)  # pyright: ignore  (it has no types)


class ExtensionFound(ValueError):
    """The data holds a msgpack extension type, which nothing here ever writes."""


def _refuse(code: int, data: bytes) -> Any:
    raise ExtensionFound(f"msgpack extension type {code} is not allowed")


UNREADABLE: tuple[type[Exception], ...] = (ValueError, TypeError, OverflowError, RecursionError)
"""What `unpack` may raise; msgpack's own exceptions are ValueErrors."""


def pack(value: Any) -> bytes:
    """Pack plain data; raise TypeError, ValueError or OverflowError for what cannot be packed."""
    return _packb(value)


def pack_for_lua(value: Any) -> bytes:
    """Pack plain data whose texts and bytes both are Lua strings: its msgpack has one kind."""
    return _packb(value, use_bin_type=False)


def unpack(packed: bytes, *, texts: bool = True) -> Any:
    """Unpack; with `texts` False every text stays bytes. Raises one of `UNREADABLE`."""
    return _unpackb(packed, raw=not texts, ext_hook=_refuse)


def unpack_all(packed: bytes, *, texts: bool = True) -> list[Any]:
    """Unpack values that stand one behind the other. Raises one of `UNREADABLE`."""
    unpacker = _unpacker(raw=not texts, ext_hook=_refuse, max_buffer_size=len(packed) + 1)
    unpacker.feed(packed)
    return list(unpacker)


def unpack_first(packed: bytes) -> tuple[Any, int]:
    """Unpack the first of several values; give it and how many bytes it took."""
    unpacker = _unpacker(raw=False, ext_hook=_refuse, max_buffer_size=len(packed) + 1)
    unpacker.feed(packed)
    return unpacker.unpack(), unpacker.tell()
