"""The reference pages, from the docstrings of the code."""

from __future__ import annotations

import enum
import inspect
import re
import typing
from types import MappingProxyType
from typing import Any

import attrs

import rediq_trio as rediq
from docs.other_clients import CLASSES
from docs.read_source import (
    attribute_docs,
    attributes_set,
    fields,
    members,
    oneline,
    tidy,
)
from docs.read_source import constants as numbers
from rediq_trio import _errors
from rediq_trio.cli.flags import flag_of
from rediq_trio.handlers import exceptions
from rediq_trio.settings import Settings
from rediq_trio.spec.lifecycle import TERMINAL, TRANSITIONS, WAITING, State, Transition
from rediq_trio.store.broadcast import SignalKind
from rediq_trio.store.redis.scripts import load_scripts
from rediq_trio.values.backoff import Exponential, Fixed, Linear
from rediq_trio.values.limits import UNSET
from rediq_trio.values.observed.why import WhyKind
from rediq_trio.values.task import Task, TaskOptions

SHOWN_DEFAULTS = {"name": "host:pid:random"}
"""Defaults that are worked out at run time."""


def _plain(value: Any) -> str:
    if isinstance(value, float) and abs(value) < 1e15 and value == int(value):
        value = int(value)
    if type(value) is int and value >= 10_000:
        return f"{value:,}"
    if isinstance(value, MappingProxyType):
        return repr(dict(value))
    if isinstance(value, enum.Enum):
        return str(value.value)
    return repr(value)


def _default(name: str, value: Any) -> str:
    if value is attrs.NOTHING:
        return "required"
    if name in SHOWN_DEFAULTS:
        return SHOWN_DEFAULTS[name]
    if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
        return f"`{_plain(value.factory())}`"
    if value == Exponential():
        return "`Exponential()`"
    return f"`{_plain(value)}`"


def states() -> str:
    """Make the table of the states."""
    lines = ["| state | | meaning |", "| --- | --- | --- |"]
    used = {state for pairs in TRANSITIONS.values() for pair in pairs for state in pair}
    docs = {member.value: member.doc for member in members(State)}
    for state in State:
        if state in used:
            kind = "waiting" if state in WAITING else "terminal" if state in TERMINAL else ""
            lines.append(f"| `{state}` | {kind} | {oneline(docs[state])} |")
    return "\n".join(lines)


def transitions() -> str:
    """Make the table of the transitions, with what each says of itself: its script, or its name."""
    scripts, docs = load_scripts(), attribute_docs(Transition)
    lines = ["| event | from | to | what it does |", "| --- | --- | --- | --- |"]
    for transition in Transition:
        pairs = TRANSITIONS[transition]
        summary = (
            scripts[transition].summary if transition in scripts else oneline(docs[transition.name])
        )
        sources, targets = ({pair[n] for pair in pairs} for n in (0, 1))
        lines.append(f"| `{transition}` | {_named(sources)} | {_named(targets)} | {summary} |")
    return "\n".join(lines)


def _named(found: set[State | None]) -> str:
    names = [str(state) for state in State if state in found]
    return ", ".join([*(["-"] if None in found else []), *names])


def constants() -> str:
    """Make the table of the documented constants."""
    lines = ["| module | constant | value | meaning |", "| --- | --- | ---: | --- |"]
    for found in numbers():
        value = _plain(found.value)
        lines.append(f"| `{found.module}` | `{found.name}` | {value} | {found.doc} |")
    return "\n".join(lines)


def options() -> str:
    """Make the table of a task's options."""
    hints = TaskOptions.__optional_keys__
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    for field in fields(Task):
        if field.name in hints:
            default = _default(field.name, field.value)
            lines.append(f"| `{field.name}` | {default} | {oneline(field.doc)} |")
    return "\n".join(lines)


def backoffs() -> str:
    """Make a section for each backoff policy."""
    parts = []
    for kind in (Exponential, Linear, Fixed):
        rows = ["| argument | default | meaning |", "| --- | --- | --- |"]
        for field in fields(kind):
            rows.append(f"| `{field.name}` | {_default('', field.value)} | {oneline(field.doc)} |")
        parts.append(f"### {kind.__name__}\n\n{tidy(kind.__doc__ or '')}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def settings() -> str:
    """Make the table of the settings."""
    lines = [
        "| setting | variable | flag | default | meaning |",
        "| --- | --- | --- | --- | --- |",
    ]
    for field in fields(Settings):
        flag = flag_of(field.name)
        lines.append(
            f"| `{field.name}` | `REDIQ_{field.name.upper()}` | `{flag}` "
            f"| {_default(field.name, field.value)} | {oneline(field.doc)} |"
        )
    return "\n".join(lines)


def errors() -> str:
    """Make the tree of the errors and their table."""
    tree = inspect.getdoc(_errors) or ""
    _, _, tree = tree.partition("\n\n")
    lines = ["| error | also a | meaning |", "| --- | --- | --- |"]
    for kind in _public(
        lambda found: isinstance(found, type) and issubclass(found, rediq.RediqError)
    ):
        others = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"]
        doc = inspect.getdoc(kind) or ""
        lines.append(
            f"| `{kind.__name__}` | {', '.join(f'`{n}`' for n in others if n != 'Exception')} "
            f"| {' '.join(doc.split())} |"
        )
    return f"```text\n{inspect.cleandoc(tree)}\n```\n\n" + "\n".join(lines)


def signals() -> str:
    """Make the table of the signals."""
    lines = ["| signal | meaning |", "| --- | --- |"]
    return "\n".join(
        [*lines, *(f"| `{m.value}` | {oneline(m.doc)} |" for m in members(SignalKind))]
    )


def _public(wanted: Any) -> list[Any]:
    found = (getattr(rediq, name) for name in sorted(rediq.__all__))
    return [value for value in found if wanted(value)]


_VALUES = ("TaskInfo", "Dependency", "UniqueKey", "Attempt", "ErrorText", "Progress", "Why",
           "WhyPart", "QueueStats", "Overview", "QueueCounts", "WorkerInfo", "RunningTask",
           "WorkerHealth", "ReceivedOrder", "TaskSignature", "ServerStats", "Health", "BlockedLoop",
           "ScheduleInfo", "Series", "SeriesPoint", "SeriesGap", "TypeStats", "Percentiles",
           "FailureKind", "GroupInfo", "BulkProgress",
           "SelectionPreview", "Possible", "QueueLimits", "KeyLimit", "QueueTargets",
           "AuditEntry", "Mark", "WorkflowInfo", "Node", "Violation", "Repair")  # fmt: skip


def values() -> str:
    """Make a section for each value that a user reads."""
    parts = []
    for name in _VALUES:
        kind = getattr(rediq, name)
        hints = typing.get_type_hints(kind)
        rows = ["| field | type | meaning |", "| --- | --- | --- |"]
        for field in fields(kind):
            rows.append(f"| `{field.name}` | {_type(hints[field.name])} | {oneline(field.doc)} |")
        parts.append(f"### {name}\n\n{tidy(kind.__doc__ or '')}\n\n" + "\n".join(rows))
    parts.append(_members_of(WhyKind, "What a part of a `Why` is about, with its `data`"))
    parts.append(_members_of(State, "Where a task is"))
    return "\n\n".join(parts)


def _members_of(kind: type[enum.StrEnum], said: str) -> str:
    rows = ["| member | meaning |", "| --- | --- |"]
    rows += [f"| `{m.name}` = `'{m.value}'` | {oneline(m.doc)} |" for m in members(kind)]
    said = f"{said}; a `str`, so it compares equal to its value."
    return f"### {kind.__name__}\n\n{said}\n\n" + "\n".join(rows)


def _type(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    for module in (
        "rediq_trio.values.task.",
        "rediq_trio.values.observed.why.",
        "rediq_trio.spec.lifecycle.",
        "rediq_trio.values.schedule.",
        "rediq_trio.values.limits.",
        "rediq_trio.values.observed.audit.",
        "rediq_trio.values.targets.",
        "rediq_trio.worker.watchdog.",
        "collections.abc.",
        "typing.",
    ):
        text = text.replace(module, "")
    # A bar would end the cell of the table, and its escape shows inside of code.
    text = text.replace("datetime.", "").replace(" | ", " or ")
    return f"`{text}`"


_RAISED = tuple(
    name for name, found in vars(exceptions).items()
    if isinstance(found, type) and issubclass(found, Exception) and not hasattr(_errors, name)
)  # fmt: skip
"""What a handler raises to choose how its attempt ends."""
_IN_API = ("serve", "connect", "connect_sync", "current_task", "App", "Converter", "TaskType", "Task",
           "Unique", "Client", "TaskHandle", "Queue", "TaskSearch", "Selection",
           "Rate", "DeadLetters", "Schedules", "WorkerHandle", "Every",
           "Cron", "Workflow", "chain", "gather", "WorkflowHandle", "WorkflowStatus", "Server", "CurrentTask",
           "Sending", "SentTask", *_RAISED,
           "MemoryStore", "Encryption", "logging_filter")  # fmt: skip
_BUILT = ("App", "Converter", "Task", "Unique", "Rate", "Every", "Cron", "Workflow", *_RAISED,
          "MemoryStore", "Encryption")  # fmt: skip
"""Classes that a user makes values of."""
_STORE = ("MemoryStore",)
"""Classes whose methods are inside matters: only what they are is told."""


def api() -> str:
    """Make a section for each public function and class."""
    text = "\n\n".join(_described(name, getattr(rediq, name)) for name in _IN_API)
    return re.sub(r"\n{3,}", "\n\n", text)


def other_clients() -> str:
    """Make the section of the function that opens an asyncio client, and the table of the classes."""
    opens = rediq.asyncio.connect
    lines = [
        f"### rediq.asyncio.connect\n\n{_code('rediq.asyncio.connect', opens)}\n",
        tidy(opens.__doc__ or ""),
        "\n### The classes\n",
        "| blocking | on Trio | on asyncio, in `rediq.asyncio` | |",
        "| --- | --- | --- | --- |",
    ]
    for name in (*CLASSES, "TaskSearch"):
        doc = oneline((inspect.getdoc(getattr(rediq, name)) or "").partition("\n\n")[0])
        lines.append(f"| `Sync{name}` | `{name}` | `Asyncio{name}` | {doc} |")
    return "\n".join(lines)


def _described(name: str, found: Any) -> str:
    doc = tidy(found.__doc__ or "")
    if not isinstance(found, type):
        return f"### {name}\n\n{_code(name, found)}\n\n{doc}"
    shown = [f"### {name}", "", _construction(name, found), "", doc]
    if name not in _STORE:
        shown += _attributes(found) + _methods(name, found)
    return "\n".join(part for part in shown if part is not None)


def _construction(name: str, kind: type) -> str:
    if name in _BUILT:
        if kind is Task:
            return f"```python\n{name}(type, payload={{}}, **options)\n```"
        return _code(name, kind)
    return ""


class _Text(str):
    """Is shown in a signature as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        # What is left out of a call is no value that anyone gives.
        text = str(self).replace(" | Unset", "").replace("builtins.", "")
        return text.replace("rediq_trio.values.schedule.", "")


def _code(name: str, found: Any, *, method: bool = False) -> str:
    wrapped = inspect.unwrap(found)
    kind = "async def " if inspect.iscoroutinefunction(wrapped) else ""
    if inspect.isasyncgenfunction(wrapped):
        kind = "async with " if wrapped is not found else "async for "
    variants = typing.get_overloads(found) if inspect.isfunction(found) else []
    lines = [f"{kind}{name}{_signature(each, method)}" for each in variants or [found]]
    return "```python\n" + "\n".join(lines) + "\n```"


def _signature(found: Any, method: bool) -> str:
    signature = inspect.signature(found)
    parameters = list(signature.parameters.values())[1 if method else 0 :]
    shown = [
        each.replace(
            annotation=_shown(each.annotation),
            default=_Text("...") if each.default is UNSET else each.default,
        )
        for each in parameters
    ]
    back = signature.return_annotation
    if isinstance(found, type):
        back = inspect.Signature.empty
    return str(signature.replace(parameters=shown, return_annotation=_shown(back)))


def _shown(annotation: Any) -> Any:
    # Annotations are text, and would be shown in quotes.
    return _Text(annotation) if isinstance(annotation, str) else annotation


def _attributes(kind: type) -> list[str]:
    docs = attribute_docs(kind)
    names = (
        [field.name for field in fields(kind) if field.doc]
        if attrs.has(kind)
        else attributes_set(kind)
    )
    properties = [n for n, v in vars(kind).items() if isinstance(v, property) and n[0] != "_"]
    rows = [(n, docs.get(n, "")) for n in names]
    rows += [(n, inspect.getdoc(getattr(kind, n)) or "") for n in properties]
    if not rows:
        return []
    lines = ["", "", "| attribute | meaning |", "| --- | --- |"]
    return lines + [f"| `{name}` | {oneline(doc)} |" for name, doc in rows]


def _methods(name: str, kind: type) -> list[str]:
    lines: list[str] = []
    for method, function in vars(kind).items():
        inner = getattr(function, "__wrapped__", function)
        if not inspect.isfunction(inner) or (method[0] == "_" and method != "__call__"):
            continue
        if method == "__call__" or inner.__doc__:
            lines += ["", "", f"#### {name}.{method}", "", _code(method, function, method=True), ""]
            lines.append(tidy(inner.__doc__ or ""))
    return lines
