"""Read a folder of observations. A kill may cut the last line of a file, which is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rediq_trio.testing.judge.clock import ServerClock
from rediq_trio.testing.judge.observed import (
    Call,
    End,
    Final,
    Line,
    Observed,
    PlacedFault,
    Process,
    Setup,
    Start,
)

LATE_BY = 0.02
"""Seconds after the instant of a selection from which on a task is certainly none of it."""


class Unreadable(ValueError):
    """A line that is not the last of its file cannot be read."""


def read(folder: Path) -> Observed:
    """Read all files of a folder; raise `Unreadable` for one that is damaged."""
    observed = Observed()
    for path in sorted(folder.glob("*.jsonl")):
        _Reader(observed).take(path)
    if not observed.complete:
        raise Unreadable(
            f"{folder}: there is no final.jsonl with a queue in it, so nothing can be judged"
        )
    _note_stops(observed)
    _note_late(observed)
    rivals = _rivals(observed)
    for task in list(observed.tasks.values()):
        task.calls.sort(key=lambda call: call.at)
        task.starts.sort(key=lambda start: start.at)
        task.ends.sort(key=lambda end: end.at)
        for call in task.calls:
            if call.holder not in ("", task.id):
                observed.task(call.holder).held.append(call)
        if rivals and (unique := task.args.get("unique")):
            found = rivals.get((task.queue, unique["key"]), ())
            task.rivals = [call for call in found if call.id != task.id]
    return observed


def _rivals(observed: Observed) -> dict[tuple[str, str], list[Call]]:
    """Return the enqueues without an answer that may have replaced the holder of a unique key."""
    found: dict[tuple[str, str], list[Call]] = {}
    for task in observed.tasks.values():
        for call in task.calls:
            unique = call.args.get("unique") if call.op == "enqueue" else None
            if unique and unique["on_conflict"] == "replace" and call.may_have_happened:
                found.setdefault((task.queue, unique["key"]), []).append(call)
    return found


def _note_late(observed: Observed) -> None:
    """Note which parts of bulk changes touched nothing: those of tasks that came after the selection.

    A server whose clock was set back since may take such a task for one that came before.
    """
    clock = ServerClock.of(observed)
    for task in observed.tasks.values():
        for call in task.calls:
            if selected := call.args.get("late_since"):
                call.void = clock.tolerance(selected, call.at) < LATE_BY


def _note_stops(observed: Observed) -> None:
    """Mark the processes that stopped, or were replaced by a deploy: they release their tasks."""
    deployed = {name for f in observed.faults if f.kind == "deploy" for name in f.target.split(",")}
    for process in observed.processes.values():
        process.stopping = process.exit is not None or process.name in deployed


def _lines(path: Path) -> Iterator[Line]:
    raw = path.read_bytes().split(b"\n")
    for number, text in enumerate(raw, 1):
        if not text:
            continue
        try:
            yield json.loads(text)
        except ValueError as error:
            if number != len(raw):
                raise Unreadable(f"{path.name}, line {number}: {text[:80]!r}") from error


class _Reader:
    """Reads one file."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._calls: dict[tuple[str, int], Call] = {}
        self._faults: dict[str, PlacedFault] = {}

    def take(self, path: Path) -> None:
        for line in _lines(path):
            self._span(line["t"])
            take = getattr(self, f"_{line['e']}", None)
            if take is None:
                raise Unreadable(f"{path.name}: no such event as {line['e']!r}")
            take(line)

    def _span(self, at: float) -> None:
        self._observed.begun = min(self._observed.begun, at)
        self._observed.ended = max(self._observed.ended, at)

    def _call(self, line: Line) -> None:
        args: dict[str, Any] = line.get("args") or {}
        call = Call(line["id"], line["t"], line["c"], line["n"], line["op"], args)
        self._calls[call.client, call.number] = call
        self._observed.task(call.id).calls.append(call)

    def _return(self, line: Line) -> None:
        self._calls[line["c"], line["n"]].end(line)

    _raise = _return

    def _start(self, line: Line) -> None:
        process = self._process(line)
        process.last_start = max(process.last_start, line["t"])
        self._observed.task(line["id"]).starts.append(
            Start(*_seen_fields(line), line["fence"], line["attempt"], line["c"])
        )

    def _end(self, line: Line) -> None:
        self._observed.task(line["id"]).ends.append(
            End(
                line["id"], line["t"], line["fence"], line["how"], line.get("reason"), line["c"],
                tuple(line.get("children") or ()),
            )
        )  # fmt: skip

    def _process(self, line: Line) -> Process:
        known = self._observed.processes
        if line["c"] not in known:
            known[line["c"]] = Process(line["c"], line["t"])
        return known[line["c"]]

    def _boot(self, line: Line) -> None:
        self._process(line)

    def _exit(self, line: Line) -> None:
        self._process(line).exit = line["t"]

    def _fault(self, line: Line) -> None:
        if line["begin"]:
            fault = PlacedFault(line["kind"], line.get("target") or "", line["t"])
            self._faults[fault.kind] = fault
            self._observed.faults.append(fault)
        elif line["kind"] in self._faults:
            fault = self._faults.pop(line["kind"])
            fault.end = line["t"]
            # The target may be known only after the fault has begun.
            fault.target = line.get("target") or fault.target

    def _setup(self, line: Line) -> None:
        names = ("limits", "schedules", "lease", "durability", "server")
        self._observed.setup = Setup(**{name: line[name] for name in names if name in line})

    def _task(self, line: Line) -> None:
        self._observed.task(line["id"]).finals.append(
            Final(
                *_seen_fields(line), line["state"], line["attempt"], line["deliveries"], line["crashes"],
                line["snoozes"],
            )
        )  # fmt: skip

    def _queue(self, line: Line) -> None:
        self._observed.queues.append(line)
        self._observed.complete = True


def _seen_fields(line: Line) -> tuple[str, float, tuple[str, ...], str, str, str]:
    """Return the fields that a start and a task at the end have in common."""
    tick = line.get("tick")
    members, schedule = tuple(line.get("members") or ()), line.get("schedule") or ""
    origin = "" if members else line.get("origin") or ""
    return line["id"], line["t"], members, schedule, "" if tick is None else str(tick), origin
