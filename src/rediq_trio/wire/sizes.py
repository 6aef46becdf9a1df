"""How large a value will be when it is packed, at least: found out without packing it.

To pack 100 MB takes so long that nothing else runs meanwhile. The size of most values that
are too large is plain from a few of their parts.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import attrs

_BYTES_LIKE = (str, bytes, bytearray)
_LISTS = (list, tuple, set, frozenset)
_SCALARS = frozenset({int, float, bool, type(None)})


def exceeds(value: Any, most: int) -> bool:
    """Return whether a value certainly takes more than `most` bytes when it is packed."""
    return least_size(value, most) > most


def is_small(value: Any, most: int) -> bool:
    """Return whether a value takes about `most` bytes at most when it is packed."""
    kind = cast("type[Any]", type(value))
    if kind in _SCALARS:
        return True
    if kind is dict:
        # Nearly every result is a flat mapping, and this costs a fraction of the walk.
        size = 0
        for key, item in cast("dict[Any, Any]", value).items():
            kind = cast("type[Any]", type(item))
            if type(key) is not str or not (kind in _SCALARS or kind is str):
                return not exceeds(value, most)
            size += len(key) + (len(item) if kind is str else 1)
        return size <= most
    return not exceeds(value, most)


def least_size(value: Any, most: int) -> int:
    """Return how many bytes a value takes when it is packed, at least.

    Stops counting above `most`. Each element counts a byte at least, so no more than
    `most` of them are looked at.
    """
    size = 0
    level: list[Any] = [value]
    while level:
        below: list[Any] = []
        for item in level:
            size += 1
            if size > most:
                return size
            kind = type(cast("object", item))
            if kind in _SCALARS:
                continue
            if isinstance(item, _BYTES_LIKE):
                size += len(item)
            elif isinstance(item, dict):
                item = cast("dict[Any, Any]", item)
                if size + 2 * len(item) > most:
                    return size + 2 * len(item)
                below += item.keys()
                below += item.values()
            elif isinstance(item, _LISTS):
                item = cast("list[Any]", item)
                if size + len(item) > most:
                    return size + len(item)
                below += item
            elif attrs.has(kind):
                below += [getattr(item, field.name) for field in attrs.fields(kind)]
            elif dataclasses.is_dataclass(item):
                below += [getattr(item, field.name) for field in dataclasses.fields(item)]
        level = below
    return size
