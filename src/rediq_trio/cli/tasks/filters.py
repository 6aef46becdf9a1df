"""Tasks that a filter of the command line chooses: its flags, and what they find."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, cast

from rediq_trio._errors import ConfigError, did_you_mean
from rediq_trio.admin.filters import KIND_MAX, SOUGHT_MAX, read_filter
from rediq_trio.cli.operate.output import Output
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.statuses import NotThere
from rediq_trio.cli.tasks.caret import pointed
from rediq_trio.cli.tasks.flags import read_pair
from rediq_trio.observe.filter_line import value_of
from rediq_trio.observe.words import counted, duration, read_duration, shown
from rediq_trio.values.bounds import MAX_LABEL, MAX_METADATA_TEXT, MAX_TYPE
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.hiding import Hiding, check_search
from rediq_trio.values.task import TaskInfo

FILTER_FIELDS = {
    "type": ("--type", "type"), "error": ("--error", "error"), "kind": ("--kind", "kind"),
    "metadata": ("--meta", "metadata"), "limit_key": ("--limit-key", "limit key"),
    "priority": ("--priority", "priority"), "older_than": ("--older", "an age above"),
    "younger_than": ("--younger", "an age below"), "payload": ("--payload", "payload"),
}  # fmt: skip
"""The fields of a filter: the flag of each, and its name for people."""
_AGE = "since the end, or the enqueue if it has not ended, like 2h"
FILTER_FLAGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--type", {"help": "only tasks of this type"}),
    ("--error", {"metavar": "TEXT", "help": "only tasks with this in the text of their error"}),
    ("--kind", {"help": "only tasks that failed last with this kind: see 'rediq failures'"}),
    ("--meta", {"dest": "metadata", "action": "append", "metavar": "KEY=VALUE",
                "help": "only tasks with this metadata"}),
    ("--limit-key", {"metavar": "KEY", "help": "only tasks with this limit key"}),
    ("--priority", {"metavar": "N", "help": "only tasks with this priority"}),
    ("--older", {"dest": "older_than", "metavar": "TIME",
                 "help": f"only tasks at least that old, {_AGE}"}),
    ("--younger", {"dest": "younger_than", "metavar": "TIME",
                   "help": f"only tasks at most that old, {_AGE}"}),
    ("--payload", {"metavar": "PATH=VALUE",
                   "help": "only tasks with this in the payload, like user.id=7; without =, a part "
                           "of any text in it"}),
)  # fmt: skip


def filter_of(options: argparse.Namespace) -> FilterOptions:
    """Return the filter that the flags describe, empty without any.

    Raises `ConfigError`, with a caret under the place of the fault.
    """
    given: dict[str, Any] = {}
    for name, (flag, _) in FILTER_FIELDS.items():
        value = getattr(options, name, None)
        if value is None:
            continue
        if name == "metadata":
            given[name] = _metadata(flag, value)
            continue
        try:
            given[name] = _value_of(name, value)
            read_filter("filter", {name: given[name]})
        except ValueError as error:
            raise pointed(ConfigError(f"{flag}: {error}"), value, _fault_at(name, value)) from None
    wanted = cast("FilterOptions", given)
    check_search(Hiding.from_environment(), wanted)
    return wanted


def _metadata(flag: str, texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, value = read_pair(flag, text)
        try:
            read_filter("filter", {"metadata": {key: value}})
        except ConfigError as error:
            at = MAX_METADATA_TEXT + (0 if len(key) > MAX_METADATA_TEXT else len(key) + 1)
            raise pointed(ConfigError(f"{flag}: {error}"), text, at) from None
        found[key] = value
    read_filter("filter", {"metadata": found})
    return found


def _value_of(name: str, text: str) -> Any:
    """Return the value that the text of a flag stands for; raise `ValueError`."""
    match name:
        case "priority":
            if not re.fullmatch("[0-9]{1,9}", text):
                raise ConfigError.of("priority", text, "a whole number from 0 to 100")
            return int(text)
        case "older_than" | "younger_than":
            return read_duration(text)
        case "payload":
            path, mark, value = text.partition("=")
            if mark and not all(path.split(".")):
                raise ValueError("a part of the path is empty; write it like user.id=7")
            if not 1 <= len(path) <= SOUGHT_MAX:
                bound = f"a path and a value like user.id=7, or text: 1 to {SOUGHT_MAX:,} characters"
                raise ConfigError.of("payload", text, bound)
            return (path, value_of(value)) if mark else text
        case _:
            return text


_DURATION = re.compile(r"\s*\d+(?:\.\d+)?\s*(?:ms|sec|s|min|m|h|d|w)?\s*")


def _fault_at(name: str, text: str) -> int:
    """Return the place of the fault in the text of a flag."""
    match name:
        case "priority":
            found = re.match("[0-9]*", text)
        case "older_than" | "younger_than":
            found = _DURATION.match(text)
        case "payload" if "=" in text and not all(text.partition("=")[0].split(".")):
            # The empty part begins where a dot, or nothing, is before a dot or the "=".
            found = re.match(r"(?:[^.=]+\.)*", text)
        case "limit_key":
            found = re.match(r"[^\x00-\x1f]*", text[:MAX_LABEL])
        case _:
            bound = {"type": MAX_TYPE, "kind": KIND_MAX}.get(name, SOUGHT_MAX)
            found = re.match("[^\ud800-\udfff]*", text[:bound])
    at = 0 if found is None else found.end()
    return 0 if at == len(text) else at  # it can be read, and is out of its bounds


def filter_words(wanted: FilterOptions) -> str:
    """Return what a filter tests, for people: " with type mail:send, an age above 2 h"."""
    said = [
        f"{FILTER_FIELDS[name][1]} {shown(text, 60)}"
        for name, value in wanted.items()
        for text in _texts(name, value)
    ]
    return f" with {', '.join(said)}" if said else ""


def _texts(name: str, value: Any) -> list[str]:
    if name == "metadata":
        return [f"{key}={text}" for key, text in value.items()]
    if isinstance(value, tuple):
        return ["{}={}".format(*cast("tuple[str, Any]", value))]
    return [duration(value) if name in ("older_than", "younger_than") else str(value)]


async def check_kind_known(session: Session, names: Sequence[str], kind: str) -> None:
    """Raise `NotThere` if nothing of a kind has failed in these queues: for a filter that finds nothing."""
    known = {each.kind for name in names for each in await session.client.queue(name).failures()}
    if kind not in known:
        where = ", ".join(map(shown, names))
        hint = did_you_mean(kind, known) or "; see 'rediq failures'"
        raise NotThere(f"nothing of the kind {shown(kind, 40)} has failed in {where}{hint}")


async def type_hint(session: Session, names: Sequence[str], wanted: str) -> str:
    """Return what to say of a type that the live workers of these queues do not know; "" otherwise."""
    served = [
        worker.types
        for worker in await session.client.workers()
        if worker.types is not None and not {*worker.queues}.isdisjoint(names)
    ]
    known = {each for types in served for each in types}
    if not served or wanted in known:
        return ""
    hint = did_you_mean(wanted, known) or f"; they know {', '.join(sorted(known)[:5]) or 'none'}"
    return f"no live worker of {', '.join(names)} knows the type {wanted}{hint}"


async def find_tasks(
    session: Session, name: str, state: str, most: int, wanted: FilterOptions
) -> list[TaskInfo]:
    """Return the tasks of a queue that a filter chooses; stop when there are `most`."""
    queue = session.client.queue(name)
    search, found = queue.find(state, newest=session.arguments.newest, **wanted), list[TaskInfo]()
    async for info in search:
        found.append(info)
        if len(found) == most:
            break
    _note_unreadable(session.out, name, search.unreadable)
    return found


def _note_unreadable(out: Output, name: str, number: int) -> None:
    if number:
        some = counted(number, "task")
        out.note(
            f"rediq: {some} of {shown(name)} not tested: encrypted with a key that is not here"
        )
