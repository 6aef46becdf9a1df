"""Records as they are stored, to be read and changed past the library."""

from __future__ import annotations

from typing import Any

import msgpack

from rediq_trio.spec.stored_format import RECORD_FIELDS

CARRIED = 512
"""Bytes of the longest envelope that a record carries (`lua/include/indexes.lua`)."""
LONG = b"e" * (CARRIED + 1)
"""An envelope that is kept by itself."""
AT = {name: at for at, name in enumerate((*RECORD_FIELDS, "relations"))}
"""The place of each field in the array."""
_REST = [0, 0, 0, 0, b"", b"", 0, 0, 0, 0, b""]


def pack(value: object) -> bytes:
    """Pack as the scripts do, which know no binary type."""
    data: bytes = msgpack.packb(value, use_bin_type=False)
    return data


def fields_of(raw: bytes) -> list[Any]:
    """Give every field of a record, also those that are left away of one to which nothing has happened."""
    fields: list[Any] = msgpack.unpackb(raw, raw=True)
    if len(fields) == AT["envelope"] + 1:
        fields += _REST
        fields[AT["run_ms"]] = fields[AT["run_ms"]] or fields[AT["created_ms"]]
    return fields


def changed(raw: bytes, **values: object) -> bytes:
    """Give a record with these of its fields changed."""
    fields = fields_of(raw)
    for name, value in values.items():
        fields[AT[name]] = value
    return pack(fields)
