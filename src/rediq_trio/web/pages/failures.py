"""What has failed, by kind: over all queues, and everything about one kind."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs
import trio

from rediq_trio.observe.finders import FAILING_FACTOR
from rediq_trio.observe.recent import NEW
from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import counted, relative, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.observed.audit import Mark
from rediq_trio.values.observed.failure_kind import FailureKind
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.drawing.small import spark
from rediq_trio.web.fleet_parts.kind_hours import HOURS, hours_of
from rediq_trio.web.fleet_parts.readings import read_all_marks
from rediq_trio.web.pages.tasks import row_of
from rediq_trio.web.site.keeping import kept_for
from rediq_trio.web.site.page import Act, NotFound, Page, PageAnswer, Shown, Visit
from rediq_trio.web.task_parts.bulk import BULK_VERBS, BulkTarget, ask_about, begin_asked
from rediq_trio.web.task_parts.traceback import traceback_lines
from rediq_trio.worker.outcomes.fingerprint import normalized

KINDS_KEPT_SECONDS = 5.0
"""Seconds for which the kinds of a queue are not read again."""
SAMPLE_KEPT_SECONDS = 10.0
KINDS_ON_PAGE = 100
"""Kinds of one page."""
KIND_SAMPLE = 500
"""Tasks of a kind, in each state, of which it is said what they have in common."""
SAMPLE_LOOK_MOST = 10_000
SAMPLE_SECONDS = 1.5
SHARES_SHOWN = 8
TINTED_MAX = 3
"""New kinds whose rows are tinted: of more, their marks are enough."""
_DIFFERING = re.compile(r"\s+")


@attrs.frozen
class KindRow:
    """A kind of failure of one queue."""

    queue: str
    kind: FailureKind
    message: str
    is_new: bool
    is_growing: bool
    hours: tuple[float | None, ...]
    """How many failed so in each of the last 24 hours; None where it is not known."""

    @property
    def ink(self) -> str:
        """The class of its color: trouble while it is new, or grows."""
        return "dead" if self.is_new or self.is_growing else "plain"


@attrs.frozen
class KindSample:
    """Tasks that failed last in one way."""

    dead: tuple[TaskInfo, ...]
    retry: tuple[TaskInfo, ...]
    whole: bool
    """Whether these are all of them."""


async def read_kinds(visit: Visit, view: FleetView) -> list[tuple[str, FailureKind]]:
    """Return the kinds of all queues in which anything has failed, the newest first."""
    names = [each.name for each in view.queues if each.stats.failed_total or each.stats.dead_total]

    async def read(name: str) -> tuple[FailureKind, ...]:
        client = visit.shared.client
        return await kept_for(
            KINDS_KEPT_SECONDS, visit.shared, f"kinds {name}", client.queue(name).failures
        )

    found, _ = await try_each(names, read)
    kinds = [(name, kind) for name in names for kind in found.get(name, ())]
    return sorted(kinds, key=lambda pair: pair[1].last_seen, reverse=True)


def _growing(view: FleetView, queue: str, kind: FailureKind) -> bool:
    one = view.queue(queue)
    for each in () if one is None or one.failing is None else one.failing.types:
        recent, day = each.recent.failure_rate, each.day.failure_rate
        if each.recent.type == kind.type and recent and recent > FAILING_FACTOR * (day or 0):
            return True
    return False


def pattern_of(visit: Visit, kind: FailureKind) -> str:
    """Return the message of a kind, with `#` for each number or id, and `…` for each quoted text."""
    message = str(visit.hide(kind.message, "error") or "") if kind.message else ""
    pattern = normalized(message).replace("<#>", "#").replace("<text>", "…")
    return pattern if any(character.isalpha() for character in pattern) else message


async def show_failures(visit: Visit) -> Shown:
    """Show the kinds of failure of all queues."""
    view = await visit.fleet()
    pairs = await read_kinds(visit, view)
    queue, text = visit.query.get("queue", ""), visit.query.get("q", "").strip()
    only_new, sort = bool(visit.query.get("new")), visit.query.get("sort", "last")
    all_kinds = len(pairs)
    new = sum(visit.now - kind.first_seen < NEW for _, kind in pairs)
    by_queue = Counter(name for name, _ in pairs)
    chosen = [
        (name, kind) for name, kind in pairs
        if (not queue or name == queue) and (not only_new or visit.now - kind.first_seen < NEW)
        and (not text or _has(name, kind, text))
    ]  # fmt: skip
    if sort == "first":
        chosen.sort(key=lambda pair: pair[1].first_seen, reverse=True)
    elif sort == "count":
        chosen.sort(key=lambda pair: pair[1].count, reverse=True)
    begin = _number(visit.query.get("page")) * KINDS_ON_PAGE
    part = chosen[begin : begin + KINDS_ON_PAGE]
    rows = [
        KindRow(
            name, kind, pattern_of(visit, kind),
            visit.now - kind.first_seen < NEW, _growing(view, name, kind), hours_of(kind, visit.now),
        )
        for name, kind in part
    ]  # fmt: skip
    lately = sum(each.recent.failed for each in view.queues if each.recent is not None)
    why = (
        f"{counted(lately, 'attempt')} failed in the last 10 minutes. "
        + (
            f"{counted(new, 'kind is', 'kinds are')} new within the hour."
            if new
            else "No kind is new within the hour."
        )
        if pairs
        else ""
    )
    values = {
        "rows": [(row, spark(row.hours, row.ink, width=160, bars=True)) for row in rows],
        "all_kinds": all_kinds, "chosen": len(chosen), "new": new, "queue": queue, "text": text,
        "only_new": only_new,
        "tinted": 0 < sum(row.is_new for row in rows) <= min(TINTED_MAX, len(rows) - 1),
        "sort": sort, "by_queue": by_queue.most_common(8), "why": why, "begin": begin,
        "dead": sum(each.stats.dead for each in view.queues),
        "retry": sum(each.stats.retry for each in view.queues),
        "older": visit.here(page=begin // KINDS_ON_PAGE + 1) if begin + KINDS_ON_PAGE < len(chosen) else "",
        "newer": visit.here(page=begin // KINDS_ON_PAGE - 1 or None) if begin else "",
    }  # fmt: skip
    return Shown(template="failures.html", title="Failures", nav="/failures", values=values)


def _has(queue: str, kind: FailureKind, text: str) -> bool:
    fields = (queue, kind.kind, kind.type, kind.error_type, kind.message, kind.place)
    return any(text.lower() in each.lower() for each in fields if each)


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 6 else 0


async def _known(visit: Visit) -> tuple[str, FailureKind, list[str]]:
    """Return the queue and the kind in the URL, and the other queues that have it; raise `NotFound`."""
    wanted, queue = visit.params["kind"], visit.query.get("queue", "")
    pairs = [
        pair for pair in await read_kinds(visit, await visit.fleet()) if pair[1].kind == wanted
    ]
    found = [pair for pair in pairs if not queue or pair[0] == queue]
    if not found:
        where = f" in {shown(queue, 80)}" if queue else ""
        raise NotFound(
            f"nothing of the kind {shown(wanted, 40)} has failed{where}, or it was forgotten",
            "A queue keeps its last 500 kinds, and forgets them when it is flushed.",
        )
    name, kind = found[0]
    return name, kind, [other for other, _ in pairs if other != name]


async def _sample(visit: Visit, queue: str, kind: str) -> KindSample:
    async def some(state: State) -> tuple[tuple[TaskInfo, ...], bool]:
        search = visit.shared.client.queue(queue).find(state, kind=kind)
        found: list[TaskInfo] = []
        with trio.move_on_after(SAMPLE_SECONDS):
            while len(found) < KIND_SAMPLE and search.looked_at < SAMPLE_LOOK_MOST:
                part = await search.look()
                if part is None:
                    return tuple(found), True
                found += part
        return tuple(found), False

    dead, all_dead = await some(State.DEAD)
    retry, all_retry = await some(State.RETRY)
    return KindSample(dead, retry, all_dead and all_retry)


async def show_failure(visit: Visit) -> Shown:
    """Show everything about one kind of failure."""
    queue, kind, others = await _known(visit)
    read = partial(_sample, visit, queue, kind.kind)
    sample = await kept_for(SAMPLE_KEPT_SECONDS, visit.shared, f"kind {queue} {kind.kind}", read)
    tasks = [*sample.dead, *sample.retry]
    named = await _named(visit, kind)
    attempts = [
        one for info in [*tasks, *named.values()] for one in info.attempts if one.kind == kind.kind
    ]
    attempts.sort(key=lambda one: one.ended_at, reverse=True)
    newest = next((one for one in attempts if one.traceback), attempts[0] if attempts else None)
    trace = (
        "" if newest is None or not newest.traceback else str(visit.hide(newest.traceback, "error"))
    )
    messages = [str(visit.hide(one.message, "error")) for one in attempts if one.message]
    versions = {each.id: each.version for each in (await visit.fleet()).workers}
    by_version = Counter(versions.get(one.worker, "of a worker that has ended") for one in attempts)
    by_worker = Counter(one.worker for one in attempts)
    hours = hours_of(kind, visit.now)
    marks = await read_all_marks(visit, await visit.fleet())
    newest_tasks = sorted(
        {info.id: info for info in [*named.values(), *tasks]}.values(),
        key=_last_failed,
        reverse=True,
    )
    is_new = visit.now - kind.first_seen < NEW
    said = "failed attempts by hour, the last 24 hours"
    ink = "dead" if is_new else "plain"
    drawn = spark(hours, ink, width=720, height=48, bars=True, label=said)
    values: dict[str, Any] = {
        "queue": queue, "kind": kind, "others": others, "sample": sample, "is_new": is_new,
        "message": pattern_of(visit, kind),
        "lines": traceback_lines(trace), "newest": newest, "hours": drawn,
        "peak": int(max(each or 0 for each in hours)), "this_hour": int(hours[-1] or 0),
        "unknown": None in hours, "marks": hour_marks(marks, visit.now),
        "looked": len(attempts),
        "differ": differing(messages)[:SHARES_SHOWN],
        "shares": [("By worker version", by_version), ("By worker", by_worker)],
        "task_rows": [row_of(visit, info) for info in newest_tasks[:8]], "most": SHARES_SHOWN,
        "gone": [each for each in kind.task_ids if each not in named],
        "verbs": [(name, BULK_VERBS[name]) for name in ("retry", "delete") if visit.may(BULK_VERBS[name].need)],
        "dead_more": not sample.whole and len(sample.dead) >= KIND_SAMPLE,
    }  # fmt: skip
    title = kind.error_type or "Failure"
    return Shown(template="failure.html", title=title, nav="/failures", values=values)


async def _named(visit: Visit, kind: FailureKind) -> dict[str, TaskInfo]:
    found, _ = await try_each(kind.task_ids, lambda each: visit.shared.client.task(each).info())
    return found


def _last_failed(info: TaskInfo) -> dt.datetime:
    return info.attempts[-1].ended_at if info.attempts else info.created_at


def hour_marks(marks: Sequence[Mark], now: dt.datetime) -> str:
    """Return which marks the hours that are drawn have, the newest first, in words; "" for none."""
    since = now - dt.timedelta(hours=HOURS)
    found = [mark for mark in marks if mark.at >= since]
    said = [f"{shown(mark.text, 40)} came {relative(mark.at, now)}" for mark in found[:3]]
    return ", ".join(said)


def differing(messages: Sequence[str]) -> list[tuple[str, int]]:
    """Return what messages that are alike differ in, with how often: the words of the place that tells most.

    That is the place with the fewest words, but more than one; each stands with the word before it. Nothing
    if all are the same.
    """
    split = [_DIFFERING.split(message.strip())[:40] for message in messages]
    length = Counter(map(len, split)).most_common(1)
    alike = [words for words in split if length and len(words) == length[0][0]]
    best: Counter[str] | None = None
    for at in range(length[0][0] if length else 0):
        words = Counter(" ".join(each[max(0, at - 1) : at + 1]) for each in alike)
        if len(words) > 1 and (best is None or len(words) < len(best)):
            best = words
    return [] if best is None else best.most_common()


async def _ask(visit: Visit, verb: str) -> PageAnswer:
    queue, kind, _ = await _known(visit)
    path = f"/failures/{kind.kind}"
    name = kind.error_type or "failures"
    which = f" of {shown(queue)} that failed as {shown(name, 60)}"
    list_url = visit.link(f"/queues/{queue}/dead", filter=f"kind:{kind.kind}")
    target = BulkTarget(
        queue=queue, state=State.DEAD, options={"kind": kind.kind}, list_url=list_url
    )
    back = visit.back(path) if visit.query.get("back") else visit.link(path, queue=queue)
    return await ask_about(
        visit,
        verb,
        [target],
        which,
        back=back,
        nav="/failures",
        rate=100 if verb == "retry" else None,
    )


PAGES: tuple[Page, ...] = (Page("/failures", show_failures), Page("/failures/{kind}", show_failure))
ACTS: tuple[Act, ...] = tuple(
    Act(f"/failures/{{kind}}/{name}", begin_asked, partial(_ask, verb=name), BULK_VERBS[name].need)
    for name in ("retry", "delete")
)
