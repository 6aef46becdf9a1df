"""What `check_trace` found: violations, a timeline as text and as a picture, the state at an instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.admin.history_file import QueueHistory
from rediq_trio.spec.history.entry import Entry
from rediq_trio.spec.history.replay import ReplaySettings
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.records import Record
from rediq_trio.spec.stored_format import ENCRYPTED_ERROR
from rediq_trio.testing.fleets.timeline_picture import AttemptBar, draw_attempts
from rediq_trio.values.words import shown

VIOLATIONS_SHOWN = 3
"""Violations of each history that a report shows; later ones often follow from the first."""
STEPS_OF_TASK_SHOWN = 10
"""Steps of the task of the first violation that a report shows."""
BAR_OUTCOMES = {"complete": "completed", "fail": "failed"}
"""What the end of an attempt is called in a picture, by its transition, where that is otherwise."""


@attrs.frozen
class TraceViolation:
    """A step that breaks the specification."""

    queue: str
    entry: Entry
    invariant: int
    """The number of the broken invariant in `docs/invariants.md`; 0 for the state machine or the history."""
    promise: str
    """What the invariant says."""
    detail: str

    def __str__(self) -> str:
        rule = f"invariant {self.invariant}" if self.invariant else "the state machine"
        task = f" of {self.entry.id}" if self.entry.id else ""
        return (
            f"step {self.entry.number}, {self.entry.transition}{task}: {self.detail}\n"
            f"    breaks {rule}: {self.promise}"
        )


@attrs.frozen
class TraceState:
    """A queue after one of its steps, as far as its history shows it."""

    queue: str
    step: int
    now_ms: int
    """The store's time at that step."""
    tasks: Mapping[str, Record]
    settings: ReplaySettings
    is_complete: bool
    """Whether there was no other task. False if the history has lost its beginning."""

    def ids(self, state: State) -> tuple[str, ...]:
        """Return the tasks in one state, in the order of their ids."""
        return tuple(sorted(one for one, record in self.tasks.items() if record.state is state))

    def __str__(self) -> str:
        sizes = Counter(record.state for record in self.tasks.values())
        said = ", ".join(f"{sizes[state]:,} {state}" for state in State if sizes[state])
        paused = ", paused" if self.settings.paused else ""
        others = "" if self.is_complete else ", and tasks from before the history"
        return f"{shown(self.queue)} after step {self.step}: {said or 'no tasks'}{others}{paused}"


@attrs.frozen
class TraceReport:
    """What `check_trace` found. It is true if no step breaks the specification; `str` shows why not."""

    histories: tuple[QueueHistory, ...]
    """The history of each queue or partition; of one whose export lost steps, each part."""
    violations: tuple[TraceViolation, ...]
    states: tuple[TraceState, ...] = ()
    """With `at`: the state of each queue at that instant which had a step by then."""

    def __bool__(self) -> bool:
        return not self.violations

    def __str__(self) -> str:
        lines = [line for one in self.histories for line in self._about(one)]
        return "\n".join([*lines, *map(str, self.states)])

    def _about(self, history: QueueHistory) -> Iterator[str]:
        known = "from its beginning" if history.is_complete else "its beginning is not known"
        yield f"{shown(history.queue)}: {len(history.entries):,} steps, {known}"
        found = self._of(history)
        if not found:
            yield "  keeps to the specification"
            return
        for one in found[:VIOLATIONS_SHOWN]:
            yield f"  {shown(str(one)).replace(chr(10), chr(10) + '  ')}"
        if len(found) > VIOLATIONS_SHOWN:
            yield f"  and {len(found) - VIOLATIONS_SHOWN:,} more, which may follow from it"
        entry = found[0].entry
        if entry.id:
            steps = [e for e in history.entries if e.id == entry.id and e.number <= entry.number]
            for step in steps[-STEPS_OF_TASK_SHOWN:]:
                yield f"  {self._line(history, step)}"

    def _of(self, history: QueueHistory) -> list[TraceViolation]:
        own = {id(entry) for entry in history.entries}
        return [one for one in self.violations if id(one.entry) in own]

    def timeline(self, *, task: str | None = None) -> str:
        """Return the steps, a line each, with what each breaks; those of one task if its id is given.

        Raises `ConfigError` for a task that has no step.
        """
        broken: dict[int, list[str]] = {}
        for one in self.violations:
            line = shown(f"{'BREAKS':>12}  invariant {one.invariant}: {one.detail}")
            broken.setdefault(id(one.entry), []).append(line)
        lines = [
            line
            for history in self.histories
            for entry in history.entries
            if task in (None, entry.id)
            for line in (self._line(history, entry), *broken.get(id(entry), ()))
        ]
        if task is not None and not lines:
            raise ConfigError.of("task", task, "a task with a step in the trace")
        return "\n".join(lines)

    def _line(self, history: QueueHistory, entry: Entry) -> str:
        what = f"{entry.id}: {entry.transition}" if entry.id else entry.transition
        return shown(
            f"{self._seconds(entry):10.3f} s  {history.queue} step {entry.number}  {what}"
            f"{_change(entry)}"
        )

    def _seconds(self, entry: Entry) -> float:
        """Return the seconds since the first step."""
        return (entry.now_ms - next(e for h in self.histories for e in h.entries).now_ms) / 1000

    def svg(self) -> str:
        """Return the attempts as a picture, a lane for each worker."""
        bars = [bar for one in self.histories for bar in self._bars(one)]
        found = [str(one).partition("\n")[0] for one in self.violations]
        lanes = list(dict.fromkeys(bar.host for bar in bars))
        return draw_attempts(bars, lanes, [], found[0] if found else "Nothing was broken.")

    def _bars(self, history: QueueHistory) -> Iterator[AttemptBar]:
        running: dict[str, AttemptBar] = {}
        for entry in history.entries:
            ended = running.pop(entry.id, None) if entry.source is State.ACTIVE else None
            if ended is not None:
                ended.end = self._seconds(entry)
                ended.outcome = BAR_OUTCOMES.get(entry.transition, entry.transition)
            if entry.transition == "claim" and entry.target is State.ACTIVE:
                label = f"attempt {entry.attempt}, delivery {entry.deliveries}"
                bar = AttemptBar(
                    entry.worker, f"{history.queue}/{entry.id}", label, self._seconds(entry)
                )
                running[entry.id] = bar
                yield bar


def _change(entry: Entry) -> str:
    if not entry.id:
        key = f" {entry.key}" if entry.key else ""
        return f"{key} {list(entry.before)} -> {list(entry.after)}"
    text = f", {entry.source or '-'} -> {entry.target or '-'}"
    if entry.deliveries:
        text += f", attempt {entry.attempt}, delivery {entry.deliveries}"
    if entry.worker:
        text += f", by {entry.worker}"
    hidden = entry.reason.startswith(ENCRYPTED_ERROR)
    return text + (f", {'(encrypted)' if hidden else repr(entry.reason)}" if entry.reason else "")
