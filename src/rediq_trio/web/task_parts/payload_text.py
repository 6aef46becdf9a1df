"""A payload on one line of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, cast

from rediq_trio.observe.as_json import plain
from rediq_trio.observe.words import shown
from rediq_trio.values.hiding import Hidden
from rediq_trio.web.task_parts.tree import exact_int

LINE_PARTS_MAX, PART_MAX = 8, 60
"""Parts of a payload that a line has, and characters of each."""


def value_line(value: Any, most: int = 160) -> str:
    """Return a value on one line: of a mapping its keys and values, `to=ada@example.com n=7`."""
    if isinstance(value, Mapping):
        pairs = islice(cast("Mapping[Any, Any]", value).items(), LINE_PARTS_MAX)
        text = " ".join(f"{_short(key)}={_short(each)}" for key, each in pairs)
    elif isinstance(value, list):
        text = " ".join(_short(each) for each in cast("list[Any]", value)[:LINE_PARTS_MAX])
    else:
        text = _short(value)
    return shown(text, most)


def _short(value: Any) -> str:
    match value:
        case str():
            text = value
        case bool() | None:
            text = json.dumps(value)
        case int():
            text = exact_int(value)
        case Hidden():
            text = "(hidden)"
        case bytes():
            text = f"0x{value[:16].hex()}" + ("…" if len(value) > 16 else "")
        case Mapping() | list():
            text = (
                f"{{{len(cast('Any', value))}}}"
                if isinstance(value, Mapping)
                else f"[{len(cast('Any', value))}]"
            )
        case _:
            text = str(plain(value))
    return text if len(text) <= PART_MAX else f"{text[: PART_MAX - 1]}…"
