"""The tasks of a queue in one state: in order or by a filter, in pages; what is selected is acted on."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import trio

from rediq_trio._errors import ConfigError, TaskNotFound
from rediq_trio.observe.filter_line import FilterLine, read_filter_line
from rediq_trio.observe.views import drains_in, rate_of
from rediq_trio.observe.words import counted, rate, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.hiding import Hiding, check_search
from rediq_trio.values.task import QueueStats, TaskInfo
from rediq_trio.web.fleet_parts.queue_facts import read_facts
from rediq_trio.web.fleet_parts.readings import read_all_series
from rediq_trio.web.fleet_parts.spans import HOUR
from rediq_trio.web.fleet_parts.waiting_words import held_by
from rediq_trio.web.site.page import (
    Act,
    Done,
    Download,
    NotFound,
    Page,
    PageAnswer,
    Refused,
    Shown,
    Visit,
)
from rediq_trio.web.task_parts.bulk import BULK_VERBS, BulkTarget, ask_about, begin_asked
from rediq_trio.web.task_parts.payload_text import value_line

ROWS = 50
"""Tasks of one page."""
LOOK_MOST = 10_000
"""Tasks that one page looks at for a filter."""
LOOK_SECONDS = 2.0
"""Seconds for which one page looks."""
EXPORT_STEP = 64 * 1024

WHEN_WORDS = {
    State.SCHEDULED: "Due", State.RETRY: "Next attempt", State.PENDING: "Waits since", State.ACTIVE: "Runs since",
    State.COMPLETED: "Completed", State.DEAD: "Died", State.CANCELLED: "Cancelled",
    State.BLOCKED: "Waits since", State.GROUPED: "Waits since",
}  # fmt: skip
"""What the instant of a row is, by state."""


@attrs.frozen
class TaskRow:
    """One task of a list."""

    info: TaskInfo
    payload: str
    error_type: str
    error: str
    kind: str
    when: dt.datetime | None


@attrs.frozen
class TaskPage:
    """One page of tasks."""

    rows: list[TaskRow]
    looked_at: int
    of: int | None
    after: str
    """From where the next page goes on; "" at the end."""
    unreadable: int = 0


def row_of(visit: Visit, info: TaskInfo) -> TaskRow:
    """Return what a list says of a task."""
    last = info.attempts[-1] if info.attempts else None
    error = str(visit.hide(info.error, "error") or "") if info.error else ""
    error_type, _, message = error.partition(": ")
    if last is None or last.error_type is None or error_type != last.error_type:
        error_type, message = "", error
    payload = info.payload_missing or ""
    if info.payload_missing is None:
        payload = value_line(visit.hide(info.payload, "payload"))
    return TaskRow(
        info, payload, error_type, message.split("\n")[0][:300],
        (last.kind or "") if last is not None and info.error else "", instant_of(info),
    )  # fmt: skip


def instant_of(info: TaskInfo) -> dt.datetime | None:
    """Return since when a task is in its state, or until when."""
    match info.state:
        case State.SCHEDULED | State.RETRY | State.PENDING:
            return info.run_at
        case State.ACTIVE:
            return info.started_at
        case State.COMPLETED | State.DEAD | State.CANCELLED:
            return info.finished_at
        case _:
            return info.created_at


def filter_of(visit: Visit, line: str) -> FilterLine:
    """Return what a line chooses; raise `ConfigError`, also for what would tell what is hidden."""
    read = read_filter_line(line)
    check_search(visit.shared.hide, read.options)
    return read


async def find_page(
    visit: Visit, queue: str, state: State, options: FilterOptions, after: str, *, newest: bool
) -> TaskPage:
    """Read one page of tasks, looking at no more than a page may."""
    tasks = visit.client.queue(queue)
    if not options:
        found = await tasks.tasks(state, limit=ROWS, after=after or None, newest=newest)
        more = found[-1].cursor if len(found) == ROWS else ""
        return TaskPage([row_of(visit, info) for info in found], 0, None, more)
    search = tasks.find(state, newest=newest, after=after or None, **options)
    rows: list[TaskInfo] = []
    over = False
    with trio.move_on_after(LOOK_SECONDS):
        while len(rows) < ROWS and search.looked_at < LOOK_MOST:
            some = await search.look()
            if some is None:
                over = True
                break
            rows += some
    further = rows[ROWS - 1].cursor if len(rows) > ROWS else (search.cursor or "")
    if over and len(rows) <= ROWS:
        further = ""
    return TaskPage(
        [row_of(visit, info) for info in rows[:ROWS]],
        search.looked_at,
        search.of,
        further,
        search.unreadable,
    )


def state_of(visit: Visit) -> State:
    """Return the state in the path; raise `NotFound`."""
    try:
        return State(visit.params["state"])
    except ValueError:
        word = shown(visit.params["state"], 40)
        raise NotFound(f"there is no state {word}", f"States are {', '.join(State)}.") from None


async def stats_of(visit: Visit, queue: str) -> QueueStats:
    """Return the numbers of a queue; raise `NotFound` for one that was never used."""
    found = (await visit.fleet()).queue(queue)
    if found is not None:
        return found.stats
    if queue not in await visit.client.queues():
        raise NotFound(
            f"there is no queue {shown(queue, 80)}: it was never used, or was removed",
            "Queues come into being with their first task.",
        )
    return await visit.client.queue(queue).stats()


async def show_tasks(visit: Visit) -> Shown:
    """Show the tasks of a queue in one state."""
    queue, state = visit.params["queue"], state_of(visit)
    stats = await stats_of(visit, queue)
    newest = visit.query.get("order") != "oldest"
    line, mistake, caret = visit.query.get("filter", "").strip(), "", ""
    read = FilterLine({}, ())
    try:
        read = filter_of(visit, line)
    except ConfigError as error:
        mistake, caret = str(error), "\n".join(getattr(error, "__notes__", []))
    found, gone = TaskPage([], 0, None, ""), ""
    if not mistake:
        try:
            after = visit.query.get("after", "")
            found = await find_page(visit, queue, state, read.options, after, newest=newest)
        except (TaskNotFound, ConfigError) as error:
            if not visit.query.get("after"):
                raise
            gone = str(error)
    looked = _number(visit.query.get("looked")) + found.looked_at
    seen = _number(visit.query.get("found")) + len(found.rows)
    size = getattr(stats, state.value)
    verbs = [
        (name, verb)
        for name, verb in BULK_VERBS.items()
        if state in verb.states and visit.may(verb.need)
    ]
    values: dict[str, Any] = {
        "queue": queue, "state": state.value, "stats": stats, "states": [each.value for each in State],
        "line": line, "words": read.words, "mistake": mistake, "caret": caret, "found": found, "gone": gone,
        "looked": looked, "seen": seen, "size": size, "verbs": verbs, "when_word": WHEN_WORDS[state],
        "newest": newest, "first": not visit.query.get("after"), "all_match": visit.query.get("all") == "match",
        "all_page": visit.query.get("all") == "page",
        "held": await _held(visit, queue, found) if state is State.PENDING else {},
        "pace": await _drain_rate(visit, queue) if state is State.PENDING else "",
        "with_error": state in (State.DEAD, State.RETRY, State.CANCELLED), "with_worker": state is State.ACTIVE,
    }  # fmt: skip
    return Shown(
        template="tasks.html", title=f"{queue}, {state.value}", nav="/queues", values=values
    )


async def _held(visit: Visit, name: str, found: TaskPage) -> dict[str, tuple[str, bool]]:
    """Return why each pending task of a page waits, and whether that is more than its turn."""
    view = await visit.fleet()
    queue = view.queue(name)
    if queue is None:
        return {}
    facts = await read_facts(visit, view, queue)
    return {row.info.id: held_by(queue, facts, row.info) for row in found.rows}


async def _drain_rate(visit: Visit, name: str) -> str:
    """Return how fast a queue is worked off; "" if nothing is known."""
    view = await visit.fleet()
    queue, series = view.queue(name), await read_all_series(visit, view, [name], HOUR.length)
    if queue is None:
        return ""
    done = rate_of(series.get(name), queue)
    drains = drains_in(queue, series.get(name), done)
    said = f", drains in {drains}" if drains[:1].isdigit() else ", and it grows" if drains == "grows" else ""
    return f"{rate(done)} done{said}" if done or said else ""


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 16 else 0


async def _ask(visit: Visit, verb: str) -> PageAnswer:
    queue, state = visit.params["queue"], state_of(visit)
    stats = await stats_of(visit, queue)
    back = visit.back(f"/queues/{queue}/{state.value}")
    line = visit.query.get("filter", "").strip()
    list_url = visit.link(f"/queues/{queue}/{state.value}", filter=line)
    if visit.query.get("all") == "match":
        read = filter_of(visit, line)
        which = f" of {shown(queue)}"
        if read.words:
            which += f" with {', '.join(word.said for word in read.words)}"
        target = BulkTarget(queue=queue, state=state, options=read.options, list_url=list_url)
    else:
        ids = tuple(dict.fromkeys(visit.query.getlist("id")))
        if not ids:
            most = counted(getattr(stats, state.value), f"{state.value} task")
            raise Refused(
                "no task was selected", f"Go back and tick some, or choose all {most} that match."
            )
        which = f" of {shown(queue)}"
        target = BulkTarget(queue=queue, state=state, ids=ids, list_url=list_url)
    return await ask_about(visit, verb, [target], which, back=back, nav="/queues")


async def _begin(visit: Visit) -> Done | PageAnswer:
    return await begin_asked(visit)


async def export_tasks(visit: Visit) -> Download:
    """Send the tasks of a queue that a filter chooses, as a file that `rediq task import` reads."""
    queue, state = visit.params["queue"], state_of(visit)
    if hides(visit):
        raise Refused(
            "some values are hidden on this page, and the file would have them",
            "Use rediq task export.",
            403,
        )
    await stats_of(visit, queue)
    read = filter_of(visit, visit.query.get("filter", ""))
    selection = await visit.client.queue(queue).select(state, **read.options)
    path = Path(tempfile.mkdtemp(prefix="rediq-export-")) / "tasks.jsonl"
    try:
        await selection.export(path)
    except BaseException:
        _remove(path)
        raise
    stamp = selection.at.strftime("%Y%m%dT%H%M%SZ")
    return Download(
        name=f"{queue}-{state.value}-{stamp}.jsonl",
        body=_sent(path),
        media_type="application/jsonl",
    )


def hides(visit: Visit) -> bool:
    """Return whether this site may hide a part of a value."""
    rules = visit.shared.hide
    return not isinstance(rules, Hiding) or bool(rules.paths)


async def _sent(path: Path) -> AsyncIterator[bytes]:
    try:
        async with await trio.open_file(path, "rb") as file:
            while part := await file.read(EXPORT_STEP):
                yield part
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    # Not awaited, because the visitor may have gone.
    path.unlink(missing_ok=True)
    path.parent.rmdir()


PAGES: tuple[Page, ...] = (
    Page("/queues/{queue}/{state}", show_tasks),
    Page("/queues/{queue}/{state}/export", export_tasks),
)
ACTS: tuple[Act, ...] = tuple(
    Act(f"/queues/{{queue}}/{{state}}/{name}", _begin, partial(_ask, verb=name), verb.need)
    for name, verb in BULK_VERBS.items()
)
