"""`rediq replay`: run a recorded history through the specification.

Exit status: 0 if every step follows the specification, 1 if one does not, 2 if the file is not a
history.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, TextIO

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.admin.history_file import QueueHistory, read_histories
from rediq_trio.cli.flags import common_flags
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import Break, replay

STEPS_SHOWN = 10
"""The number of steps of a task that are shown, up to the one that breaks the specification."""


def add_command(commands: Any) -> None:
    """Add `replay` to the parser's commands."""
    parser = commands.add_parser(
        "replay",
        help="run a recorded history through the specification",
        description="Run a history that 'rediq history' wrote through the specification, "
        "and name the first step that breaks it. Needs no server.",
    )
    parser.add_argument("file", metavar="FILE", help="the history; - for standard input")
    common_flags(parser, "json")
    parser.set_defaults(execute=execute)


@attrs.frozen
class ReplayResult:
    """The result of one recording."""

    history: QueueHistory
    breaks: tuple[Break, ...]

    @property
    def last_steps(self) -> tuple[Entry, ...]:
        """The last steps, up to the first break, of the task that it is about."""
        if not self.breaks:
            return ()
        at = self.breaks[0].entry
        steps = [e for e in self.history.entries if e.id == at.id and e.number <= at.number]
        return tuple(steps[-STEPS_SHOWN:])


def execute(arguments: argparse.Namespace) -> int:
    """Replay the file, print the result, and return the exit status."""
    with _opened(arguments.file) as lines:
        try:
            histories = list(read_histories(lines))
        except UnicodeDecodeError as error:
            raise ConfigError(f"{arguments.file}: no text: {error.reason}") from error
        except ConfigError as error:
            raise ConfigError(f"{arguments.file}: {error}") from error
    results = [ReplayResult(one, tuple(replay(one.entries, one.settings))) for one in histories]
    if arguments.json:
        print(json.dumps([_to_json(result) for result in results], ensure_ascii=False))
    else:
        for result in results:
            print("\n".join(_report_lines(result)))
    return 1 if any(result.breaks for result in results) else 0


@contextmanager
def _opened(name: str) -> Generator[TextIO]:
    if name == "-":
        yield sys.stdin
        return
    try:
        opened = open(name, encoding="utf-8")  # noqa: SIM115  (closed right below)
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from error
    with opened:
        yield opened


def _report_lines(result: ReplayResult) -> Iterable[str]:
    history, breaks = result.history, result.breaks
    known = "from its beginning" if history.is_complete else "its beginning is not known"
    yield f"{history.queue}: {len(history.entries):,} steps, {known}"
    if not breaks:
        yield "  keeps to the specification"
        return
    yield f"  BREAKS the specification at {breaks[0]}"
    for entry in result.last_steps:
        yield "    " + _entry_text(entry)
    if len(breaks) > 1:
        yield f"  and {len(breaks) - 1:,} times later, which may follow from it"


def _entry_text(entry: Entry) -> str:
    if not entry.id:
        what = entry.key and f" {entry.key}"
        return f"step {entry.number}, {entry.transition}{what}: {list(entry.before)} -> {list(entry.after)}"
    parts = f"delivery {entry.deliveries}, attempt {entry.attempt}"
    reason = f", {entry.reason!r}" if entry.reason else ""
    worker = f", by {entry.worker}" if entry.worker else ""
    return (
        f"step {entry.number} at {entry.now_ms} ms, {entry.transition}: "
        f"{entry.source or '-'} -> {entry.target or '-'}, {parts}{worker}{reason}"
    )


def _to_json(result: ReplayResult) -> dict[str, Any]:
    return {
        "queue": result.history.queue,
        "steps": len(result.history.entries),
        "whole": result.history.is_complete,
        "breaks": len(result.breaks),
        "first": None
        if not result.breaks
        else {
            "step": result.breaks[0].entry.number,
            "event": result.breaks[0].entry.transition,
            "task": result.breaks[0].entry.id or None,
            "invariant": result.breaks[0].invariant,
            "detail": result.breaks[0].detail,
            "task_history": [_entry_text(entry) for entry in result.last_steps],
        },
    }
