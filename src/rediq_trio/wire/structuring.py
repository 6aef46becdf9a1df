"""Conversion between Python values and plain data that msgpack carries.

cattrs does the work. Values are converted to plain data by their type, and back by the
annotation of a handler's parameter or its return type. Plain data is not converted: a text
never silently becomes a number.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import pathlib
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any, cast

import attrs
import cattrs

from rediq_trio._errors import PayloadError, group_members, quote

_PLAIN_TYPES = frozenset({str, int, float, bool, bytes, type(None)})


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(unstruct_collection_overrides={set: list, frozenset: list})
    for kind in (dt.datetime, dt.date, dt.time):
        converter.register_unstructure_hook(kind, lambda value: value.isoformat())
        converter.register_structure_hook(kind, lambda value, to: to.fromisoformat(value))
    converter.register_unstructure_hook(dt.timedelta, lambda value: value.total_seconds())
    converter.register_structure_hook(dt.timedelta, lambda value, _: dt.timedelta(seconds=value))
    for texts in (uuid.UUID, decimal.Decimal, pathlib.PurePath):
        converter.register_unstructure_hook(texts, str)
        converter.register_structure_hook(texts, lambda value, to: to(value))
    return converter


_CONVERTER = _converter()
_STRUCTURED_TYPES = (
    dt.date, dt.time, dt.timedelta, uuid.UUID, decimal.Decimal, pathlib.PurePath, enum.Enum,
    set, frozenset, tuple,
)  # fmt: skip


def to_plain(value: Any) -> Any:
    """Return a value as plain data; plain data is returned unchanged."""
    if type(value) in _PLAIN_TYPES:
        return value
    if type(value) is dict:
        value = cast("dict[Any, Any]", value)
        for item in value.values():
            if type(item) not in _PLAIN_TYPES:
                break
        else:
            return value
    try:
        return _CONVERTER.unstructure(value)
    except RecursionError as error:
        raise PayloadError(f"payload {quote(value)}: it contains itself") from error


def needs_structure(annotation: Any) -> bool:
    """Return whether values of this type are packed as another type."""
    if annotation is Any or annotation is None:
        return False
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        kind = cast("type[Any]", annotation)
        return (
            issubclass(kind, _STRUCTURED_TYPES) or attrs.has(kind) or dataclasses.is_dataclass(kind)
        )
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return False
    if isinstance(origin, type) and needs_structure(origin):
        return True
    return any(needs_structure(part) for part in typing.get_args(annotation))


def make_structurer(annotation: Any) -> Callable[[Any], Any] | None:
    """Return a function from plain data to the annotated type; None if nothing is to be done."""
    if not needs_structure(annotation):
        return None

    def structure(value: Any) -> Any:
        try:
            return _CONVERTER.structure(value, annotation)
        except Exception as error:  # cattrs raises groups, and hooks may raise anything
            named = getattr(annotation, "__name__", str(annotation))
            raise PayloadError(f"{quote(value)} is no {named}: {_reason(error)}") from error

    return structure


def _reason(error: BaseException) -> str:
    while below := group_members(error):
        error = below[0]
    return f"{type(error).__name__}: {quote(str(error))}"
