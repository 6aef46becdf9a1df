"""What of payloads, results, errors and metadata tools do not show.

A path names a field and then keys, with dots between them: `payload.card`, `result`, `metadata.email`,
`payload.*.token` (`*` is any one key or place of a list), `**.password` (a key anywhere in any field).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.observed.attempt import Attempt
from rediq_trio.values.task import TaskInfo

HIDEABLE = ("payload", "result", "error", "metadata")
"""What can be hidden: an error with its traceback."""
VARIABLE = "REDIQ_HIDE"
"""The variable with the paths for the command line, and for the web page without `--hide`."""
Hide = Callable[[object, str], object]
"""Returns what may be shown of a value; the second argument is its field."""


class Hidden(str):
    """What stands in place of a value: a text that names the rule."""

    __slots__ = ()


@attrs.frozen
class Hiding:
    """The paths of what is hidden. Called with a value and its field, it returns what may be shown."""

    paths: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, paths: str | Sequence[str]) -> Hiding:
        """Return the rules of paths, in one text with commas between them or in a list.

        Raises `ConfigError` for a path that begins with no field.
        """
        texts = re.split(r"[,\s]+", paths) if isinstance(paths, str) else paths
        found: list[tuple[str, ...]] = []
        for text in texts:
            if not text.strip():
                continue
            parts = tuple(text.strip().split("."))
            if not all(parts) or parts[0] not in (*HIDEABLE, "**") or parts[-1] == "**":
                bound = "like payload.card, payload.*.token, result, error, metadata.email or **.password"
                raise ConfigError.of("hide", text, bound)
            found.append(parts)
        return cls(tuple(found))

    @classmethod
    def from_environment(cls) -> Hiding:
        """Return the rules of `REDIQ_HIDE`; raise `ConfigError` for a path that begins with no field."""
        return cls.of(os.environ.get(VARIABLE, ""))

    def __call__(self, value: object, field: str) -> object:
        """Return a value with what is hidden replaced by `Hidden`."""
        for path in self.paths:
            rule = ".".join(path)
            if path[0] == "**":
                value = _anywhere(value, path[1:], rule)
            elif path[0] == field:
                value = _at(value, path[1:], rule)
        return value

    def info(self, info: TaskInfo) -> TaskInfo:
        """Return what may be shown of a task."""
        if not self.paths:
            return info
        error: Any = None if info.error is None else self(info.error, "error")
        return attrs.evolve(
            info,
            payload=self(info.payload, "payload"),
            result=self(info.result, "result"),
            metadata=cast("Any", self(info.metadata, "metadata")),
            error=error,
            attempts=tuple(map(self._attempt, info.attempts)),
        )

    def _attempt(self, attempt: Attempt) -> Attempt:
        def shown(text: str | None) -> Any:
            return None if text is None else self(text, "error")

        return attrs.evolve(
            attempt, message=shown(attempt.message), traceback=shown(attempt.traceback)
        )


def check_search(hide: Hide, wanted: FilterOptions) -> None:
    """Raise `ConfigError` for a filter that would tell what is hidden: whoever searches could try values."""
    payload, error, metadata = wanted.get("payload"), wanted.get("error"), wanted.get("metadata")
    # What a function hides is not known.
    rules = hide.paths if isinstance(hide, Hiding) else (("payload",),)
    if isinstance(payload, str) and any(path[0] in ("payload", "**") for path in rules):
        raise ConfigError("payload: parts of it are hidden; search at a path that is not")
    if isinstance(payload, tuple):
        path, value = payload
        for part in reversed(path.split(".")):
            value = {part: value}
        _check(hide, value, "payload", path)
    if error is not None:
        _check(hide, error, "error", "")
    if metadata:
        _check(hide, dict(metadata), "metadata", ", ".join(metadata))


def _check(hide: Hide, value: object, field: str, path: str) -> None:
    if hide(value, field) != value:
        name = f"{field}.{path}" if path else field
        raise ConfigError(f"{name} is hidden, and cannot be searched; leave it out of the filter")


def _at(value: object, keys: Sequence[str], rule: str) -> object:
    if not keys:
        return value if value is None else Hidden(f"(hidden by {rule})")
    first, rest = keys[0], keys[1:]
    if first == "**":
        return _anywhere(value, rest, rule)
    return _mapped(value, lambda key, each: _at(each, rest, rule) if first in ("*", key) else each)


def _anywhere(value: object, keys: Sequence[str], rule: str) -> object:
    below = _mapped(value, lambda _, each: _anywhere(each, keys, rule))
    return _at(below, keys, rule)


def _mapped(value: object, change: Callable[[str, object], object]) -> object:
    """Return a copy of a map or list with each part changed; anything else as it is."""
    match value:
        case Mapping():
            parts = cast("Mapping[object, object]", value)
            return {key: change(str(key), each) for key, each in parts.items()}
        case list() | tuple():
            items = cast("Sequence[object]", value)
            return [change(str(place), each) for place, each in enumerate(items)]
        case _:
            return value
