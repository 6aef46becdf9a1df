"""Converter: how an app makes plain data of a type of its own, and restores it.

A converter belongs to an app, and not to the process: two programs in one process may carry one type
in two ways, and what a handler gets does not depend on what was imported before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

import attrs

from rediq_trio._errors import ConfigError

T = TypeVar("T")
FromPlain = Callable[[Any, type[T]], T]
"""A function of plain data, and of the class to make of it."""

_CARRIED = (str, int, float, bool, bytes, type(None), dict, list, tuple, set, frozenset, object)
"""What msgpack carries or what cattrs makes plain part by part; `object` would be everything."""


def _check_type(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, type) or value in _CARRIED:
        bound = "a class that msgpack cannot carry, such as one of your own"
        raise ConfigError.of(attribute.name, value, bound)


def _check_function(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        given = "the value" if attribute.name == "to_plain" else "the plain data and the type"
        raise ConfigError.of(attribute.name, value, f"a function of {given}")


@attrs.frozen
class Converter(Generic[T]):
    """How values of a type become plain data, and come back.

    For `App(converters=[...])`. It applies to the arguments of tasks, to results, and to results
    of `once`, at any depth. Values are converted by their type, and restored where an annotation
    names it: a parameter of a handler, a return type, a field of an attrs class or dataclass.

    It applies to subclasses too, unless a nearer class has a converter. It takes precedence over
    what the library does with the type. Both functions should be fast and without side effects.
    """

    type: type[T] = attrs.field(validator=_check_type)
    """A class; not one that msgpack carries, such as `dict` or `str`."""
    to_plain: Callable[[T], Any] = attrs.field(validator=_check_function)
    """Returns data that msgpack can carry: texts, numbers, bytes, None, lists, and mappings with
    keys of text."""
    from_plain: FromPlain[T] = attrs.field(validator=_check_function)
    """Takes such data, and the class that the annotation names: the type, or a subclass of it.
    Returns an instance of that class."""

    @property
    def name(self) -> str:
        """The name of the type."""
        return cast("type[Any]", self.type).__name__
