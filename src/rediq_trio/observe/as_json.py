"""Values as JSON for programs: what `--json` prints."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import json
import math
from collections.abc import Mapping, Set
from typing import Any, cast

import attrs

SCHEMA = 1
"""The version of what is printed: it grows when something is taken away or changes its meaning."""


def plain(value: Any) -> Any:
    """Return a value as JSON has it.

    Instants become ISO 8601 texts in UTC, durations seconds, and enumerations their values. Bytes
    become `{"base64": ...}`, a map with keys that are no texts a list of pairs, and a number that
    JSON cannot write a text ("inf"). Whatever else becomes its `str`.
    """
    match value:
        case None | bool() | int() | str():
            return value.value if isinstance(value, enum.Enum) else value
        case float():
            return value if math.isfinite(value) else str(value)
        case enum.Enum():
            return plain(value.value)
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
        case dt.timedelta():
            return value.total_seconds()
        case bytes() | bytearray():
            return {"base64": base64.b64encode(bytes(value)).decode("ascii")}
        case Mapping():
            return _map(cast("Mapping[Any, Any]", value))
        case list() | tuple() | Set():
            return [plain(each) for each in cast("list[Any]", value)]
        case _:
            kind = cast("type[Any]", type(value))
            if not attrs.has(kind):
                return str(value)
            return {field.name: plain(getattr(value, field.name)) for field in attrs.fields(kind)}


def _map(value: Mapping[Any, Any]) -> Any:
    if all(isinstance(key, str) for key in value):
        return {key: plain(each) for key, each in value.items()}
    return [[plain(key), plain(each)] for key, each in value.items()]


def to_json(value: Mapping[str, Any], *, indent: int | None = None) -> str:
    """Return one object as JSON, with the version of the schema as `rediq`."""
    return json.dumps({"rediq": SCHEMA, **plain(value)}, indent=indent, ensure_ascii=True)
