"""Files of plans: JSON, with a line for each part, so that one can be read and edited by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from rediq_trio._errors import ConfigError, PayloadError, quote
from rediq_trio.testing.fleets.plan import ClientAction, Fault, FaultPlan, Work

PLAN_FORMAT = 1
"""The version of the format. A reader refuses a newer one."""
MAX_FILE = 64 * 1024 * 1024
T = TypeVar("T")
Parts = list[tuple[int, Any]]
_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\n\r]*")
_PART_LISTS: Mapping[str, type] = {"works": Work, "faults": Fault}


def dump_plan(plan: FaultPlan) -> str:
    """Return the text of a plan's file."""
    head = {
        field.name: getattr(plan, field.name)
        for field in attrs.fields(FaultPlan)
        if field.name not in _PART_LISTS
    }
    lines = [f'  "format": {PLAN_FORMAT}'] + [f'  "{key}": {_json(head[key])}' for key in head]
    for name in _PART_LISTS:
        parts = ",\n    ".join(_json(_fields(part)) for part in getattr(plan, name))
        lines.append(f'  "{name}": [\n    {parts}\n  ]' if parts else f'  "{name}": []')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load_plan(text: str, *, name: str = "the plan") -> FaultPlan:
    """Return the plan of a file's text.

    Raises `PayloadError` that names the line, and the field where there is one, for text that is
    cut, or was edited to what is no plan, or was written by a newer version.
    """
    fields = dict[str, tuple[int, Any]]()
    for line, key, value in _members(name, text):
        if key in fields:
            raise _error(name, line, f"{key} is there twice")
        fields[key] = (line, value)
    line, version = fields.pop("format", (1, None))
    if version is None:
        raise _error(name, line, "the field 'format' is missing, so this is no plan")
    if type(version) is not int or version < 1:
        raise _error(name, line, f"format is {quote(version)}, not a whole number from 1")
    if version > PLAN_FORMAT:
        bound = f"format is {version}, and this version of rediq-trio reads up to {PLAN_FORMAT}"
        raise _error(name, line, f"{bound}: install a newer one")
    known = attrs.fields_dict(FaultPlan)
    values = dict[str, Any]()
    for key, (line, value) in fields.items():
        if key not in known:
            raise _error(name, line, f"{quote(key)} is no field of a plan: {', '.join(known)}")
        if key in _PART_LISTS:
            if not isinstance(value, list):
                raise _error(name, line, f"{key} is {quote(value)}, not a list")
            value = [
                _built(name, at, f"{key}[{n}].", _PART_LISTS[key], part)
                for n, (at, part) in enumerate(cast("Parts", value))
            ]
        else:
            # Each alone, so that the error names the line of the field that is wrong.
            _built(name, line, "", FaultPlan, {key: value})
        values[key] = value
    if missing := [key for key in known if key not in values]:
        raise _error(name, text.count("\n") + 1, f"the field {missing[0]!r} is missing")
    return _built(name, 1, "", FaultPlan, values)


def save_plan(plan: FaultPlan, path: Path) -> None:
    """Write a plan to a file, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(dump_plan(plan), "utf-8")
    partial.replace(path)


def read_plan(path: Path) -> FaultPlan:
    """Return the plan that a file holds; raise `PayloadError` as `load_plan` does."""
    if path.stat().st_size > MAX_FILE:
        raise PayloadError(f"{path}: {path.stat().st_size:,} bytes, more than {MAX_FILE:,}")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError(f"{path}: not UTF-8 at byte {error.start}") from error
    return load_plan(text, name=str(path))


def _json(value: Any) -> str:
    return json.dumps(value, default=_as_dict)


def _as_dict(value: Any) -> Any:
    if isinstance(value, ClientAction):
        return _fields(value)
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else str(value)


def _fields(part: attrs.AttrsInstance) -> dict[str, Any]:
    """Return the fields of a part that are not as by default."""
    fields = attrs.fields(type(part))
    values = {field.name: getattr(part, field.name) for field in fields}
    return {f.name: values[f.name] for f in fields if values[f.name] != f.default}


def _built(name: str, line: int, where: str, kind: Callable[..., T], values: Any) -> T:
    if not isinstance(values, Mapping):
        raise _error(name, line, f"{where.rstrip('.')} is {quote(values)}, not an object")
    fields = cast("Mapping[str, Any]", values)
    known = attrs.fields_dict(cast("Any", kind))
    for key in fields:
        if key not in known:
            raise _error(name, line, f"{where}{key} is no field: {', '.join(known)}")
    try:
        return kind(**fields)
    except ConfigError as error:
        raise _error(name, line, f"{where}{error}") from error
    except TypeError as error:
        missing = [
            key for key, field in known.items() if field.default is attrs.NOTHING and key not in fields
        ]
        what = f"{where}{missing[0]} is missing" if missing else str(error)
        raise _error(name, line, what) from error


def _error(name: str, line: int, what: str) -> PayloadError:
    return PayloadError(f"{name}, line {line}: {what}")


def _members(name: str, text: str) -> Iterator[tuple[int, str, Any]]:
    """Return the line, name and value of each field of an object, and of lists each with its line."""
    reader = _PlanReader(name, text)
    reader.expect("{")
    if reader.skip("}"):
        return
    while True:
        line, key = reader.line(), reader.value()
        if not isinstance(key, str):
            raise _error(name, line, f"{quote(key)} is no name of a field")
        reader.expect(":")
        yield line, key, reader.parts() if reader.peek() == "[" else reader.value()
        if reader.skip("}"):
            break
        reader.expect(",")
    if reader.peek():
        raise _error(name, reader.line(), "there is more after the end of the plan")


class _PlanReader:
    """Reads JSON value by value, to know the line of each."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text, self._at = name, text, 0

    def line(self) -> int:
        self.peek()
        return self._text.count("\n", 0, self._at) + 1

    def peek(self) -> str:
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None
        self._at = blank.end()
        return self._text[self._at : self._at + 1]

    def skip(self, character: str) -> bool:
        if found := self.peek() == character:
            self._at += 1
        return found

    def expect(self, character: str) -> None:
        if not self.skip(character):
            found = quote(self.peek()) if self.peek() else "the end of the file"
            raise _error(self._name, self.line(), f"{found} is there, and not {character!r}")

    def value(self) -> Any:
        self.peek()
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            raise _error(self._name, error.lineno, f"not JSON: {error.msg}") from error
        except (RecursionError, ValueError) as error:
            # A number may have more digits than Python converts.
            raise _error(self._name, self.line(), f"not readable: {error}") from error
        return value

    def parts(self) -> Parts:
        self.expect("[")
        parts = Parts()
        while not self.skip("]"):
            if parts:
                self.expect(",")
            parts.append((self.line(), self.value()))
        return parts
