"""The workers: who is there and how they are, what they run, and the orders that they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rediq_trio._errors import did_you_mean
from rediq_trio.observe.views import FleetView
from rediq_trio.observe.words import counted, duration, read_duration, shown, size
from rediq_trio.values.task import WorkerInfo
from rediq_trio.web.fleet_parts.asking import Field, ask
from rediq_trio.web.fleet_parts.memory import GONE_SHOWN, heartbeat_of
from rediq_trio.web.fleet_parts.readings import readings_of, seen
from rediq_trio.web.fleet_parts.worker_words import (
    WorkerRow,
    fleet_why,
    gone_row,
    usual_version,
    worker_row,
)
from rediq_trio.web.site.page import (
    Act,
    Done,
    Moved,
    NotFound,
    Page,
    Refused,
    Right,
    Shown,
    Undo,
    Visit,
)

WORKERS_NAV = "/workers"
SHOWN_MAX = 200
RUNNING_LISTED = 50
WORKER_SORTS: Mapping[str, Callable[[WorkerRow], tuple[Any, ...]]] = {
    "trouble": lambda row: (-row.health.trouble, row.info.id),
    "name": lambda row: (row.info.id, row.key),
    "running": lambda row: (-row.info.running, row.info.id),
    "delay": lambda row: (-(row.info.loop_delay or 0.0), row.info.id),
    "memory": lambda row: (-(row.info.memory or 0), row.info.id),
    "heard": lambda row: (row.info.last_heartbeat, row.info.id),
}
"""What rows can be sorted by."""


async def show_list(visit: Visit) -> Shown:
    """Show all workers, and for a while those that are gone."""
    view = await seen(visit)
    version = usual_version(view.workers)
    rows = [worker_row(each, view.at, version) for each in view.workers]
    gone = readings_of(visit).memory.gone(view.at)
    wanted = visit.query.get("sort") or "trouble"
    key = wanted.removeprefix("-")
    if key not in WORKER_SORTS:
        key = wanted = "trouble"
    rows.sort(key=WORKER_SORTS[key], reverse=wanted.startswith("-"))
    values = {
        "why": fleet_why(view, gone),
        "sort": wanted,
        "view": view,
        "rows": rows[:SHOWN_MAX],
        "rows_of": len(rows),
        "gone": [gone_row(each) for each in gone],
        "gone_for": duration(GONE_SHOWN.total_seconds()),
        "tiles": tiles(view),
    }
    return Shown(template="workers.html", title="Workers", nav=WORKERS_NAV, values=values)


def tiles(view: FleetView) -> list[tuple[str, str, str, str]]:
    """Return what is said of all workers together: a label, a figure, its unit, and an ink."""
    workers = view.workers
    used, total = sum(each.running for each in workers), sum(each.concurrency for each in workers)
    ready = sum(1 for each in workers if each.health is None or each.health.ready)
    delay = max((each.loop_delay or 0.0 for each in workers), default=0.0)
    lost = sum(each.leases_lost or 0 for each in workers)
    memory = sum(each.memory or 0 for each in workers)
    versions = sorted({each.version for each in workers})
    return [
        ("Slots in use", str(used), f" of {total}", ""),
        ("Ready", str(ready), f" of {len(workers)}", "retry" if ready < len(workers) else ""),
        ("Longest loop delay", duration(delay), "", ""),
        ("Leases lost in 10 min", str(lost), "", "dead" if lost else ""),
        ("Memory", size(memory) if memory else "–", "", ""),
        (
            "Version" if len(versions) < 2 else "Versions",
            shown(", ".join(versions[:3])) or "–",
            f" and {len(versions) - 3} more" if len(versions) > 3 else "",
            "",
        ),
    ]


async def show(visit: Visit) -> Shown:
    """Show one worker: all that it said in its last heartbeat."""
    view, wanted = await seen(visit), visit.params["worker"]
    found = matching(view, wanted)
    if len(found) > 1:
        raise Refused(
            f"{counted(len(found), 'live worker')} are named {shown(wanted, 80)}",
            "Choose one of them in the list of workers.",
            300,
        )
    if not found:
        return _gone(visit, view, wanted)
    info = found[0]
    row = worker_row(info, view.at, usual_version(view.workers), most=RUNNING_LISTED)
    values = {
        "row": row,
        "info": info,
        "view": view,
        "queues": [(name, view.queue(name)) for name in info.queues],
        "beat": duration(heartbeat_of(info)),
        "settings": sorted((info.settings or {}).items()),
        "stacks": None,
    }
    return Shown(template="worker.html", title=info.id, nav=WORKERS_NAV, values=values)


def matching(view: FleetView, wanted: str) -> list[WorkerInfo]:
    """Return the live workers of that instance, or else of that id."""
    exact = [each for each in view.workers if each.instance == wanted]
    return exact or [each for each in view.workers if each.id == wanted]


def _gone(visit: Visit, view: FleetView, wanted: str) -> Shown:
    for each in readings_of(visit).memory.gone(view.at):
        if wanted in (each.info.instance, each.info.id):
            row = gone_row(each)
            values = {
                "row": row, "view": view, "info": each.info,
                "queues": [(name, view.queue(name)) for name in each.info.queues],
                "beat": duration(heartbeat_of(each.info)), "settings": [], "stacks": None,
            }  # fmt: skip
            return Shown(template="worker.html", title=each.info.id, nav=WORKERS_NAV, values=values)
    hint = did_you_mean(wanted, [each.id for each in view.workers])
    raise NotFound(
        f"there is no live worker {shown(wanted, 128)}{hint}",
        "It ended, or it never was: one that is gone is shown for "
        f"{duration(GONE_SHOWN.total_seconds())}. Its tasks have its name in their attempts.",
    )


async def _named(visit: Visit) -> tuple[str, WorkerInfo]:
    """Return the worker of the path by what tells it apart; raise if there is none."""
    handle = visit.client.worker(visit.params["worker"])
    info = await handle.info()
    return info.instance or info.id, info


def _path(key: str) -> str:
    return f"/workers/{key}"


async def quiet(visit: Visit) -> Done:
    """Order a worker to claim nothing."""
    key, info = await _named(visit)
    await visit.client.worker(key).quiet()
    rest = (
        f": it finishes the {counted(info.running, 'attempt')} that it runs" if info.running else ""
    )
    undo = Undo(path=f"{_path(key)}/work", word="Work")
    return Done(said=f"{info.id} claims nothing now{rest}.", to=visit.back(_path(key)), undo=undo)


async def ask_quiet(visit: Visit) -> Shown:
    """Ask whether a worker is to claim nothing."""
    key, info = await _named(visit)
    runs = counted(info.running, "attempt")
    why = f"It claims nothing any more, and finishes what it runs, {runs}. Its queues are left to others."
    return ask(visit, f"Quiet {info.id}?", why, "Quiet", nav=WORKERS_NAV, otherwise=_path(key))


async def work(visit: Visit) -> Done:
    """Order a quiet worker to claim tasks again."""
    key, info = await _named(visit)
    await visit.client.worker(key).work()
    return Done(said=f"{info.id} claims tasks again.", to=visit.back(_path(key)))


async def ask_work(visit: Visit) -> Shown:
    """Ask whether a worker is to claim tasks again."""
    key, info = await _named(visit)
    return ask(
        visit,
        f"Let {info.id} work?",
        "It claims tasks again.",
        "Work",
        nav=WORKERS_NAV,
        otherwise=_path(key),
    )


async def ask_stop(visit: Visit) -> Shown:
    """Ask how long a worker that is to stop has for what it runs."""
    _, info = await _named(visit)
    grace = (info.settings or {}).get("shutdown_grace")
    own = duration(grace) if isinstance(grace, int | float) else "its own setting"
    runs = counted(info.running, "attempt")
    why = (
        f"It claims nothing any more, and the {runs} that it runs have {own} to end; what has not ended then "
        "goes back to its queue, and no attempt is charged. Whatever supervises the process may start it "
        "again."
    )  # fmt: skip
    fields = [Field(
        name="grace", label="Time to end", most=20, placeholder=own,
        hint="like 30s or 5m; nothing for its own setting",
    )]  # fmt: skip
    return ask(
        visit, f"Stop {info.id}?", why, f"Stop {info.id}", nav=WORKERS_NAV,
        otherwise=WORKERS_NAV, fields=fields, hard=True,
    )  # fmt: skip


async def stop(visit: Visit) -> Done:
    """Order a worker to stop gracefully."""
    key, info = await _named(visit)
    text = (visit.form.get("grace") or "").strip()
    try:
        grace = read_duration(text) if text else None
    except ValueError:
        raise Refused(
            f"a time must be like 30s or 5m, not {shown(text, 40)}", "Go back, and change it."
        ) from None
    await visit.client.worker(key).stop(grace=grace)
    return Done(said=f"{info.id} is stopping.", to=visit.link(WORKERS_NAV))


async def to_worker(visit: Visit) -> Moved:
    """Lead to the worker: where its attempts are is only said in answer to a form."""
    return Moved(to=visit.link(_path(visit.params["worker"])))


async def stacks(visit: Visit) -> Shown:
    """Ask a worker where its running attempts are, and show the answer."""
    key, info = await _named(visit)
    view = await seen(visit)
    found = await visit.client.worker(key).stacks()
    row = worker_row(info, view.at, usual_version(view.workers), most=RUNNING_LISTED)
    values = {
        "row": row, "view": view, "info": info, "queues": [(name, view.queue(name)) for name in info.queues],
        "beat": duration(heartbeat_of(info)), "settings": sorted((info.settings or {}).items()),
        "stacks": [(task, [shown(line) for line in text.splitlines()]) for task, text in found.items()],
    }  # fmt: skip
    return Shown(template="worker.html", title=info.id, nav=WORKERS_NAV, values=values)


PAGES: tuple[Page, ...] = (Page("/workers", show_list), Page("/workers/{worker}", show))
ACTS: tuple[Act, ...] = (
    Act("/workers/{worker}/quiet", quiet, ask_quiet, Right.CHANGE),
    Act("/workers/{worker}/work", work, ask_work, Right.CHANGE),
    Act("/workers/{worker}/stop", stop, ask_stop, Right.CHANGE),
    Act("/workers/{worker}/stacks", stacks, to_worker, Right.ACT),
)
