"""The dead tasks of all queues."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import trio

from rediq_trio._errors import ConfigError
from rediq_trio.observe.filter_line import FilterLine
from rediq_trio.observe.words import count, counted, duration, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.for_each import try_each
from rediq_trio.tasks.ids import split_id
from rediq_trio.values.bounds import queue_of
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.pages.tasks import ROWS, TaskPage, filter_of, row_of
from rediq_trio.web.site.keeping import kept_for
from rediq_trio.web.site.page import Act, Page, PageAnswer, Refused, Shown, Visit
from rediq_trio.web.site.work import works_of
from rediq_trio.web.task_parts.bulk import (
    BULK_VERBS,
    RATE_OFFERED,
    BulkTarget,
    ask_about,
    begin_asked,
    said_of,
)

QUEUES_READ = 50
"""Queues whose dead tasks one page reads, those with the most."""
KEPT_SECONDS = 2.0
LOOK_SECONDS_ALL = 2.0
LOOK_MOST_EACH = 10_000
FIRST_DEATH = dt.datetime.min.replace(tzinfo=dt.UTC)


async def show_dead(visit: Visit) -> Shown:
    """Show the dead tasks of all queues, those that died last first."""
    view = await visit.fleet()
    counts = {each.name: each.stats.dead for each in view.queues if each.stats.dead}
    names = sorted(counts, key=lambda name: (-counts[name], name))
    line, mistake, caret = visit.query.get("filter", "").strip(), "", ""
    read = FilterLine({}, ())
    try:
        read = filter_of(visit, line)
    except ConfigError as error:
        mistake, caret = str(error), "\n".join(getattr(error, "__notes__", []))
    queue = visit.query.get("queue", "")
    wanted = [name for name in names if not queue or name == queue][:QUEUES_READ]
    found = TaskPage([], 0, None, "") if mistake else await kept_for(
        KEPT_SECONDS, visit.shared, f"dead {queue} {line}", partial(_newest, visit, wanted, read.options, counts)
    )  # fmt: skip
    total = sum(counts.values())
    verbs = [
        (name, BULK_VERBS[name])
        for name in ("retry", "delete", "requeue")
        if visit.may(BULK_VERBS[name].need)
    ]
    oldest = found.rows[-1].when if found.rows and not found.after else None
    facts = [f"{counted(total, 'task')} in {counted(len(counts), 'queue')}"] if total else []
    if oldest is not None and not line:
        facts.append(f"the oldest {duration((visit.now - oldest).total_seconds())} ago")
    why = ""
    if len(names) > 1 and not line and not queue:
        why = f"Most are in {shown(names[0])}: {count(counts[names[0]])} of {count(total)}."
    doing = [
        (work, said_of(work), None if work.seconds_left is None else duration(work.seconds_left))
        for work in works_of(visit.shared) if work.ended is None
    ]  # fmt: skip
    values: dict[str, Any] = {
        "found": found, "counts": [(name, counts[name]) for name in names[:12]],
        "more": len(names) - 12, "queue": queue,
        "line": line, "words": read.words, "mistake": mistake, "caret": caret,
        "total": counts.get(queue, 0) if queue else total,
        "facts": facts, "why": why, "verbs": verbs, "doing": doing,
        "all_match": visit.query.get("all") == "match",
        "all_page": visit.query.get("all") == "page",
        "unread": max(0, len(names) - QUEUES_READ) if not queue else 0,
    }  # fmt: skip
    return Shown(template="dead.html", title="Dead", nav="/dead", values=values)


async def _newest(
    visit: Visit, names: list[str], options: FilterOptions, counts: dict[str, int]
) -> TaskPage:
    client = visit.shared.client
    looked = unreadable = 0

    async def newest(name: str) -> list[TaskInfo]:
        nonlocal looked, unreadable
        if not options:
            return await client.queue(name).tasks(State.DEAD, limit=ROWS, newest=True)
        search, some = client.queue(name).find(State.DEAD, **options), list[TaskInfo]()
        with trio.move_on_after(LOOK_SECONDS_ALL):
            while (
                len(some) < ROWS
                and search.looked_at < LOOK_MOST_EACH
                and (part := await search.look()) is not None
            ):
                some += part
        looked += search.looked_at
        unreadable += search.unreadable
        return some

    found, _ = await try_each(names, newest)
    infos = [info for each in found.values() for info in each]
    infos.sort(key=lambda info: info.finished_at or FIRST_DEATH, reverse=True)
    of = sum(counts[name] for name in names)
    more = (
        "more"
        if len(infos) > ROWS or (options and looked < of) or (not options and of > len(infos))
        else ""
    )
    return TaskPage([row_of(visit, info) for info in infos[:ROWS]], looked, of, more, unreadable)


async def _ask(visit: Visit, verb: str) -> PageAnswer:
    line, queue = visit.query.get("filter", "").strip(), visit.query.get("queue", "")
    back = visit.back("/dead")
    rate = RATE_OFFERED if verb == "retry" else None
    if visit.query.get("all") == "match":
        read = filter_of(visit, line)
        counts = {
            each.name: each.stats.dead for each in (await visit.fleet()).queues if each.stats.dead
        }
        names = [name for name in sorted(counts) if not queue or name == queue]
        if not names:
            raise Refused("there are no dead tasks to act on", "Go back, and look again.")
        targets = [
            BulkTarget(
                queue=name, state=State.DEAD, options=read.options,
                list_url=visit.link(f"/queues/{name}/dead", filter=line),
            )
            for name in names
        ]  # fmt: skip
        which = f" of {shown(queue)}" if queue else f" of {counted(len(names), 'queue')}"
        if read.words:
            which += f" with {', '.join(word.said for word in read.words)}"
        return await ask_about(visit, verb, targets, which, back=back, nav="/dead", rate=rate)
    by_queue: dict[str, list[str]] = {}
    for task_id in dict.fromkeys(visit.query.getlist("id")):
        by_queue.setdefault(queue_of(split_id(task_id)[0]), []).append(task_id)
    if not by_queue:
        raise Refused("no task was selected", "Go back and tick some, or choose all that match.")
    targets = [
        BulkTarget(queue=name, state=State.DEAD, ids=tuple(ids), list_url=visit.link(f"/queues/{name}/dead"))
        for name, ids in sorted(by_queue.items())
    ]  # fmt: skip
    return await ask_about(visit, verb, targets, "", back=back, nav="/dead", rate=rate)


PAGES: tuple[Page, ...] = (Page("/dead", show_dead),)
ACTS: tuple[Act, ...] = tuple(
    Act(f"/dead/{name}", begin_asked, partial(_ask, verb=name), BULK_VERBS[name].need)
    for name in ("retry", "delete", "requeue")
)
