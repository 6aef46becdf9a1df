"""The labels of a worker: names and texts of the operator's own, such as its zone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values.bounds import NAME_BOUND, check_name

MAX_LABELS = 16
"""Maximum labels of a worker."""
MAX_LABEL_VALUE = 128
"""Maximum characters of a label's value."""
NO_LABELS: Mapping[str, str] = MappingProxyType({})


def to_labels(value: Mapping[str, str]) -> Mapping[str, str]:
    """Return a copy of labels that nobody can change; anything else as it is."""
    if not isinstance(cast("object", value), Mapping):
        return value
    return MappingProxyType(dict(value))


def check_labels(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Validate labels; raise `ConfigError` that names the label."""
    field = attribute.name
    if not isinstance(value, Mapping):
        raise ConfigError.of(field, value, "a mapping of names to texts")
    labels = cast("Mapping[object, object]", value)
    if len(labels) > MAX_LABELS:
        raise ConfigError.of(field, dict(labels), f"at most {MAX_LABELS} labels")
    for name, text in labels.items():
        check_name(f"{field}, a name", name)
        if (
            not isinstance(text, str)
            or len(text) > MAX_LABEL_VALUE
            or "," in text
            or not text.isprintable()
        ):
            bound = f"at most {MAX_LABEL_VALUE} printable characters without a comma"
            raise ConfigError.of(f"{field}, {name}", text, bound)


def parse_labels(text: str) -> dict[str, str]:
    """Read `zone=b,rack=4`; raise `ValueError` for text that is no list of labels.

    Names and texts are not checked here.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, value = part.partition("=")
        if not sign or name.strip() in found:
            raise ValueError(f"not a label, or one that is named twice ({NAME_BOUND}): {part}")
        found[name.strip()] = value.strip()
    return found
