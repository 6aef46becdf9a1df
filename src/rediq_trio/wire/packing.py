"""msgpack, with types: the one module that imports it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgpack

_packb = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore  (it has no types)
_unpacker = cast("Callable[..., Any]", msgpack.Unpacker)  # pyright: ignore  (it has no types)
_extension = cast("type[Any]", msgpack.ExtType)  # pyright: ignore  (it has no types)
_unpackb = cast("Callable[..., Any]", msgpack.unpackb)  # pyright: ignore  (it has no types)


class ExtensionFound(ValueError):
    """The data holds a msgpack extension type, which nothing here ever writes."""


class EncryptedFound(ValueError):
    """The data is encrypted and could not be opened; says why."""


ENCRYPTED, UNDECRYPTABLE = 1, 2
"""The extension types that stand for a whole value: encrypted, or why it could not be decrypted.

No value that a user gives holds either, so nothing in clear can be taken for one.
"""
NO_KEYS = (
    "encrypted, and this process has no keys: give encryption=Encryption(keys=[...]), or set "
    "REDIQ_ENCRYPTION_KEYS"
)
_REASON = 300
"""Characters of a reason that are shown."""


_out_of_data = cast("type[Exception]", msgpack.OutOfData)  # pyright: ignore  (it has no types)
_Timestamp = cast("type[Any]", msgpack.Timestamp)  # pyright: ignore  (it has no types)
_STAMP_4, _STAMP_8, _STAMP_12 = b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"
"""How timestamps begin; other data may hold these bytes too."""


def _refuse(code: int, data: bytes) -> Any:
    if code == ENCRYPTED:
        raise EncryptedFound(NO_KEYS)
    if code == UNDECRYPTABLE:
        # Anybody who can write to Redis may have made it.
        text = data.decode("utf-8", "replace")[:_REASON]
        raise EncryptedFound(text if text.isprintable() and text else "damaged")
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
    value = _unpackb(packed, raw=not texts, ext_hook=_refuse)
    maybe = _STAMP_4 in packed or _STAMP_8 in packed or _STAMP_12 in packed
    if maybe and _holds_stamp(value):
        # Of the extension types, msgpack asks no one about this one.
        raise ExtensionFound("msgpack timestamps are not allowed")
    return value


def _holds_stamp(value: Any) -> bool:
    left = [value]
    for item in left:
        if isinstance(item, _Timestamp):
            return True
        if isinstance(item, dict):
            left += [*cast("dict[Any, Any]", item).keys(), *cast("dict[Any, Any]", item).values()]
        elif isinstance(item, list):
            left += cast("list[Any]", item)
    return False


def unpack_all(packed: bytes, *, texts: bool = True) -> list[Any]:
    """Unpack values that stand one behind the other. Raises one of `UNREADABLE`."""
    unpacker = _unpacker(raw=not texts, ext_hook=_refuse, max_buffer_size=len(packed) + 1)
    unpacker.feed(packed)
    return list(unpacker)


def measure(packed: bytes) -> int:
    """Give how many bytes the first of several values takes. Raises one of `UNREADABLE`."""
    unpacker = _unpacker(max_buffer_size=len(packed) + 1)
    unpacker.feed(packed)
    try:
        unpacker.skip()
    except _out_of_data as error:
        raise ValueError("a value is cut short") from error
    return cast("int", unpacker.tell())


def pack_extension(code: int, data: bytes) -> bytes:
    """Pack a value of an extension type."""
    return _packb(_extension(code, data))


def extension_of(packed: bytes) -> tuple[int, bytes] | None:
    """Give code and data of what is one extension as a whole; None for anything else."""
    # The first bytes of the format's extension types.
    if not packed or not (0xC7 <= packed[0] <= 0xC9 or 0xD4 <= packed[0] <= 0xD8):
        return None
    try:
        found: Any = _unpackb(packed)
    except UNREADABLE:
        return None
    # A timestamp is one too, and comes out as another type.
    return (int(found.code), bytes(found.data)) if isinstance(found, _extension) else None
