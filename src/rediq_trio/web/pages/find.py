"""What the search field leads to: a task by its id, a queue, a worker, a workflow, or lists to look in.

It makes few calls: names come from the view that all share, and only what looks like an id is read.
"""

from __future__ import annotations

import re

import attrs

from rediq_trio._errors import (
    ConfigError,
    ConnectionLost,
    RediqError,
    TaskNotFound,
    WorkflowNotFound,
)
from rediq_trio.observe.views import FleetView
from rediq_trio.web.site.page import Act, Moved, Page, PageAnswer, Shown, Visit

QUERY_MAX = 300
"""Characters of what is looked for."""
FOUND_MAX = 50
"""Things that are listed."""
_TASK_ID = re.compile(r"[\w.:-]+(?:\[\d+\])?/[^\s/]{1,200}")
_TAIL = re.compile(r"[0-9a-fA-F-]{8,36}")


@attrs.frozen(kw_only=True)
class FoundThing:
    """One thing that matches, or where to look further."""

    what: str
    name: str
    link: str
    more: str = ""


async def find(visit: Visit) -> PageAnswer:
    """Go straight to what is named, or list what matches."""
    text = visit.query.get("q", "").strip()[:QUERY_MAX].strip("…")
    view = await visit.fleet()
    if not text:
        return _list(visit, "", [])
    if (path := await _exact(visit, view, text)) is not None:
        return Moved(to=visit.link(path))
    found = _like(visit, view, text)
    if _TAIL.fullmatch(text):
        found = [*await _tasks_in(visit, view, text), *found]
    return _list(visit, text, found)


async def _exact(visit: Visit, view: FleetView, text: str) -> str | None:
    """Return the path of the page of what is named exactly; None for nothing."""
    if _TASK_ID.fullmatch(text) and await _is_task(visit, text):
        return f"/tasks/{text}"
    if view.queue(text) is not None:
        return f"/queues/{text}"
    if any(text in (worker.id, worker.instance) for worker in view.workers):
        return f"/workers/{text}"
    try:
        await visit.client.workflow(text)
    except (WorkflowNotFound, ConfigError):
        return None
    return f"/workflows/{text}"


async def _is_task(visit: Visit, text: str) -> bool:
    try:
        await visit.client.task(text).info()
    except (TaskNotFound, ConfigError):
        return False
    except ConnectionLost:
        raise
    except RediqError:
        return True  # its page says what is wrong with it
    return True


async def _tasks_in(visit: Visit, view: FleetView, ident: str) -> list[FoundThing]:
    """Return the tasks with an id without its queue: one look in each queue, in few of them."""
    found: list[FoundThing] = []
    for queue in view.queues[:FOUND_MAX]:
        name = f"{queue.name}/{ident}"
        if await _is_task(visit, name):
            found.append(FoundThing(what="task", name=name, link=visit.link(f"/tasks/{name}")))
    return found


def _like(visit: Visit, view: FleetView, text: str) -> list[FoundThing]:
    low = text.lower()
    found = [
        FoundThing(what="queue", name=each.name, link=visit.link(f"/queues/{each.name}"))
        for each in view.queues
        if low in each.name.lower()
    ]
    found += [
        FoundThing(what="worker", name=each.id, link=visit.link(f"/workers/{each.id}"))
        for each in view.workers
        if low in each.id.lower() or low in each.host.lower()
    ]
    for each in view.queues:
        for kind in () if each.recent is None else each.recent.new_kinds:
            name, kind_of = kind.error_type or "a failure", kind.type or "a type"
            message = str(visit.hide(kind.message or "", "error"))
            if low in f"{name} {message} {kind_of}".lower():
                link = visit.link(f"/failures/{kind.kind}", queue=each.name)
                more = f"{kind_of} in {each.name}: {message}"
                found.append(FoundThing(what="new failure", name=name, link=link, more=more))
    return found[:FOUND_MAX]


def _list(visit: Visit, text: str, found: list[FoundThing]) -> Shown:
    """Return the page of what matches, with the lists in which to look further."""
    further = (
        FoundThing(
            what="failures",
            name="kinds of failure",
            link=visit.link("/failures", q=text),
            more="whose error, message or type has it",
        ),
        FoundThing(
            what="dead",
            name="dead tasks",
            link=visit.link("/dead", filter=f"error:{text}" if " " not in text else ""),
            more="whose error has it",
        ),
    )
    values = {"text": text, "found": found, "further": further if text else ()}
    return Shown(template="find.html", title=f"Find {text}" if text else "Find", values=values)


PAGES: tuple[Page, ...] = (Page("/find", find),)
ACTS: tuple[Act, ...] = ()
