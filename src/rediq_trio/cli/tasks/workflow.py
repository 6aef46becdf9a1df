"""`rediq workflow`: what an operator sees of workflows, and does to them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from rediq_trio.cli.flags import AddParser
from rediq_trio.cli.operate.output import cell
from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.verbs import AFTER, LIMIT, Verbs, check_count
from rediq_trio.cli.statuses import DONE, FAILED
from rediq_trio.observe.progress import progress_of
from rediq_trio.observe.words import count, counted, relative, shown, when
from rediq_trio.observe.workflows import read_workflow
from rediq_trio.spec.lifecycle import State
from rediq_trio.values.chance import utc_now
from rediq_trio.values.observed.workflow import WORKFLOW_STATES, WorkflowStatus
from rediq_trio.workflow.handle import WorkflowHandle
from rediq_trio.workflow.plan import layers

HEADS = ("workflow", "name", "state", "done", "running", "waiting", "dead", "created")
WORKFLOW: tuple[str, dict[str, Any]] = (
    "workflow",
    {"metavar": "ID", "help": "the workflow's id, as 'rediq workflow list' shows it"},
)
STATE: tuple[str, dict[str, Any]] = (
    "--state",
    {"choices": WORKFLOW_STATES, "help": "only those in this state"},
)
OLDEST: tuple[str, dict[str, Any]] = (
    "--oldest",
    {"action": "store_true", "help": "begin with the oldest"},
)
LETTERS: Mapping[State | None, str] = {
    State.COMPLETED: "C", State.ACTIVE: "A", State.PENDING: "P", State.BLOCKED: "B", State.SCHEDULED: "S",
    State.RETRY: "R", State.DEAD: "D", State.CANCELLED: "X", State.GROUPED: "G", None: "-",
}  # fmt: skip
"""How a drawing shows the state of a node; None is for one that is gone."""
NAMED_NEEDS = 8
"""Nodes that a line of a drawing names, at most."""


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(description="List, show, cancel and retry workflows.")
    verbs = Verbs.of(parser)
    verbs.add(
        "list", list_workflows, "list workflows, the newest first", STATE, LIMIT, AFTER, OLDEST
    )
    verbs.add("show", show, "draw a workflow with the states of its tasks", WORKFLOW)
    verbs.add(
        "cancel", cancel, "cancel all of its tasks that have not ended", WORKFLOW, destroys=True
    )
    verbs.add(
        "retry", retry, "make its dead and cancelled tasks ready again", WORKFLOW, destroys=True
    )
    return parser


async def list_workflows(session: Session) -> int:
    options = session.arguments
    limit = check_count("--limit", options.limit)
    found = await session.client.workflows(
        newest=not options.oldest, state=options.state, limit=limit, after=options.after
    )
    for one in found:
        session.out.object(_facts(one))
    session.out.table(HEADS, [_row(one) for one in found])
    if not found:
        session.out.say(f"no workflow is {options.state}" if options.state else "no workflows")
    elif len(found) == limit:
        session.out.say(f"next page: --after {found[-1].cursor}")
    return DONE


def _facts(status: WorkflowStatus) -> dict[str, object]:
    derived = ("done", "running", "failed", "waiting")
    return {
        **attrs.asdict(status, recurse=False),
        "counts": {state.value: number for state, number in status.counts.items()},
        **{name: getattr(status, name) for name in derived},
    }


def _row(one: WorkflowStatus) -> tuple[str, ...]:
    return (
        cell(one.id), cell(one.name, 40), one.state, f"{count(one.done)}/{count(one.total)}",
        count(one.running), count(one.waiting), count(one.failed), relative(one.created_at, utc_now()),
    )  # fmt: skip


async def show(session: Session) -> int:
    """Draw a workflow; the status says whether it has failed."""
    handle = await session.client.workflow(session.arguments.workflow)
    view = await read_workflow(handle)
    status = view.status
    nodes = [
        {"name": name, "task": view.ids[name], "state": state, "after": tuple(view.needs[name])}
        for name, state in view.states.items()
    ]
    session.out.object({**_facts(status), "nodes": nodes})
    session.out.fields(f"workflow {cell(status.name)}", [
        ("id", cell(status.id)), ("state", status.state), ("progress", progress_of(status)),
        ("created", when(status.created_at, view.at)),
    ])  # fmt: skip
    session.out.say()
    for line in drawn(view.needs, view.states):
        session.out.say(line)
    session.out.say()
    if view.stuck is not None:
        session.out.say(f"next: rediq task show {shown(view.ids[view.stuck])}")
    if status.failed:
        session.out.say(f"next: rediq workflow retry {shown(status.id)}")
    return FAILED if status.state in ("dead", "cancelled") else DONE


def drawn(needs: Mapping[str, Sequence[str]], states: Mapping[str, State | None]) -> Iterator[str]:
    """Return the lines of a drawing: each node below those that it waits for.

    A node is indented by the earliest step in which it can run, and has the letter of its state. The
    last line says what the letters mean. Names are shown with their control characters escaped.
    """
    steps = layers(needs)
    for name in sorted(needs, key=lambda each: steps[each]):
        before = needs[name]
        after = ""
        if before:
            named = ", ".join(shown(each, 40) for each in before[:NAMED_NEEDS])
            more = len(before) - NAMED_NEEDS
            after = f"  <- {named}" + (f" and {more:,} more" if more > 0 else "")
        yield f"{'  ' * steps[name]}[{LETTERS[states[name]]}] {shown(name)}{after}"
    used = dict.fromkeys(states.values())
    yield "  ".join(
        f"{LETTERS[one]} {one.value if one else 'gone'}" for one in LETTERS if one in used
    )


async def cancel(session: Session) -> int:
    return await _change(session, "cancel")


async def retry(session: Session) -> int:
    return await _change(session, "retry")


async def _change(session: Session, verb: str) -> int:
    handle = await session.client.workflow(session.arguments.workflow)
    status = await handle.status()
    number = status.failed if verb == "retry" else status.running + status.waiting
    if not number:
        said = f"nothing to {verb} in {shown(_named(handle))}: {progress_of(status)}"
        return session.done(said, id=handle.id, changed=0)
    if not await session.agreed(f"{verb} {counted(number, 'task')} of {shown(_named(handle))}"):
        return DONE
    if verb == "cancel":
        states = await handle.cancel()
        left = sum(state is State.ACTIVE for state in states.values())
        end = f"; {counted(left, 'running task')} asked to stop" if left else ""
        done = sum(state is State.CANCELLED for state in states.values())
        return session.done(
            f"{counted(done, 'task')} cancelled{end}", id=handle.id, cancelled=done, stopping=left
        )
    states = await handle.retry()
    left = sum(state in (State.DEAD, State.CANCELLED) for state in states.values())
    done = max(0, number - left)
    end = f"; {counted(left, 'task')} stayed as they were" if left else ""
    session.done(f"{counted(done, 'task')} ready again{end}", id=handle.id, retried=done, left=left)
    return FAILED if left else DONE


def _named(handle: WorkflowHandle[Any]) -> str:
    return f"workflow {handle.id}" if handle.name is None else f"workflow {handle.name}"
