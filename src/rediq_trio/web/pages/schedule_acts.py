"""What may be done to schedules: run now, pause, resume, remove, add and edit."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from rediq_trio._errors import ConfigError, RediqError, ScheduleNotFound, did_you_mean
from rediq_trio.observe.words import read_duration, relative, shown
from rediq_trio.schedules.admin import ScheduleInfo
from rediq_trio.schedules.changing import change_recurrence
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.task import Task
from rediq_trio.web.site.page import Act, Done, NotFound, Refused, Right, Shown, Undo, Visit

SCHEDULE_NAME_SHOWN = 100
CATCH_UP_WORDS = {
    "skip": "leave them out, but for one that is just late",
    "once": "make up for the latest",
    "all": "make up for each",
}
OVERLAP_WORDS = {"allow": "enqueue the next one all the same", "skip": "skip the tick"}


async def find(visit: Visit) -> ScheduleInfo:
    """Return the schedule that the path names; raise `NotFound` if there is none."""
    name = visit.params["name"]
    try:
        return await visit.client.schedules().get(name)
    except ScheduleNotFound:
        raise await not_there(visit, name) from None


async def not_there(visit: Visit, name: str) -> NotFound:
    """Return the error for a schedule that is not there, with one whose name is like it."""
    names = [each.name for each in await visit.client.schedules().list()]
    said = f"There is no schedule {shown(name, SCHEDULE_NAME_SHOWN)}{did_you_mean(name, names)}."
    return NotFound(said, "It was removed, or the app that declared it no longer does.")


def _path(info: ScheduleInfo) -> str:
    return f"/schedules/{info.name}"


async def run_now(visit: Visit) -> Done:
    """Enqueue one of its tasks now."""
    info = await find(visit)
    handle = await visit.client.schedules().trigger(info.name)
    if handle.created:
        said = f"Enqueued {handle.id} of the schedule {info.name}."
    else:
        said = f"Nothing was enqueued: {handle.id} holds the unique key of {info.name}."
    return Done(said=said, to=visit.back(_path(info)), failed=not handle.created)


async def ask_pause(visit: Visit) -> Shown:
    """Ask whether a schedule is to be paused."""
    info = await find(visit)
    next_one = "" if info.next_run is None else f" Its next tick would be {relative(info.next_run, visit.now)}."
    return _question(
        visit, info, f"Pause {info.name}?",
        f"It will not tick until somebody resumes it; tasks that it has enqueued stay.{next_one}",
        "Pause",
    )  # fmt: skip


async def pause(visit: Visit) -> Done:
    """Stop its ticks."""
    info = await find(visit)
    await visit.client.schedules().pause(info.name)
    undo = Undo(path=f"{_path(info)}/resume", word="Resume")
    return Done(said=f"Paused {info.name}.", to=visit.back(_path(info)), undo=undo)


async def ask_remove(visit: Visit) -> Shown:
    """Ask whether a schedule is to be removed."""
    info = await find(visit)
    why = "It will not tick again; tasks that it has enqueued stay."
    if info.owner is not None:
        why += (
            f" The app {info.owner} declares it: it stays removed, also when its workers start, until "
            "somebody resumes or adds it."
        )
    return _question(visit, info, f"Remove {info.name}?", why, "Remove", ends=True)


async def remove(visit: Visit) -> Done:
    """Remove it; its tasks stay."""
    info = await find(visit)
    await visit.client.schedules().remove(info.name)
    undo = None
    if info.owner is not None:
        undo = Undo(path=f"{_path(info)}/resume", word="Declare again")
    return Done(said=f"Removed {info.name}.", to=visit.link("/schedules"), undo=undo)


def _question(
    visit: Visit, info: ScheduleInfo, question: str, why: str, verb: str, *, ends: bool = False
) -> Shown:
    return Shown(
        template="question.html",
        title=question,
        nav="/schedules",
        values={
            "question": question,
            "why_text": why,
            "verb": verb,
            "ends": ends,
            "to": visit.link(visit.path),
            "back": visit.back(_path(info)),
        },
    )


async def resume(visit: Visit) -> Done:
    """Resume a schedule, one that was removed and that an app declares too."""
    name = visit.params["name"]
    try:
        await visit.client.schedules().resume(name)
    except ScheduleNotFound:
        raise await not_there(visit, name) from None
    return Done(said=f"{name} ticks again.", to=visit.back(f"/schedules/{name}"))


FORM_AT_FIRST = {
    "name": "", "how": "every", "every": "1h", "line": "0 2 * * *", "timezone": "UTC", "catch_up": "skip",
    "overlap": "allow", "type": "", "queue": "default", "priority": "50", "payload": "{}",
}  # fmt: skip
"""The fields of the form for a schedule, as they are at first."""
RECURRENCE_FIELDS = ("how", "every", "line", "timezone", "catch_up", "overlap")
"""Those that say when it ticks."""


async def ask_add(visit: Visit) -> Shown:
    """Show the form for a new schedule."""
    return await _form(visit, {key: visit.query.get(key, value) for key, value in FORM_AT_FIRST.items()})


async def _form(
    visit: Visit, given: dict[str, str], error: str = "", *, fixed: bool = False
) -> Shown:
    workers = (await visit.fleet()).workers
    return Shown(
        template="schedule_form.html",
        title=f"Edit {given['name']}" if fixed else "Add a schedule",
        nav="/schedules",
        status=400 if error else 200,
        values={
            "given": given,
            "error": error,
            "fixed": fixed,
            "types": sorted({kind for worker in workers for kind in worker.types or ()}),
            "queues": [queue.name for queue in (await visit.fleet()).queues],
            "catch_ups": CATCH_UP_WORDS,
            "overlaps": OVERLAP_WORDS,
            "to": visit.link(visit.path),
            "back": visit.back("/schedules"),
        },
    )


async def add(visit: Visit) -> Done | Shown:
    """Add a schedule; one of that name is replaced only if the form says so."""
    given = {key: visit.form.get(key, value).strip() for key, value in FORM_AT_FIRST.items()}
    try:
        when, task = _recurrence(given), _task(given)
        if visit.form.get("replace") is None:
            await _check_new(visit, given["name"])
        info = await visit.client.schedules().add(given["name"], when, task)
    except RediqError as error:
        if not isinstance(error, ConfigError | Refused):
            raise
        return await _form(visit, given, " ".join(str(error).split()))
    return Done(said=f"Added {info.name}.", to=visit.link(_path(info)))


async def _check_new(visit: Visit, name: str) -> None:
    names = [each.name for each in await visit.client.schedules().list()]
    if name in names:
        raise Refused(f"name: there is a schedule {name} already: tick Replace to replace it")


def _recurrence(given: dict[str, str]) -> Every | Cron:
    """Return when the form says that it ticks; raise `ConfigError`."""
    rules: Any = {key: given[key] for key in ("catch_up", "overlap")}
    if given["how"] == "cron":
        return Cron(given["line"], given["timezone"], **rules)
    try:
        seconds = read_duration(given["every"])
    except ValueError as error:
        raise ConfigError(f"every: {error}") from None
    return Every(dt.timedelta(seconds=seconds), **rules)


def _task(given: dict[str, str]) -> Task[Any]:
    """Return the task that the form describes; raise `ConfigError`."""
    try:
        payload = json.loads(given["payload"] or "{}")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"payload: no JSON: {error}") from None
    if not given["priority"].isascii() or not given["priority"].isdecimal():
        raise ConfigError.of("priority", given["priority"], "a number, 0 (first) to 100 (last)")
    priority = int(given["priority"][:9])
    return Task(given["type"], payload, queue=given["queue"], priority=priority)


async def ask_edit(visit: Visit) -> Shown:
    """Show the form for when a schedule ticks."""
    info = await find(visit)
    return await _form(visit, _given_of(_editable(info)), fixed=True)


def _editable(info: ScheduleInfo) -> ScheduleInfo:
    if info.owner is not None:
        raise Refused(
            f"The app {shown(info.owner, SCHEDULE_NAME_SHOWN)} declares the schedule {info.name}: its workers "
            "would undo a change.",
            "Change it in the app.",
            409,
        )
    return info


def _given_of(info: ScheduleInfo) -> dict[str, str]:
    """Return the fields of the form as they are now."""
    given = FORM_AT_FIRST | {"name": info.name, "type": info.type, "queue": info.queue}
    when = info.when
    if isinstance(when, Cron):
        given |= {"how": "cron", "line": when.line, "timezone": when.timezone}
    elif when is not None:
        given["every"] = f"{when.seconds:g}s"
    if when is not None:
        given |= {"catch_up": when.catch_up, "overlap": when.overlap}
    return given


async def edit(visit: Visit) -> Done | Shown:
    """Change when a schedule ticks; its task stays as it is."""
    info = _editable(await find(visit))
    known = _given_of(info)
    given = known | {key: visit.form.get(key, known[key]).strip() for key in RECURRENCE_FIELDS}
    try:
        when = _recurrence(given)
    except ConfigError as error:
        return await _form(visit, given, " ".join(str(error).split()), fixed=True)
    changed = await change_recurrence(visit.client.schedules(), info.name, when)
    said = f"{info.name} ticks {changed.description}."
    return Done(said=said, to=visit.back(_path(info)))


ACTS: tuple[Act, ...] = (
    Act("/schedules/{name}/run", run_now, need=Right.ACT),
    Act("/schedules/{name}/pause", pause, ask_pause, need=Right.CHANGE),
    Act("/schedules/{name}/resume", resume, need=Right.CHANGE),
    Act("/schedules/{name}/remove", remove, ask_remove, need=Right.CHANGE),
    Act("/schedules/{name}/edit", edit, ask_edit, need=Right.CHANGE),
    Act("/add/schedule", add, ask_add, need=Right.CHANGE),
)
