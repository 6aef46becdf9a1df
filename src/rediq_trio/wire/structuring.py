"""Conversion between Python values and plain data that msgpack carries.

cattrs does the work. Values are converted to plain data by their type, and back by the
annotation of a handler's parameter or its return type. Plain data is not converted: a text
never silently becomes a number. An app may have converters for types of its own.
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
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError, group_members, quote
from rediq_trio.wire.converter import Converter
from rediq_trio.wire.envelope import pack_value
from rediq_trio.wire.unpackable import find_unpackable

if TYPE_CHECKING:
    import cattrs

_PLAIN_TYPES = frozenset({str, int, float, bool, bytes, type(None)})


def _converter() -> cattrs.Converter:
    # Imported late: whoever only reads queues converts nothing.
    import cattrs

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


_STRUCTURED_TYPES = (
    dt.date, dt.time, dt.timedelta, uuid.UUID, decimal.Decimal, pathlib.PurePath, enum.Enum,
    set, frozenset, tuple,
)  # fmt: skip


class _ConverterFailed(Exception):
    """A function of a user's converter raised an error, or returned what it should not."""


class Conversions:
    """The conversions of one app: those of the library, and the app's own converters."""

    def __init__(self, converters: Iterable[Converter[Any]] = ()) -> None:
        if not isinstance(converters, Iterable):
            raise ConfigError.of("converters", converters, "a list of rediq.Converter objects")
        self.converters = tuple(converters)
        self._types: tuple[type[Any], ...] = ()
        for one in self.converters:
            if not isinstance(one, Converter):
                raise ConfigError.of("converters", one, "a rediq.Converter")
            if one.type in self._types:
                raise ConfigError(f"converters: two are for {one.name}: leave one out")
            self._types += (one.type,)
            try:
                self._cattrs.register_unstructure_hook(one.type, partial(_make_plain, one))
                self._cattrs.register_structure_hook(one.type, partial(_restore, one))
            except Exception as error:  # cattrs reads the annotations of an attrs class
                text = f"converters: the annotations of {one.name} cannot be read: {error}"
                raise ConfigError(text) from error

    @cached_property
    def _cattrs(self) -> cattrs.Converter:
        return _converter()

    def __bool__(self) -> bool:
        """Return whether the app has converters of its own."""
        return bool(self.converters)

    def restores(self, kind: type[Any]) -> bool:
        """Return whether a converter of the app is for this class."""
        return issubclass(kind, self._types)

    def plain(self, value: Any) -> Any:
        """Return a value as plain data. May raise anything."""
        return self._cattrs.unstructure(value)

    def structure(self, value: Any, annotation: Any) -> Any:
        """Return the value that an annotation says the plain data is. May raise anything."""
        return self._cattrs.structure(value, annotation)

    def explain(self, value: Any) -> str | None:
        """Return why a converter of the app fails for a value; '' if it does not, None without one."""
        if not self.restores(cast("type[Any]", type(value))):
            return None
        try:
            self.plain(value)
        except _ConverterFailed as error:
            return str(error)
        return ""


NO_CONVERTERS = Conversions()
"""The conversions of the library alone."""


def _make_plain(one: Converter[Any], value: Any) -> Any:
    try:
        plain = one.to_plain(value)
    except Exception as error:
        raise _ConverterFailed(
            f"to_plain of the converter of {one.name} raised {_reason(error)}"
        ) from error
    try:
        pack_value(plain, what="it")
    except PayloadError as error:
        returned = f"to_plain of the converter of {one.name} returned {quote(plain)}"
        raise _ConverterFailed(f"{returned}: {error}") from error
    return plain


def _restore(one: Converter[Any], plain: Any, kind: Any) -> Any:
    try:
        value = one.from_plain(plain, kind)
    except Exception as error:
        raise _ConverterFailed(
            f"from_plain of the converter of {one.name} raised {_reason(error)}"
        ) from error
    if isinstance(kind, type) and not isinstance(value, kind):
        raise _ConverterFailed(
            f"from_plain of the converter of {one.name} returned {quote(value)}, which is no {kind.__name__}"
        )
    return value


@attrs.frozen
class Converted:
    """An annotation with the conversions of the app that it comes from."""

    annotation: Any
    conversions: Conversions


def to_plain(value: Any, what: str = "value", conversions: Conversions = NO_CONVERTERS) -> Any:
    """Return a value as plain data; plain data is returned unchanged. Raises `PayloadError`.

    `what` names the value in errors.
    """
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
        return conversions.plain(value)
    except RecursionError as error:
        raise PayloadError(f"{what} {quote(value)}: it contains itself") from error
    except Exception as error:  # hooks and values of users may raise anything
        text = find_unpackable(value, what, conversions.explain if conversions else None)
        text = text or f"{what} {quote(value)} cannot be made plain: {_reason(error)}"
        raise PayloadError(text) from error


def needs_structure(annotation: Any, conversions: Conversions = NO_CONVERTERS) -> bool:
    """Return whether values of this type are packed as another type."""
    if annotation is Any or annotation is None:
        return False
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        kind = cast("type[Any]", annotation)
        return (
            issubclass(kind, _STRUCTURED_TYPES)
            or attrs.has(kind)
            or dataclasses.is_dataclass(kind)
            or conversions.restores(kind)
        )
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return False
    if isinstance(origin, type) and needs_structure(origin, conversions):
        return True
    return any(needs_structure(part, conversions) for part in typing.get_args(annotation))


def make_structurer(
    annotation: Any, where: str = "", conversions: Conversions = NO_CONVERTERS
) -> Callable[[Any], Any] | None:
    """Return a function from plain data to the annotated type; None if nothing is to be done.

    `where` stands before the value in errors, such as `"order: when="`. A `Converted` brings its
    conversions along.
    """
    if isinstance(annotation, Converted):
        annotation, conversions = annotation.annotation, annotation.conversions
    if not needs_structure(annotation, conversions):
        return None

    def structure(value: Any) -> Any:
        try:
            return conversions.structure(value, annotation)
        except Exception as error:  # cattrs raises groups, and hooks may raise anything
            named = getattr(annotation, "__name__", str(annotation))
            raise PayloadError(f"{where}{quote(value)} is no {named}: {_reason(error)}") from error

    return structure


def _reason(error: BaseException) -> str:
    while below := group_members(error):
        error = below[0]
    if isinstance(error, _ConverterFailed):
        return str(error)
    return f"{type(error).__name__}: {quote(str(error))}"
