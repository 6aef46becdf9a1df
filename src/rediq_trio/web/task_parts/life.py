"""The life of a task: which way it took through the states, and its attempts on an axis of time.

It is made of the task's counters and of what is kept of its last attempts, so it is exact where these
are: of a task with more than ten attempts, the first are counted and not drawn. When a task waited for
its next attempt, and when for a worker, is only known of the last wait: the ones before are one bar.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import attrs

from rediq_trio.observe.words import counted, duration
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.observed.attempt import Attempt
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.drawing.life import Bar
from rediq_trio.web.drawing.machine import StateEdge

CHARGED = ("failed", "timed out")
"""The outcomes of attempts that were charged."""
ENDED_STATES = (State.COMPLETED, State.DEAD, State.CANCELLED)
_SOON = 0.005
"""Seconds within which a task that is due at its enqueue is ready at once."""


@attrs.frozen
class Way:
    """The way of a task through the states."""

    taken: dict[StateEdge, str]
    """What is said at each edge that was taken."""
    visits: dict[str, str]
    """What is said in each state that it was in."""
    label: str
    """The same in words."""


@attrs.frozen
class AttemptRow:
    """One attempt, as it is drawn."""

    number: int
    delivery: int
    bars: tuple[Bar, ...]
    back: float | None
    """Seconds of backoff before it, with the wait for a worker where the two cannot be told apart; None for
    the first."""
    waited: float | None
    """Seconds for which it was ready before it began; None if that is not known."""
    ran: float
    worker: str
    ended: str
    """How it ended: an outcome, or a state."""
    said: str
    """The error's type, or what else is known of the end."""
    state: str
    """The state whose colour its end has."""
    attempt: Attempt | None
    """What is kept of it; None for one that completed the task, or has not ended."""


def axis_of(info: TaskInfo, now: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """Return the instants between which the life of a task is drawn."""
    first = info.attempts[0].started_at if info.attempts else info.started_at
    seen = len(info.attempts) + (0 if _last_is_kept(info) else 1)
    since = info.created_at
    if first is not None and info.deliveries > seen:
        since = first  # the attempts before it are not kept
    until = info.finished_at or now
    if info.state in (State.SCHEDULED, State.RETRY) and info.run_at > until:
        until = info.run_at
    return since, max(until, since + dt.timedelta(milliseconds=1))


def attempt_rows(info: TaskInfo, now: dt.datetime) -> list[AttemptRow]:
    """Return the attempts of a task that are known, the oldest first."""
    since, _ = axis_of(info, now)
    rows: list[AttemptRow] = []
    before: dt.datetime | None = None
    ends: list[tuple[dt.datetime, dt.datetime, Attempt | None]] = [
        (one.started_at, one.ended_at, one) for one in info.attempts
    ]
    if info.started_at is not None and not _last_is_kept(info):
        ends.append((info.started_at, info.finished_at or now, None))
    for at, (started, ended, kept) in enumerate(ends):
        last = at == len(ends) - 1
        begun = before or (info.created_at if since == info.created_at else started)
        due = info.run_at if last and begun <= info.run_at <= started else None
        bars = [*_waits(begun, due, started, since, again=before is not None)]
        ran = (ended - started).total_seconds()
        bars.append(_bar("run", started, ended, since, f"ran {duration(max(ran, 0))}"))
        if last and info.state is State.RETRY and kept is not None:
            text = f"next attempt after {duration((info.run_at - ended).total_seconds())}"
            bars.append(_bar("back", ended, info.run_at, since, text))
        known = before is None or due is not None
        waited = (started - (due or begun)).total_seconds() if known and begun != started else None
        back = None if before is None else ((due or started) - begun).total_seconds()
        rows.append(_row(info, kept, tuple(bars), back, waited, max(ran, 0.0)))
        before = ended
    return rows


def _row(
    info: TaskInfo,
    kept: Attempt | None,
    bars: tuple[Bar, ...],
    back: float | None,
    waited: float | None,
    ran: float,
) -> AttemptRow:
    if kept is not None:
        charged = kept.outcome in CHARGED
        final = info.state is State.DEAD and kept is info.attempts[-1]
        return AttemptRow(
            kept.number, kept.delivery, bars, back, waited, ran, kept.worker, kept.outcome,
            kept.error_type or kept.outcome,
            "dead" if final else "retry" if charged else "cancelled", kept,
        )  # fmt: skip
    said = {State.ACTIVE: "runs"}.get(info.state, info.state.value)
    state = info.state.value if info.state in (*ENDED_STATES, State.ACTIVE) else "cancelled"
    return AttemptRow(
        info.attempt,
        info.deliveries,
        bars,
        back,
        waited,
        ran,
        info.worker or "",
        said,
        said,
        state,
        None,
    )


def _waits(
    begun: dt.datetime,
    due: dt.datetime | None,
    started: dt.datetime,
    since: dt.datetime,
    *,
    again: bool,
) -> Iterator[Bar]:
    if started <= begun:
        return
    if due is None and again:
        text = f"backoff and wait, {duration((started - begun).total_seconds())} together"
        yield _bar("back", begun, started, since, text)
        return
    due = due or begun
    if due > begun:
        words = "backoff" if again else "until it was due"
        yield _bar("back" if again else "wait", begun, due, since, f"{words}, {_apart(begun, due)}")
    if started > due:
        yield _bar("wait", due, started, since, f"waited {_apart(due, started)}")


def _apart(since: dt.datetime, until: dt.datetime) -> str:
    return duration((until - since).total_seconds())


def _bar(kind: str, begun: dt.datetime, ended: dt.datetime, since: dt.datetime, said: str) -> Bar:
    return Bar(kind, (begun - since).total_seconds(), (ended - since).total_seconds(), said)


def _last_is_kept(info: TaskInfo) -> bool:
    """Return whether the last delivery is among the attempts: it neither runs nor completed the task."""
    return not info.deliveries or (
        bool(info.attempts) and info.attempts[-1].delivery >= info.deliveries
    )


def way_of(info: TaskInfo, now: dt.datetime) -> Way:
    """Return the way of a task through the states, with how often and how long."""
    taken: dict[StateEdge, str] = {}
    begin = _begin(info)
    taken["start", begin] = "enqueue"
    if begin != "pending" and info.state.value != begin:
        taken[begin, "pending"] = {"scheduled": "promote", "blocked": "unblock"}.get(begin, "batch")
    retries, back, snoozes = _counts(info)
    if info.deliveries:
        taken["pending", "active"] = _times("claim", info.deliveries)
    if back:
        crashes = min(info.crashes, back)
        words = [_times("crash", crashes)] if crashes else []
        words += [_times("release", back - crashes)] if back > crashes else []
        taken["active", "pending"] = ", ".join(words)
    if snoozes:
        taken["active", "scheduled"] = _times("snooze", snoozes)
        if (ready := snoozes - (info.state is State.SCHEDULED)) > 0:
            taken["scheduled", "pending"] = _times("promote", ready)
    if retries:
        taken["active", "retry"] = _times("fail", retries)
        if (ready := retries - (info.state is State.RETRY)) > 0:
            taken["retry", "pending"] = _times("promote", ready)
    if info.state in ENDED_STATES:
        taken |= _end(info, begin)
    visits = _visits(info, taken, now)
    label = ", ".join(f"{state}: {said}" for state, said in visits.items())
    return Way(taken, visits, f"{label}; now {info.state.value}")


def _times(word: str, number: int) -> str:
    return word if number == 1 else f"{word} ×{number:,}"


def _begin(info: TaskInfo) -> str:
    if info.group is not None and not info.members:
        return "grouped"
    if info.depends_on or info.state is State.BLOCKED:
        return "blocked"
    later = (info.run_at - info.created_at).total_seconds() > _SOON
    first = info.deliveries == 0 or (info.deliveries == 1 and not info.attempts)
    if info.state is State.SCHEDULED and not info.deliveries:
        return "scheduled"
    return "scheduled" if later and first and info.state is not State.RETRY else "pending"


def _counts(info: TaskInfo) -> tuple[int, int, int]:
    """Return how often it went to retry, back to pending without a charge, and to scheduled."""
    running = info.state is State.ACTIVE or (
        info.state in ENDED_STATES and bool(info.deliveries) and not _last_is_kept(info)
    )
    final = (
        info.state is State.DEAD and _last_is_kept(info)
        and bool(info.attempts) and info.attempts[-1].outcome in CHARGED
    )  # fmt: skip
    retries = max(0, info.attempt - (1 if running or final else 0))
    ends = info.deliveries - (1 if running else 0) - (1 if final else 0)
    crashed_dead = (
        info.state is State.DEAD and bool(info.attempts) and info.attempts[-1].outcome == "crashed"
    )
    back = max(0, ends - retries - info.snoozes - (1 if crashed_dead else 0))
    return retries, back, info.snoozes


def _end(info: TaskInfo, begin: str) -> dict[StateEdge, str]:
    state = info.state.value
    last = info.attempts[-1].outcome if info.attempts and _last_is_kept(info) else ""
    ran = bool(info.deliveries) and not _last_is_kept(info)
    if state == "completed":
        return {("active", "completed"): "complete"}
    if state == "dead" and (last in CHARGED or last == "crashed" or ran):
        return {("active", "dead"): "crash" if last == "crashed" else "fail, the last"}
    if state == "cancelled" and ran:
        return {("active", "cancelled"): "cancel"}
    if state == "dead" and begin == "blocked" and not info.deliveries:
        return {("blocked", "dead"): "a dependency failed"}
    return {("waiting", state): "cancel" if state == "cancelled" else "expire"}


def _visits(info: TaskInfo, taken: dict[StateEdge, str], now: dt.datetime) -> dict[str, str]:
    visited = {state for edge in taken for state in edge} - {"start", "waiting"}
    visited.add(info.state.value)
    if info.state is State.DEAD and ("blocked", "dead") in taken:
        visited.discard("pending")
    rows = attempt_rows(info, now)
    said: dict[str, str] = {}
    order = (
        "scheduled",
        "blocked",
        "grouped",
        "pending",
        "active",
        "retry",
        "completed",
        "dead",
        "cancelled",
    )
    retries, _, snoozes = _counts(info)
    numbers = {
        "active": info.deliveries, "retry": retries,
        "pending": max(1, info.deliveries + (info.state is State.PENDING)),
        "scheduled": max(1, snoozes),
    }  # fmt: skip
    for state in order:
        if state not in visited:
            continue
        if state == info.state.value:
            said[state] = _since(info, now)
        elif state == "active" and len(rows) >= info.deliveries:
            ran = duration(sum(row.ran for row in rows))
            said[state] = (
                ran if info.deliveries == 1 else f"{counted(info.deliveries, 'time')}, {ran}"
            )
        else:
            said[state] = "once" if numbers.get(state, 1) == 1 else counted(numbers[state], "time")
    return said


def _since(info: TaskInfo, now: dt.datetime) -> str:
    match info.state:
        case State.ACTIVE:
            since = info.started_at
        case State.COMPLETED | State.DEAD | State.CANCELLED:
            return _ago(info.finished_at, now)
        case State.RETRY | State.SCHEDULED if info.run_at > now:
            return f"for {_apart(now, info.run_at)} more"
        case State.PENDING:
            since = info.run_at
        case _:
            since = info.created_at
    return "" if since is None else f"for {duration(max(0.0, (now - since).total_seconds()))}"


def _ago(at: dt.datetime | None, now: dt.datetime) -> str:
    return "" if at is None else f"{duration(max(0.0, (now - at).total_seconds()))} ago"


def newest_failed(rows: Sequence[AttemptRow]) -> AttemptRow | None:
    """Return the newest attempt of which an end is kept; None if there is none."""
    return next((row for row in reversed(rows) if row.attempt is not None), None)
