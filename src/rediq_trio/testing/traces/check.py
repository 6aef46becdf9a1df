"""check_trace: run the history of a queue through the specification, and ask for its state at an instant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from rediq_trio._errors import ConfigError
from rediq_trio.admin.history_file import QueueHistory, read_histories, read_history_file
from rediq_trio.spec.check.meanings import INVARIANTS
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import ReplaySettings, replay, replay_until
from rediq_trio.testing.traces.report import TraceReport, TraceState, TraceViolation

STATE_MACHINE = (
    "A task changes its state only by a transition of the state machine, and no step is missing."
)
"""The promise that a step breaks which breaks no invariant with a number."""
KINDS_OF_AT = (
    "a datetime with a timezone, a timedelta after the first step, or the number of a step"
)


def check_trace(
    trace: str | os.PathLike[str] | Iterable[str] | Iterable[Entry],
    *,
    at: datetime | timedelta | int | None = None,
) -> TraceReport:
    """Run a history through the specification, as `rediq replay FILE` does; return what was found.

    `trace` is the path of a file that `rediq history` wrote, its lines, as `Queue.history_lines()` yields
    them, or entries of one queue. The report is true if no step breaks the specification.

    `at` is an instant: a datetime, a timedelta after the first step, or the number of a step. The report
    then has the state of each queue after its last step until then, as far as the history shows it.

    Raises `ConfigError` for a file that cannot be read or is no history, with its first bad line, and for
    an instant before the first step or a number that no step has.
    """
    histories = tuple(_histories(trace))
    violations = tuple(
        TraceViolation(
            one.queue, found.entry, found.invariant,
            INVARIANTS.get(found.invariant, STATE_MACHINE), found.detail,
        )
        for one in histories
        for found in replay(one.entries, one.settings)
    )  # fmt: skip
    return TraceReport(histories, violations, () if at is None else _states(histories, at))


def _histories(trace: Any) -> list[QueueHistory]:
    if isinstance(trace, str | os.PathLike):
        return read_history_file(os.fspath(trace))  # pyright: ignore[reportUnknownArgumentType]  # of any path
    found = list(trace)
    if found and all(isinstance(one, Entry) for one in found):
        return [QueueHistory("", ReplaySettings(), tuple(found))]
    return list(read_histories(found))


def _states(
    histories: Sequence[QueueHistory], at: datetime | timedelta | int
) -> tuple[TraceState, ...]:
    some = [one for one in histories if one.entries]
    if not some:
        raise ConfigError.of("at", at, "None: the trace has no steps")
    found = [(one, _count_until(one, at, some[0].entries[0].now_ms)) for one in some]
    if not any(count for _, count in found):
        raise ConfigError.of("at", at, _bounds(some, at))
    return tuple(_state(one, count) for one, count in found if count)


def _count_until(history: QueueHistory, at: datetime | timedelta | int, begin_ms: int) -> int:
    """Return how many steps of a history are until an instant; 0 for an instant outside of it."""
    entries = history.entries
    if isinstance(at, int) and not isinstance(at, bool):
        return sum(one.number <= at for one in entries) if at <= entries[-1].number else 0
    if isinstance(at, timedelta):
        until = begin_ms + at / timedelta(milliseconds=1)
    elif isinstance(at, datetime) and at.tzinfo is not None:
        until = at.timestamp() * 1000
    else:
        raise ConfigError.of("at", at, KINDS_OF_AT)
    return sum(1 for _ in takewhile(lambda one: one.now_ms <= until, entries))


def _bounds(histories: Sequence[QueueHistory], at: datetime | timedelta | int) -> str:
    if isinstance(at, int):
        known = [f"{one.entries[0].number} to {one.entries[-1].number}" for one in histories]
        return f"the number of a step, {' or '.join(known)}"
    if isinstance(at, timedelta):
        return "0 or more"
    first = min(one.entries[0].now_ms for one in histories)
    return (
        f"{datetime.fromtimestamp(first / 1000, UTC).isoformat()} or later, when the trace begins"
    )


def _state(history: QueueHistory, count: int) -> TraceState:
    last = history.entries[count - 1]
    known = replay_until(history.entries, count, history.settings)
    return TraceState(
        history.queue, last.number, last.now_ms, known.records, known.settings, known.is_complete
    )
