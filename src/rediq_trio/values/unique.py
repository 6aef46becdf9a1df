"""Unique: at most one task at a time with a key."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds


def _check_key(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= bounds.MAX_TYPE
        or not value.isprintable()
    ):
        raise ConfigError.of(attribute.name, value, f"1 to {bounds.MAX_TYPE} printable characters")


@attrs.frozen
class Unique:
    """Allow at most one task at a time with a key, within one queue.

    The key is taken from the enqueue on. It is free again when the task reaches a terminal
    state (`until="done"`), at its first claim (`"started"`), or after `ttl` seconds only
    (`"expired"`); with a `ttl`, never later than that. Meanwhile, a second task is rejected
    with `DuplicateTask` (`"reject"`), returns the handle of the first (`"return"`), or
    replaces the payload and options of the first if that was never claimed (`"replace"`).
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
