"""Tasks that a filter of the command line chooses: its flags, and what they find."""

from __future__ import annotations

import argparse
from typing import Any, cast

from rediq_trio._errors import ConfigError
from rediq_trio.admin.filters import read_filter
from rediq_trio.cli.operate.output import Output
from rediq_trio.cli.operate.session import Session, time_flag
from rediq_trio.cli.tasks.flags import read_pair
from rediq_trio.observe.words import counted, duration, shown
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.task import TaskInfo

FILTER_FIELDS = {
    "type": ("--type", "type"), "error": ("--error", "error"), "kind": ("--kind", "kind"),
    "metadata": ("--meta", "metadata"), "limit_key": ("--limit-key", "limit key"),
    "priority": ("--priority", "priority"), "older_than": ("--older", "an age above"),
    "younger_than": ("--younger", "an age below"),
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
    ("--priority", {"type": int, "metavar": "N", "help": "only tasks with this priority"}),
    ("--older", {"dest": "older_than", "type": time_flag, "metavar": "TIME",
                 "help": f"only tasks at least that old, {_AGE}"}),
    ("--younger", {"dest": "younger_than", "type": time_flag, "metavar": "TIME",
                   "help": f"only tasks at most that old, {_AGE}"}),
)  # fmt: skip


def filter_of(options: argparse.Namespace) -> FilterOptions:
    """Return the filter that the flags describe, empty without any; raise `ConfigError`."""
    given: dict[str, Any] = {}
    for name, (flag, _) in FILTER_FIELDS.items():
        value = getattr(options, name, None)
        if value is None:
            continue
        if name == "metadata":
            value = dict(read_pair(flag, text) for text in value)
        try:
            read_filter("filter", {name: value})
        except ConfigError as error:
            raise ConfigError(f"{flag}: {error}") from None
        given[name] = value
    return cast("FilterOptions", given)


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
    return [duration(value) if name in ("older_than", "younger_than") else str(value)]


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
