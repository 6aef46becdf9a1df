"""The pages of workflows: how far each is, its graph, and what may be done to all of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio

from rediq_trio._errors import ConfigError, PayloadError, WorkflowNotFound
from rediq_trio.observe.progress import progress_of
from rediq_trio.observe.words import counted, duration, shown
from rediq_trio.observe.workflows import WorkflowView, named, read_workflow
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.observed.workflow import WORKFLOW_STATES, WorkflowStatus
from rediq_trio.web.drawing.graph import (
    NODES_MAX,
    DrawnNode,
    GraphLayout,
    draw_graph,
    lay_out_graph,
)
from rediq_trio.web.site.keeping import kept_for
from rediq_trio.web.site.page import Act, Done, NotFound, Page, Refused, Right, Shown, Visit
from rediq_trio.workflow.handle import WorkflowHandle

LAYOUT_KEPT = 60.0
"""Seconds for which the layout of a graph, which does not change, is kept."""
WORKFLOWS_SHOWN = 50
"""Workflows that a page lists."""
NODES_LISTED = 1_000
"""Nodes that a workflow's page lists."""
WORKFLOW_NAME_SHOWN = 60
FAILURE_SHOWN = 100
STATE_INKS = {
    "running": "active", "completed": "completed", "dead": "dead", "cancelled": "cancelled",
    "gone": "plain", "unreadable": "plain",
}  # fmt: skip
STATE_SHAPES = {"running": "active", "gone": "away", "unreadable": "away"}


async def show_all(visit: Visit) -> Shown:
    """Show workflows, the newest first, or those in one state."""
    state = visit.query.get("state") or None
    if state is not None and state not in WORKFLOW_STATES:
        raise NotFound(f"There is no state {shown(state, WORKFLOW_NAME_SHOWN)} of workflows.")
    after = visit.query.get("after") or None
    try:
        found = await visit.client.workflows(state=state, limit=WORKFLOWS_SHOWN, after=after)
    except ConfigError:
        raise NotFound("There is no such page of workflows.", "Begin with the newest.") from None
    return Shown(
        template="workflows.html",
        title="Workflows",
        nav="/workflows",
        values={
            "rows": [(one, _row(one, visit)) for one in found],
            "state": state,
            "states": WORKFLOW_STATES,
            "after": after,
            "older": visit.here(after=found[-1].cursor) if len(found) == WORKFLOWS_SHOWN else "",
            "newer": visit.here(after=None) if after else "",
            "stuck": [one for one in found if one.state == "running" and one.failed],
        },
    )


def _row(one: WorkflowStatus, visit: Visit) -> dict[str, Any]:
    ink = STATE_INKS[one.state]
    shape, word = STATE_SHAPES.get(one.state, one.state), one.state
    if one.state == "running" and one.failed:
        ink, shape, word = "dead", "bad", "a part failed"
    return {"ink": ink, "shape": shape, "word": word, "progress": progress_of(one)}


async def find(visit: Visit) -> WorkflowHandle[Any]:
    """Return the workflow that the path names; raise `NotFound` if there is none."""
    name = visit.params["id"]
    try:
        return await visit.client.workflow(name)
    except (ConfigError, WorkflowNotFound):
        raise NotFound(
            f"There is no workflow {shown(name, WORKFLOW_NAME_SHOWN)}.",
            "A workflow is found until none of its tasks is left, and for some time after that.",
        ) from None
    except PayloadError as error:
        raise NotFound(
            f"The workflow {shown(name, WORKFLOW_NAME_SHOWN)} cannot be read: {' '.join(str(error).split())}",
            "Start the page with the keys, or the version, of the app that made it.",
        ) from None


async def show(visit: Visit) -> Shown:
    """Show one workflow: where it stands, its graph, and its tasks."""
    view = await read_workflow(await find(visit))
    stuck, lit = view.stuck, view.lit
    names = view.ordered()
    graph = None
    if len(names) <= NODES_MAX:
        nodes = {
            name: DrawnNode(
                state="gone" if state is None else state.value,
                words=view.words(name),
                href="" if state is None else visit.link(f"/tasks/{view.ids[name]}"),
                lit=name in lit,
                here=name == stuck,
            )
            for name, state in view.states.items()
        }
        layout = await kept_for(LAYOUT_KEPT, visit.shared, f"layout {view.status.id}", partial(_layout, view))
        graph = draw_graph(layout, nodes)
    state = view.status.state
    return Shown(
        template="workflow.html",
        title=view.status.name or view.status.id,
        nav="/workflows",
        values={
            "view": view,
            "status": view.status,
            "ink": "dead" if stuck else STATE_INKS[state],
            "shape": "bad" if stuck and state == "running" else STATE_SHAPES.get(state, state),
            "word": "a part failed" if stuck and state == "running" else state,
            "why": _why(visit, view),
            "progress": progress_of(view.status),
            "queues": sorted({task.queue for task in view.tasks.values()}),
            "took": view.took,
            "graph": graph,
            "nodes_max": NODES_MAX,
            "rows": [(name, _node(view, name)) for name in names[:NODES_LISTED]],
            "more": len(names) - NODES_LISTED,
            "stuck": stuck,
        },
    )


async def _layout(view: WorkflowView) -> GraphLayout:
    return await trio.to_thread.run_sync(lay_out_graph, view.needs)  # of 500 nodes it takes 100 ms


def _node(view: WorkflowView, name: str) -> dict[str, Any]:
    state, task = view.states[name], view.tasks.get(name)
    return {
        "state": state,
        "task": task,
        "id": view.ids[name],
        "words": view.words(name),
        "needs": named(view.needs[name]),
        "waiting": sum(name in before for before in view.needs.values()),
        "first": name == view.stuck,
    }


def _why(visit: Visit, view: WorkflowView) -> tuple[str, str, str]:
    """Return a sentence about a workflow in three parts, of which the middle one is a node's name."""
    status, stuck = view.status, view.stuck
    if status.state == "gone":
        return "None of its tasks is left: they were removed, or not written yet.", "", ""
    if stuck is None:
        if status.state == "completed":
            took = "" if view.took is None else f" in {duration(view.took)}"
            return f"All of it is done{took}.", "", ""
        now = [name for name, state in view.states.items() if state is State.ACTIVE]
        if now:
            return f"{named(now)} {'runs' if len(now) == 1 else 'run'} now.", "", ""
        return "None of its tasks runs now: those that are ready wait for a worker.", "", ""
    task = view.tasks.get(stuck)
    dead = view.states[stuck] is State.DEAD
    how = "is dead" if dead else "was cancelled"
    if dead and task is not None and task.attempt:
        how += f" after {task.attempt} of {counted(task.max_retry + 1, 'attempt')}"
    error = "" if task is None else str(visit.hide(task.error or "", "error")).partition("\n")[0]
    how += f": {shown(error, FAILURE_SHOWN)}" if dead and error else ""
    behind = view.behind
    waits = f" {counted(behind, 'task')} {'waits' if behind == 1 else 'wait'} for it." if behind else ""
    verb = "Stands still at " if behind else "Failed at "
    return verb, stuck, f", which {how}.{waits} Retry it, and the rest goes on by itself."


async def ask_cancel(visit: Visit) -> Shown:
    """Ask whether all of a workflow is to be cancelled."""
    status = await (await find(visit)).status()
    number = status.running + status.waiting
    if not number:
        raise Refused(f"Nothing to cancel in {_name(status)}: {progress_of(status)}.")
    why = f"{_counted(status.waiting, 'waits', 'wait')} and will not start"
    why += f"; {_counted(status.running, 'runs', 'run')} and will be asked to stop." if status.running else "."
    return _question(
        visit, status, f"Cancel {counted(number, 'task')} of {_name(status)}?", why, f"Cancel {number:,}", True
    )  # fmt: skip


def _counted(number: int, one: str, many: str) -> str:
    return f"{counted(number, 'task')} {one if number == 1 else many}"


def _question(
    visit: Visit, status: WorkflowStatus, question: str, why: str, verb: str, ends: bool
) -> Shown:
    return Shown(
        template="question.html",
        title=question,
        nav="/workflows",
        values={
            "question": question,
            "why_text": why,
            "verb": verb,
            "ends": ends,
            "to": visit.link(visit.path),
            "back": visit.back(f"/workflows/{status.id}"),
        },
    )


def _name(status: WorkflowStatus) -> str:
    return f"the workflow {shown(status.name or status.id, WORKFLOW_NAME_SHOWN)}"


async def cancel(visit: Visit) -> Done:
    """Cancel every task of a workflow that has not ended."""
    handle = await find(visit)
    states = await handle.cancel()
    done = sum(state is State.CANCELLED for state in states.values())
    left = sum(state is State.ACTIVE for state in states.values())
    end = f"; {counted(left, 'running task')} asked to stop" if left else ""
    said = f"{counted(done, 'task')} cancelled{end}."
    return Done(said=said, to=visit.back(f"/workflows/{handle.id}"))


async def ask_retry(visit: Visit) -> Shown:
    """Ask whether what has failed in a workflow is to be made ready again."""
    status = await (await find(visit)).status()
    if not status.failed:
        raise Refused(f"Nothing to retry in {_name(status)}: {progress_of(status)}.")
    return _question(
        visit, status, f"Retry {counted(status.failed, 'task')} of {_name(status)}?",
        "Its dead and cancelled tasks become ready again, those before the ones that wait for them. What "
        "has completed stays so.",
        f"Retry {status.failed:,}", False,
    )  # fmt: skip


async def retry(visit: Visit) -> Done:
    """Make what has failed in a workflow ready again."""
    handle = await find(visit)
    number = (await handle.status()).failed
    states = await handle.retry()
    left = sum(state in (State.DEAD, State.CANCELLED) for state in states.values())
    end = f"; {counted(left, 'task')} stayed as they were" if left else ""
    said = f"{counted(max(0, number - left), 'task')} ready again{end}."
    return Done(said=said, to=visit.back(f"/workflows/{handle.id}"), failed=bool(left))


PAGES: tuple[Page, ...] = (
    Page("/workflows", show_all),
    Page("/workflows/{id}", show),
)
ACTS: tuple[Act, ...] = (
    Act("/workflows/{id}/cancel", cancel, ask_cancel, need=Right.ACT),
    Act("/workflows/{id}/retry", retry, ask_retry, need=Right.ACT),
)
