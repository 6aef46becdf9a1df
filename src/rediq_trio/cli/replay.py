"""`rediq replay`: run a recorded history through the specification.

Exit status: 0 when nothing breaks it, 1 when a step does, 2 when the file is no history.
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
from rediq_trio.admin.history_file import Recording, read_recordings
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import Break, replay

SHOWN = 10
"""Steps of a task, the last ones, that are shown with the one that breaks."""


def add_command(commands: Any) -> None:
    """Add `replay` to the parser's commands."""
    parser = commands.add_parser(
        "replay",
        help="run a recorded history through the specification",
        description="Run a history that 'rediq history' wrote through the specification, "
        "and name the first step that breaks it. Needs no server.",
    )
    parser.add_argument("file", metavar="FILE", help="the history; - for standard input")
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    parser.set_defaults(execute=execute)


@attrs.frozen
class Verdict:
    """What became of one recording."""

    recording: Recording
    breaks: tuple[Break, ...]

    @property
    def own(self) -> tuple[Entry, ...]:
        """The last steps of the task of the first break, up to it."""
        if not self.breaks:
            return ()
        at = self.breaks[0].entry
        steps = [e for e in self.recording.entries if e.id == at.id and e.number <= at.number]
        return tuple(steps[-SHOWN:])


def execute(arguments: argparse.Namespace) -> int:
    """Replay the file, say what was found, and give the exit status."""
    with _opened(arguments.file) as lines:
        try:
            recordings = list(read_recordings(lines))
        except UnicodeDecodeError as error:
            raise ConfigError(f"{arguments.file}: no text: {error.reason}") from error
        except ConfigError as error:
            raise ConfigError(f"{arguments.file}: {error}") from error
    verdicts = [Verdict(one, tuple(replay(one.entries, one.settings))) for one in recordings]
    if arguments.json:
        print(json.dumps([_plain(verdict) for verdict in verdicts], ensure_ascii=False))
    else:
        for verdict in verdicts:
            print("\n".join(_told(verdict)))
    return 1 if any(verdict.breaks for verdict in verdicts) else 0


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


def _told(verdict: Verdict) -> Iterable[str]:
    recording, breaks = verdict.recording, verdict.breaks
    known = "from its beginning" if recording.whole else "its beginning is not known"
    yield f"{recording.queue}: {len(recording.entries):,} steps, {known}"
    if not breaks:
        yield "  keeps to the specification"
        return
    yield f"  BREAKS the specification at {breaks[0]}"
    for entry in verdict.own:
        yield "    " + _line(entry)
    if len(breaks) > 1:
        yield f"  and {len(breaks) - 1:,} times later, which may follow from it"


def _line(entry: Entry) -> str:
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


def _plain(verdict: Verdict) -> dict[str, Any]:
    return {
        "queue": verdict.recording.queue,
        "steps": len(verdict.recording.entries),
        "whole": verdict.recording.whole,
        "breaks": len(verdict.breaks),
        "first": None
        if not verdict.breaks
        else {
            "step": verdict.breaks[0].entry.number,
            "event": verdict.breaks[0].entry.transition,
            "task": verdict.breaks[0].entry.id or None,
            "invariant": verdict.breaks[0].invariant,
            "detail": verdict.breaks[0].detail,
            "task_history": [_line(entry) for entry in verdict.own],
        },
    }
