"""Unique: at most one task at a time under a key."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds


def _check_key(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= bounds.MAX_TYPE or not value.isprintable():
        raise ConfigError.of(attribute.name, value, f"1 to {bounds.MAX_TYPE} printable characters")


@attrs.frozen
class Unique:
    """At most one task at a time under a key, within one queue.

    The window begins with the enqueue. It ends when the task reached a terminal state
    (`until="done"`), at its first claim ("started"), or by time alone ("expired", which
    needs a `ttl`); with a `ttl` never later than that. A second task meanwhile is
    refused with `DuplicateTask` ("reject"), gives the handle of the one that is there
    ("return"), or puts its payload and options in its place while it was never claimed
    ("replace").
    """

    key: str | None = attrs.field(default=None, validator=attrs.validators.optional(_check_key))
    """1 to 256 characters; None for the task's type and payload."""
    until: Literal["done", "started", "expired"] = attrs.field(
        default="done", validator=bounds.choice("done", "started", "expired")
    )
    ttl: float | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(bounds.number(0, bounds.MAX_RETENTION, above=True)),
    )
    """Seconds from the enqueue, or from the last replacement."""
    on_conflict: Literal["reject", "replace", "return"] = attrs.field(
        default="reject", validator=bounds.choice("reject", "replace", "return")
    )

    def __attrs_post_init__(self) -> None:
        if self.until == "expired" and self.ttl is None:
            raise ConfigError.of("ttl", self.ttl, 'given where until is "expired"')
