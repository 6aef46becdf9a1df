"""The pages of schedules: when each ticks, what became of its ticks, and what may be done to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rediq_trio._errors import RediqError
from rediq_trio.observe.recurrence import in_words, next_ticks
from rediq_trio.observe.schedules import (
    Condition,
    KeptTicks,
    SeenSchedule,
    lateness_of,
    read_newest,
    read_schedules,
    read_ticks,
    tick_of,
)
from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import counted
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.web.drawing.ticks import draw_day, draw_ticks
from rediq_trio.web.pages.schedule_acts import ACTS, not_there
from rediq_trio.web.site.keeping import kept_for
from rediq_trio.web.site.page import Page, Shown, Visit

NEXT_SHOWN = 5
"""Ticks to come that a schedule's page names."""
TICKS_KEPT_FOR = 20.0
"""Seconds for which the ticks that were read are shown again."""
AHEAD_DRAWN = 20
"""Schedules whose ticks of the next day are drawn."""
AHEAD = dt.timedelta(hours=24)
_LEVELS = (Condition.BAD, Condition.WARNING, Condition.WELL, Condition.OFF)
_SHAPES = {Condition.BAD: "bad", Condition.WARNING: "warning", Condition.OFF: "off"}
_INKS = {Condition.BAD: "dead", Condition.WARNING: "retry", Condition.OFF: "cancelled"}


def _served(fleet: FleetView) -> set[str]:
    return {queue for worker in fleet.workers for queue in worker.queues}


def _row(view: SeenSchedule, ticks: KeptTicks | None) -> dict[str, Any]:
    info, when = view.info, view.info.when
    shape = _SHAPES.get(view.condition, "completed")
    if view.condition is Condition.WELL and view.state is not None:
        shape = view.state.value
    return {
        "view": view,
        "short": view.said.removeprefix("its last task is ").removeprefix("its last task ").removeprefix("it "),
        "info": info,
        "words": None if when is None else in_words(when),
        "line": when.line if isinstance(when, Cron) else None,
        "zone": when.timezone if isinstance(when, Cron) else "UTC",
        "every": isinstance(when, Every),
        "shape": shape,
        "ink": _INKS.get(view.condition, shape if shape == "active" else "plain"),
        "ticks": None if ticks is None else draw_ticks(ticks.outcomes(info)),
        "late": view.late,
    }


async def show_all(visit: Visit) -> Shown:
    """Show all schedules, those first that need someone."""
    fleet = await visit.fleet()
    views = await read_schedules(visit.client, _served(fleet))
    views.sort(key=lambda view: (_LEVELS.index(view.condition), view.info.name))
    ticks: dict[str, Mapping[str, KeptTicks]] = {}
    for queue in sorted({view.info.queue for view in views}):
        ticks[queue] = await kept_for(
            TICKS_KEPT_FOR, visit.shared, f"ticks {queue}", partial(_newest, visit, queue)
        )
    return Shown(
        template="schedules.html",
        title="Schedules",
        nav="/schedules",
        values={
            "rows": [_row(view, ticks[view.info.queue].get(view.info.name)) for view in views],
            "worst": [view for view in views if view.condition is Condition.BAD],
            "warned": [view for view in views if view.condition is Condition.WARNING],
            "paused": sum(view.info.paused for view in views),
            "ahead": _ahead(views, visit.now),
            "hours": [visit.now + AHEAD * part / 6 for part in range(7)],
        },
    )


async def _newest(visit: Visit, queue: str) -> Mapping[str, KeptTicks]:
    try:
        return await read_newest(visit.shared.client, queue)
    except RediqError:
        return {}  # the table is of use without them


def _ahead(views: Sequence[SeenSchedule], now: dt.datetime) -> list[tuple[str, str, object]]:
    """Return the schedules whose next ticks are drawn: the name, a note, and the drawing."""
    found: list[tuple[str, str, object]] = []
    for view in [view for view in views if view.info.when is not None][:AHEAD_DRAWN]:
        ticks = _ticks_until(view, now)
        drawing = draw_day(ticks, paused=view.info.paused)
        found.append((view.info.name, "paused" if view.info.paused else "", drawing))
    return found


def _ticks_until(view: SeenSchedule, now: dt.datetime) -> list[float] | None:
    """Return where in the next day it ticks, as parts of 1; None for too many ticks to tell apart."""
    assert view.info.when is not None
    found: list[float] = []
    at = now
    while len(found) <= 48:
        at = view.info.when.next_after(at)
        if at > now + AHEAD:
            return found
        found.append((at - now) / AHEAD)
    return None


async def find(visit: Visit) -> SeenSchedule:
    """Return the schedule that the path names; raise `NotFound` if there is none."""
    name = visit.params["name"]
    fleet = await visit.fleet()
    found = await read_schedules(visit.client, _served(fleet), (name,))
    if not found:
        raise await not_there(visit, name)
    return found[0]


async def show(visit: Visit) -> Shown:
    """Show one schedule: when it ticks next, and what became of its last ticks."""
    view = await find(visit)
    info = view.info
    try:
        ticks = await kept_for(
            TICKS_KEPT_FOR,
            visit.shared,
            f"ticks {info.queue} {info.name} {info.last_task_id}",
            partial(read_ticks, visit.shared.client, info),
        )
    except RediqError:
        ticks = KeptTicks(tasks=(), whole=False)
    lateness = sorted(
        late for task in ticks.tasks if (late := lateness_of(task, view.at)) is not None
    )
    return Shown(
        template="schedule.html",
        title=info.name,
        nav="/schedules",
        values={
            **_row(view, ticks),
            "next": [] if info.when is None else next_ticks(info, view.at, NEXT_SHOWN),
            "kept": ticks,
            "counts": [
                (state.value, number) for state in State if (number := ticks.count(state))
            ],
            "tasks": [(task, tick_of(task), lateness_of(task, view.at)) for task in ticks.tasks],
            "middle": lateness[len(lateness) // 2] if lateness else None,
            "most": lateness[-1] if lateness else None,
            "overlap": _overlap(view, ticks),
        },
    )


def _overlap(view: SeenSchedule, ticks: KeptTicks) -> str:
    """Return what happens to a tick while the task before it runs, and whether it does now."""
    when = view.info.when
    if when is None:
        return ""
    rule = "is skipped" if when.overlap == "skip" else "enqueues its task all the same"
    now = f"; {counted(ticks.at_once, 'task')} of it run now" if ticks.at_once > 1 else ""
    return f"a tick {rule} while the task of the tick before has not ended{now}"


__all__ = ["ACTS", "PAGES"]

PAGES: tuple[Page, ...] = (
    Page("/schedules", show_all),
    Page("/schedules/{name}", show),
)
