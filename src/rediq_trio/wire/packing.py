"""msgpack with type hints: the only module that imports it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import msgpack

_packb = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore  (it has no types)
_unpacker = cast("Callable[..., Any]", msgpack.Unpacker)  # pyright: ignore  (it has no types)
_extension = cast("type[Any]", msgpack.ExtType)  # pyright: ignore  (it has no types)
_unpackb = cast("Callable[..., Any]", msgpack.unpackb)  # pyright: ignore  (it has no types)


class ExtensionFound(ValueError):
    """The data has a msgpack extension type that the library never writes."""


class EncryptedFound(ValueError):
    """The data is encrypted and could not be decrypted; the text says why."""


ENCRYPTED, UNDECRYPTED = 1, 2
"""The extension types of a value that is encrypted, or that could not be decrypted.

No value of a user contains either of them, so plain data cannot be mistaken for one.
"""
NO_KEYS = (
    "encrypted, and this process has no keys: pass encryption=Encryption(keys=[...]), or set "
    "REDIQ_ENCRYPTION_KEYS"
)
REASON_MAX = 300
"""Maximum characters of a reason that are shown."""

_out_of_data = cast("type[Exception]", msgpack.OutOfData)  # pyright: ignore  (it has no types)
_timestamp_type = cast("type[Any]", msgpack.Timestamp)  # pyright: ignore  (it has no types)
_STAMP_4, _STAMP_8, _STAMP_12 = b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"
"""How timestamps start; other data may contain these bytes too."""


def _refuse(code: int, data: bytes) -> Any:
    if code == ENCRYPTED:
        raise EncryptedFound(NO_KEYS)
    if code == UNDECRYPTED:
        # Anyone who can write to Redis may have made it.
        text = text_of(data)[:REASON_MAX]
        raise EncryptedFound(text if text.isprintable() and text else "damaged")
    raise ExtensionFound(f"msgpack extension type {code} is not allowed")


UNPACK_ERRORS: tuple[type[Exception], ...] = (ValueError, TypeError, OverflowError, RecursionError)
"""The exceptions that `unpack` may raise; msgpack's own ones are ValueErrors."""


def pack(value: Any) -> bytes:
    """Pack plain data; raise TypeError, ValueError or OverflowError for what cannot be packed."""
    return _packb(value)


def pack_for_lua(value: Any) -> bytes:
    """Pack plain data for Lua, whose msgpack has one type for texts and bytes."""
    return _packb(value, use_bin_type=False)


def unpack(packed: bytes, *, texts: bool = True) -> Any:
    """Unpack; with `texts=False` every text stays bytes. Raises one of `UNPACK_ERRORS`."""
    value = _unpackb(packed, raw=not texts, ext_hook=_refuse)
    maybe = _STAMP_4 in packed or _STAMP_8 in packed or _STAMP_12 in packed
    if maybe and _holds_stamp(value):
        # msgpack does not call `ext_hook` for timestamps.
        raise ExtensionFound("msgpack timestamps are not allowed")
    return value


def _holds_stamp(value: Any) -> bool:
    left = [value]
    for item in left:
        if isinstance(item, _timestamp_type):
            return True
        if isinstance(item, dict):
            left += [*cast("dict[Any, Any]", item).keys(), *cast("dict[Any, Any]", item).values()]
        elif isinstance(item, list):
            left += cast("list[Any]", item)
    return False


def fields_of(
    names: Iterable[str], values: Iterable[Any], *, strict: bool = True
) -> dict[str, Any]:
    """Return the values of an unpacked array by the names of its fields."""
    return dict(zip(names, values, strict=strict))


def text_of(value: bytes) -> str:
    """Return a text that Lua may have packed or cut; bytes that are no text are replaced."""
    return value.decode("utf-8", "replace")


def measure(packed: bytes) -> int:
    """Return the number of bytes of the first of several values. Raises one of `UNPACK_ERRORS`."""
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
    """Return code and data of a value that is one extension; None for anything else."""
    # The first bytes of extension types in the msgpack format.
    if not packed or not (0xC7 <= packed[0] <= 0xC9 or 0xD4 <= packed[0] <= 0xD8):
        return None
    try:
        found: Any = _unpackb(packed)
    except UNPACK_ERRORS:
        return None
    # A timestamp is an extension too, but is unpacked as another type.
    return (int(found.code), bytes(found.data)) if isinstance(found, _extension) else None
