"""`rediq history` and `rediq replay`: write the history of a queue, and run it through the specification.

Exit status: 0 if there is a history, or every step follows the specification; 1 if there is none,
or a step does not; 2 if the file is not a history; 3 if there is no such queue.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any, TextIO

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio.admin.history_file import QueueHistory, read_histories, read_history_file
from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import open_output
from rediq_trio.cli.operate.session import Session, in_time, operating_flags, output_flags
from rediq_trio.cli.operate.stdin import input_lines
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.observe.words import shown
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import Break, replay
from rediq_trio.spec.stored_format import ENCRYPTED_ERROR

STEPS_SHOWN = 10
"""The number of steps of a task that are shown, up to the one that breaks the specification."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Write the last transitions of a queue as lines of JSON. "
        "A queue keeps them once history= is set.",
    )
    parser.add_argument("queue", metavar="QUEUE", help="the queue's name")
    parser.add_argument("--output", metavar="FILE", help="where to write it (standard output)")
    operating_flags(parser, write_history)
    return parser


def add_replay(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Run a history that 'rediq history' wrote through the specification, "
        "and name the first step that breaks it. Needs no server.",
    )
    parser.add_argument("file", metavar="FILE", help="the history; - for standard input")
    output_flags(parser)
    parser.set_defaults(execute=_execute_replay)
    return parser


async def write_history(session: Session) -> int:
    """Write the history of a queue; return 1 if it keeps none."""
    name, file = await session.known(session.arguments.queue), session.arguments.output
    many, heads = 0, list[str]()
    async with aclosing(session.client.queue(name).history_lines()) as lines:
        with _opened(file) as output:
            async for line in lines:
                is_head = "rediq_history" in line
                if is_head and not many:
                    heads.append(f"{line}\n")  # on a terminal, it alone would say nothing
                    continue
                many += not is_head
                output.write("".join([*heads, line, "\n"]))
                heads.clear()
            if file is not None:
                output.writelines(heads)
    if file is not None:
        session.out.object({"queue": name, "steps": many, "file": file})
    if many:
        return DONE
    advice = "set history= of its workers, or Queue.keep_history()"
    session.out.note(f"rediq: the queue {shown(name)} keeps no history: {advice}")
    return FAILED


def _opened(name: str | None) -> AbstractContextManager[TextIO]:
    """Open a file to write text; without a name, standard output."""
    if name is None:
        return nullcontext(sys.stdout)
    try:
        return open(name, "w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {shown(name)}: {error.strerror}") from error


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


def _execute_replay(arguments: argparse.Namespace) -> int:
    async def work() -> int:
        results = await trio.to_thread.run_sync(_replayed, arguments.file, abandon_on_cancel=True)
        out = open_output(json=arguments.json, color=not arguments.no_color)
        for result in results:
            out.object(_as_object(result))
            for line in _report_lines(result):
                out.say(shown(line))
        return FAILED if any(result.breaks for result in results) else DONE

    return trio.run(in_time, arguments, work)


def _replayed(file: str) -> list[ReplayResult]:
    histories = _read_input() if file == "-" else read_history_file(file)
    return [ReplayResult(one, tuple(replay(one.entries, one.settings))) for one in histories]


def _read_input() -> list[QueueHistory]:
    try:
        return list(read_histories(input_lines()))
    except UnicodeDecodeError as error:
        raise ConfigError(f"-: no text: {error.reason}") from error
    except ConfigError as error:
        said = str(error)
        raise ConfigError(said if said.startswith("-: ") else f"-: {said}") from error


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
    # Of an encrypted one, a history has only the beginning, which cannot be decrypted.
    hidden = entry.reason.startswith(ENCRYPTED_ERROR)
    reason = f", {'(encrypted)' if hidden else repr(entry.reason)}" if entry.reason else ""
    worker = f", by {entry.worker}" if entry.worker else ""
    return (
        f"step {entry.number} at {entry.now_ms} ms, {entry.transition}: "
        f"{entry.source or '-'} -> {entry.target or '-'}, {parts}{worker}{reason}"
    )


def _as_object(result: ReplayResult) -> dict[str, Any]:
    first: dict[str, Any] | None = None
    if result.breaks:
        one = result.breaks[0]
        first = {
            "step": one.entry.number,
            "event": one.entry.transition,
            "task": one.entry.id or None,
            "invariant": one.invariant,
            "detail": one.detail,
            "task_history": [_entry_text(entry) for entry in result.last_steps],
        }
    return {
        "queue": result.history.queue,
        "steps": len(result.history.entries),
        "whole": result.history.is_complete,
        "breaks": len(result.breaks),
        "first": first,
    }
