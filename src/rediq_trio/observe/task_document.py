"""TaskDocument: a task as a text of JSON that a person edits, and what was changed in it.

It has the payload and the options that can be changed. Lines that begin with // are not read. What JSON
lacks is written as in a task file: `{"$bytes": "<base64>"}`, `{"$float": "inf"}`, `{"$map": [...]}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError, TaskStateError, did_you_mean
from rediq_trio.admin.task_file import from_json, to_json
from rediq_trio.observe.clock import future_instant
from rediq_trio.observe.words import shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.backoff import DEFAULT_BACKOFF, Backoff, Exponential, Fixed, Linear
from rediq_trio.values.task import TaskInfo, Unique
from rediq_trio.values.unset import UNSET_RETENTION, UNSET_TIMEOUT

_LEFT_TO_HANDLER: Mapping[str, Any] = MappingProxyType(
    {"timeout": UNSET_TIMEOUT, "retention": UNSET_RETENTION, "backoff": DEFAULT_BACKOFF}
)
"""Options that null leaves to the handler."""
_BACKOFFS: Mapping[str, Any] = {"exponential": Exponential, "linear": Linear, "fixed": Fixed}
_BACKOFF_WANTED = 'like {"kind": "fixed", "seconds": 5}, or null for what the handler says'
_NO_NUMBERS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
_UNREADABLE: tuple[type[Exception], ...] = (
    ValueError, TypeError, LookupError, RecursionError, PayloadError
)  # fmt: skip


def check_editable(info: TaskInfo) -> None:
    """Raise `ConfigError` or `TaskStateError` for a task that nobody can edit, or not now."""
    if info.members:
        raise ConfigError.of("ID", info.id, "that of a single task: this is a batch of a group")
    if info.payload_missing is not None:
        raise ConfigError(f"{info.id} cannot be edited: its payload is {info.payload_missing}")
    if info.state is State.ACTIVE:
        reason = "a worker runs it; wait for its end, or cancel it first"
        raise TaskStateError(info.id, info.state.value, "waiting, or at its end", reason)


@attrs.frozen
class TaskDocument:
    """The fields of a task that can be changed, as plain data of JSON."""

    fields: Mapping[str, Any]

    @classmethod
    def of(cls, info: TaskInfo) -> TaskDocument:
        """Return that of a task whose payload can be read."""
        fields: dict[str, Any] = {
            "payload": to_json(info.payload), "priority": info.priority,
            "max_retry": info.max_retry, "max_crashes": info.max_crashes,
            "timeout": to_json(info.timeout), "retention": to_json(info.retention),
            "backoff": _backoff_fields(info.backoff), "metadata": dict(info.metadata),
        }  # fmt: skip
        if info.state in (State.COMPLETED, State.DEAD, State.CANCELLED):
            fields |= {"queue": info.queue, "limit_key": info.limit_key, "group": info.group}
            fields["unique"] = None if info.unique is None else info.unique.key
        else:
            fields["expires"] = None if info.expires is None else info.expires.isoformat()
        return cls(fields)

    def text(self, *comments: str) -> str:
        """Return the text to edit, below lines of comment."""
        head = "".join(f"// {shown(line)}\n" for line in comments)
        body = json.dumps(self.fields, indent=2, ensure_ascii=False, allow_nan=False)
        return f"{head}{''.join(map(_visible, body))}\n"

    def changes(self, text: str) -> dict[str, Any]:
        """Return what an edited text changes, by the names of the options; nothing if it changes nothing.

        A field that was removed stays as it is. Raises `ConfigError`, with line and column
        for what is no JSON.
        """
        changes: dict[str, Any] = {}
        for name, value in _read(text).items():
            if name not in self.fields and name != "expires":
                hint = did_you_mean(name, self.fields)
                raise ConfigError(f"{shown(name)}: cannot be edited here{hint}")
            if name not in self.fields or _said(value) != _said(self.fields[name]):
                changes[name] = _option(name, value)
        return changes


def _visible(character: str) -> str:
    # A terminal may obey what is not printable, and nobody sees it.
    if character == "\n" or character.isprintable():
        return character
    return json.dumps(character)[1:-1]


def _read(text: str) -> Mapping[str, Any]:
    # A string of JSON has no line breaks, so no line of one can be taken for a comment.
    lines = ["" if line.lstrip().startswith("//") else line for line in text.split("\n")]
    try:
        found: Any = json.loads(
            "\n".join(lines), object_pairs_hook=_without_twins, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"no JSON at {where}: {error.msg}") from None
    except RecursionError:
        raise ConfigError("no JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError("no JSON object: the text must begin with { and end with }")
    return cast("dict[str, Any]", found)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{shown(twin)} is there twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON; write {{"$float": "{_NO_NUMBERS[name]}"}}')


def _said(value: Any) -> str:
    # Not ==, for which 1, 1.0 and true are the same.
    try:
        return json.dumps(value, sort_keys=True)
    except RecursionError:
        raise ConfigError("no JSON: it is nested too deeply") from None


def _option(name: str, value: Any) -> Any:
    """Return the value of an option of `Task`."""
    if value is None and name in _LEFT_TO_HANDLER:
        return _LEFT_TO_HANDLER[name]
    match name:
        case "backoff":
            return _backoff(value)
        case "expires" if isinstance(value, str):
            return future_instant(name, value)
        case "unique":
            return None if value is None else Unique(key=value)
        case "payload" | "timeout" | "retention":
            try:
                return from_json(value)
            except _UNREADABLE as error:
                raise ConfigError(f"{name}: {shown(str(error))}") from None
        case _:
            return value


def _backoff_fields(backoff: Any) -> dict[str, Any] | None:
    if backoff is None:
        return None
    return {"kind": type(backoff).__name__.lower(), **attrs.asdict(backoff)}


def _backoff(value: Any) -> Backoff:
    if not isinstance(value, dict):
        raise ConfigError.of("backoff", value, _BACKOFF_WANTED)
    fields = dict(cast("dict[str, Any]", value))
    kind = _BACKOFFS.get(str(fields.pop("kind", None)))
    if kind is None:
        raise ConfigError.of("backoff", cast("Any", value), _BACKOFF_WANTED)
    try:
        found: Backoff = kind(**fields)
    except TypeError:
        names = ", ".join(field.name for field in attrs.fields(kind))
        raise ConfigError(f"backoff: {kind.__name__.lower()} has {names}") from None
    except ConfigError as error:
        raise ConfigError(f"backoff: {error}") from None
    return found
