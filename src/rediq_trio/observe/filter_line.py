"""The filter of tasks that a person types on one line: `type:mail:send older:1h payload.user.id=7`.

Each word is a field and a value; all must hold. Values with spaces stand in double quotes. A mistake
is a `ConfigError` with two notes: the line, and a caret under the place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, did_you_mean
from rediq_trio.admin.filters import read_filter
from rediq_trio.observe.words import duration, read_duration, shown
from rediq_trio.values.filters import FilterOptions

FILTER_LINE_MAX = 4000
"""Characters of a line, at most."""
FILTER_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType({
    "type": ("type", "the whole name of the type"),
    "error": ("error", "a part of the error's text"),
    "kind": ("kind", "the kind of failure"),
    "meta.": ("metadata", "an entry of the metadata, like meta.tenant:acme"),
    "payload": ("payload", "a part of any text in the payload"),
    "payload.": ("payload", "what is at a path, like payload.user.id:7"),
    "limit": ("limit_key", "the limit key"),
    "priority": ("priority", "the priority, 0 to 100"),
    "older": ("older_than", "at least that old, like older:1h"),
    "younger": ("younger_than", "at most that old, like younger:5m"),
})  # fmt: skip
"""The fields of a line: the option of each, and what it says, for people."""
_FILTER_WORD = re.compile(r'(?P<name>[^\s:"]+)(?::(?P<value>"(?:\\.|[^"\\])*"|[^\s"]*))?')
_QUOTED = re.compile(r'[\s"]')


@attrs.frozen
class FilterWord:
    """One word of a line."""

    text: str
    """The word, as it was typed."""
    said: str
    """The same for people."""
    rest: str
    """The line without it."""


@attrs.frozen
class FilterLine:
    """A line that was read."""

    options: FilterOptions
    words: tuple[FilterWord, ...]


def read_filter_line(line: str) -> FilterLine:
    """Return what a line chooses; raise `ConfigError`, with a caret under the place in its notes."""
    if len(line) > FILTER_LINE_MAX:
        raise ConfigError(
            f"the filter has {len(line):,} characters: at most {FILTER_LINE_MAX:,} are read"
        )
    options: dict[str, Any] = {}
    found: list[tuple[int, int, str]] = []
    for start, end, name, value in _words(line):
        try:
            field, option = _option(name, value)
            _add(options, field, option)
            read_filter("filter", {field: options[field]})
        except ConfigError as error:
            raise _at(error, line, start, end) from None
        found.append((start, end, _said(name, option)))
    words = [
        FilterWord(line[start:end], said, " ".join((line[:start] + line[end:]).split()))
        for start, end, said in found
    ]
    return FilterLine(cast("FilterOptions", options), tuple(words))


def filter_word(name: str, value: str) -> str:
    """Return a word of a line that says this, quoted where it must be."""
    return (
        f"{name}:{json.dumps(value, ensure_ascii=False)}"
        if _QUOTED.search(value)
        else f"{name}:{value}"
    )


def _words(line: str) -> Iterator[tuple[int, int, str, str]]:
    at = 0
    while at < len(line):
        if line[at].isspace():
            at += 1
            continue
        found = _FILTER_WORD.match(line, at)
        if found is None or (found.end() < len(line) and not line[found.end()].isspace()):
            end = at if found is None else found.end()
            quote = ConfigError('a quote is not closed, or stands within a word; write error:"a b"')
            raise _at(quote, line, end, len(line))
        name, value = found["name"], found["value"]
        if value is None:
            wanted = ", ".join(
                field if field.endswith(".") else f"{field}:" for field in FILTER_WORDS
            )
            known = did_you_mean(name, FILTER_WORDS)
            hint = known or f"; write for example error:{name} or payload:{name}"
            bare = ConfigError(f"{shown(name, 60)} has no field{hint}. Fields are {wanted}")
            raise _at(bare, line, at, found.end())
        yield at, found.end(), name, value
        at = found.end()


def _option(name: str, text: str) -> tuple[str, Any]:
    value = _unquoted(text)
    if not value:
        raise ConfigError(f"{shown(name, 60)}: has no value; write {shown(name, 60)}:something")
    if name.startswith("meta."):
        if not (key := name.removeprefix("meta.")):
            raise ConfigError("meta.: has no key; write it like meta.tenant:acme")
        return "metadata", {key: value}
    if name.startswith("payload."):
        path = name.removeprefix("payload.")
        if not all(path.split(".")):
            raise ConfigError(
                "payload.: a part of the path is empty; write it like payload.user.id:7"
            )
        return "payload", (path, value if text.startswith('"') else value_of(value))
    if name not in FILTER_WORDS or name.endswith("."):
        raise ConfigError(
            f"{shown(name, 60)}: there is no such field{did_you_mean(name, FILTER_WORDS)}"
        )
    field = FILTER_WORDS[name][0]
    if field in ("older_than", "younger_than"):
        try:
            return field, read_duration(value)
        except ValueError as error:
            raise ConfigError(f"{name}: {shown(str(error), 200)}") from None
    if field == "priority":
        try:
            return field, int(value)
        except ValueError:
            raise ConfigError.of("priority", value, "a whole number, 0 to 100") from None
    return field, value


def _add(options: dict[str, Any], field: str, value: Any) -> None:
    if field == "metadata":
        options["metadata"] = options.get("metadata", {}) | value
    elif field in options:
        raise ConfigError(f"{field} is there twice; leave one out")
    else:
        options[field] = value


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError as error:
        raise ConfigError(f"no quoted text: {error}") from None


def value_of(text: str) -> Any:
    """Read JSON where a text is that, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _said(name: str, value: Any) -> str:
    if name.startswith("meta."):
        ((key, text),) = value.items()
        return f"{shown(key, 40)} {shown(text, 40)}"
    if name.startswith("payload."):
        return f"{shown(value[0], 40)} {shown(str(value[1]), 40)}"
    if name in ("older", "younger"):
        return f"{name} than {duration(value)}"
    return f"{name} {shown(str(value), 60)}"


def _at(error: ConfigError, line: str, start: int, end: int) -> ConfigError:
    error.add_note(f"  {shown(line)}")
    before = len(shown(line[:start]))
    error.add_note(f"  {' ' * before}^{'~' * max(0, len(shown(line[start:end])) - 1)}")
    return error
