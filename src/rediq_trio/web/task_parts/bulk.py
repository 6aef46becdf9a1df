"""What is asked before many tasks are changed, and what then begins.

The question counts what would be done and what would be refused, for as long as a person waits for a page;
what is too many to look at is found out while it is done.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import attrs
import trio

from rediq_trio._errors import ConfigError, NewerTask, TaskNotFound, TaskStateError
from rediq_trio.admin.selection import Selection
from rediq_trio.client import Client
from rediq_trio.observe.words import counted, duration, shown
from rediq_trio.spec.lifecycle import State
from rediq_trio.tasks.for_each import try_each
from rediq_trio.values.bounds import check_name
from rediq_trio.values.filters import FilterOptions
from rediq_trio.values.limits import MAX_RATE
from rediq_trio.values.observed.bulk import BulkProgress, Possible
from rediq_trio.web.site.page import Done, Moved, PageAnswer, Refused, Right, Shown, Visit
from rediq_trio.web.site.work import (
    BulkWork,
    Question,
    RowSteps,
    Wanted,
    WorkPart,
    ask,
    begin,
    question_of,
    soon_over,
)
from rediq_trio.web.task_parts.life import ENDED_STATES

PREVIEW_SECONDS = 2.0
"""Seconds for which a page counts what can be done."""
TYPED_ABOVE = 10_000
"""With more tasks, the name of the queue is typed."""
ROWS_MAX = 1000
"""Single tasks that are changed at once."""
RATE_OFFERED = 100
"""Tasks a second that the page of dead tasks offers."""


@attrs.frozen
class BulkVerb:
    """One change of many tasks."""

    word: str
    """What its button says."""
    past: str
    """What was done to the tasks, for people."""
    becomes: str
    """What becomes of a task."""
    need: Right
    states: tuple[State, ...]
    """The states whose tasks it changes."""


BULK_VERBS: Mapping[str, BulkVerb] = MappingProxyType({
    "retry": BulkVerb("Retry", "ready again", "become ready again, at their old priority, with new counters",
                      Right.ACT, (State.DEAD, State.CANCELLED)),
    "cancel": BulkVerb("Cancel", "cancelled", "are cancelled; those that run are asked to stop",
                       Right.ACT, tuple(state for state in State if state not in ENDED_STATES)),
    "delete": BulkVerb("Delete", "deleted", "are deleted with their results; this cannot be undone",
                       Right.CHANGE, tuple(state for state in State if state is not State.ACTIVE)),
    "requeue": BulkVerb("Move", "moved", "are moved to the other queue, with new ids and counters",
                        Right.CHANGE, (State.SCHEDULED, State.PENDING, State.RETRY, State.DEAD, State.CANCELLED)),
})  # fmt: skip
"""The changes of many tasks, by their names in URLs."""


@attrs.frozen(kw_only=True)
class BulkTarget:
    """Tasks in one state of one queue: those that a filter chooses, or single ones."""

    queue: str
    state: State
    options: FilterOptions = attrs.field(factory=FilterOptions)
    ids: tuple[str, ...] = ()
    list_url: str = ""
    """Where these tasks are listed."""


@attrs.frozen
class BulkCounts:
    """How many can be changed, and how many cannot, by the reason; None for what was not counted."""

    can: int | None
    cannot: Mapping[str, int]
    of: int
    """How many there are at most."""


async def ask_about(
    visit: Visit,
    verb: str,
    targets: Sequence[BulkTarget],
    which: str,
    *,
    back: str,
    nav: str,
    rate: int | None = None,
) -> PageAnswer:
    """Return the page that asks about a change. `which` is what the tasks have in common, for people."""
    wanted = BULK_VERBS[verb]
    parts: list[WorkPart] = []
    selections: list[tuple[BulkTarget, Selection | None]] = []
    for target in targets:
        selection = await _selected(visit.client, wanted, target)
        selections.append((target, selection))
        steps = _steps(visit.client, verb, target, selection)
        parts.append(WorkPart(target.queue, target.state.value, steps, target.list_url))
    counts = await _counts(visit, verb, selections)
    number = counts.of if counts.can is None else counts.can + sum(counts.cannot.values())
    state_words = {target.state.value for target in targets}
    noun = f"{next(iter(state_words))} task" if len(state_words) == 1 else "task"
    queues = sorted({target.queue for target in targets})
    typed = ""
    if number > TYPED_ABOVE or (counts.can is None and counts.of > TYPED_ABOVE):
        typed = queues[0] if len(queues) == 1 else "all queues"
    many = f"up to {counted(counts.of, noun)}" if counts.can is None else counted(counts.can, noun)
    question = ask(
        visit.shared,
        Question(
            who=visit.visitor.name, verb=verb, title=f"{wanted.word} {many}{which}", parts=tuple(parts),
            count=None if counts.can is None else number, typed=typed, back=back,
        ),
    )  # fmt: skip
    at = max((one.at for _, one in selections if one is not None), default=visit.now)
    values = {
        "verb": verb, "wanted": wanted, "many": many, "which": which, "counts": counts, "token": question.token,
        "typed": typed, "back": back, "at": at, "rate": rate, "number": number, "queues": queues,
        "exported": _export_url(visit, targets) if verb == "delete" else "", "rows": any(t.ids for t in targets),
        "takes": duration(number / rate) if rate else "",
    }  # fmt: skip
    return Shown(
        template="ask_bulk.html", title=f"{wanted.word} {many}{which}?", nav=nav, values=values
    )


async def _selected(client: Client, wanted: BulkVerb, target: BulkTarget) -> Selection | None:
    """Return the selection of a target, None for single tasks; raise `Refused` for what cannot be."""
    if target.state not in wanted.states:
        states = ", ".join(wanted.states)
        what = f"{wanted.word.lower()} is not for {target.state.value} tasks"
        raise Refused(what, f"It is for tasks that are {states}.")
    if len(target.ids) > ROWS_MAX:
        some = counted(len(target.ids), "task")
        raise Refused(f"{some} were selected, and at most {ROWS_MAX:,} can be", "Use a filter.")
    if target.ids:
        return None
    return await client.queue(target.queue).select(target.state, **target.options)


def _export_url(visit: Visit, targets: Sequence[BulkTarget]) -> str:
    if len(targets) != 1 or targets[0].ids:
        return ""
    one = targets[0]
    line = visit.query.get("filter", "")
    return visit.link(f"/queues/{one.queue}/{one.state.value}/export", filter=line)


async def _counts(
    visit: Visit, verb: str, selections: Sequence[tuple[BulkTarget, Selection | None]]
) -> BulkCounts:
    can, cannot, most = 0, Counter[str](), 0
    stats = {each.name: each.stats for each in (await visit.fleet()).queues}
    for target, selection in selections:
        of = 0 if target.queue not in stats else getattr(stats[target.queue], target.state.value)
        most += len(target.ids) if selection is None else of
    with trio.move_on_after(PREVIEW_SECONDS) as looking:
        for target, selection in selections:
            if selection is None:
                found = await _possible_rows(visit.client, verb, target)
            else:
                preview = await selection.preview()
                found = getattr(preview, verb)
            can += found.can
            cannot.update(found.cannot)
    if looking.cancelled_caught:
        return BulkCounts(None, {}, most)
    return BulkCounts(can, dict(cannot), can + cannot.total())


async def _possible_rows(client: Client, verb: str, target: BulkTarget) -> Possible:
    infos, failures = await try_each(target.ids, lambda each: client.task(each).info())
    cannot = Counter[str]()
    for error in failures.values():
        if isinstance(error, TaskNotFound):
            cannot["it is gone"] += 1
        elif isinstance(error, NewerTask):
            cannot["a newer version wrote it"] += 1
        else:
            raise error
    for info in infos.values():
        if info.state is not target.state:
            cannot[f"it is {info.state.value} now"] += 1
    return Possible(can=len(target.ids) - cannot.total(), cannot=dict(cannot))


def _steps(client: Client, verb: str, target: BulkTarget, selection: Selection | None) -> Any:
    def steps(wanted: Wanted) -> AsyncIterator[BulkProgress]:
        if selection is None:
            change = partial(_change_row, client, verb, target.state, wanted.queue)
            return RowSteps(target.ids, change, wanted.rate)
        match verb:
            case "retry":
                return selection.retry(rate=wanted.rate)
            case "cancel":
                return selection.cancel()
            case "delete":
                return selection.delete()
            case _:
                return selection.requeue(wanted.queue)

    return steps


async def _change_row(client: Client, verb: str, state: State, queue: str, task_id: str) -> bool:
    """Change one task if it is still in a state; return whether it was changed."""
    handle = client.task(task_id)
    try:
        if (await handle.info()).state is not state:
            return False
        match verb:
            case "retry":
                return await handle.retry() in (State.PENDING, State.BLOCKED, State.GROUPED)
            case "cancel":
                return await handle.cancel() in (State.CANCELLED, State.ACTIVE)
            case "delete":
                return await handle.delete()
            case _:
                await handle.requeue(queue)
                return True
    except (TaskNotFound, TaskStateError, NewerTask):
        return False


async def begin_asked(visit: Visit) -> Done | PageAnswer:
    """Begin what a question asked, and go to its progress; what is soon over goes back with a sentence."""
    found = question_of(visit.shared, visit.form.get("token", ""), visit.visitor.name)
    if isinstance(found, Question):
        if found.typed and visit.form.get("name", "").strip() != found.typed:
            typed = shown(visit.form.get("name", ""), 60)
            raise Refused(
                f"{found.title} asks for a name, and {typed or 'nothing'} was typed",
                f"Go back, and type {found.typed}. Nothing was changed.",
            )
        found = begin(visit.shared, found, _read_wanted(visit, found))
    if await soon_over(found) and found.outcome == "done" and not found.refused:
        return Done(said=said_of(found), to=found.question.back)
    return Moved(to=visit.link(f"/bulk/{found.id}"))


def _read_wanted(visit: Visit, question: Question) -> Wanted:
    rate, queue = None, ""
    if question.verb == "retry" and (text := visit.form.get("rate", "").strip()):
        try:
            rate = float(text)
        except ValueError:
            rate = math.nan
        if not 0 < rate <= MAX_RATE:
            raise ConfigError.of(
                "rate", text, f"tasks a second, above 0 to {MAX_RATE:,}; or left empty for no bound"
            )
    if question.verb == "requeue":
        queue = check_name("queue", visit.form.get("queue", "").strip())
        if any(part.queue == queue for part in question.parts):
            raise ConfigError.of("queue", queue, "another queue than the one where they are")
    return Wanted(rate, queue)


def said_of(work: BulkWork) -> str:
    """Return what a work has done so far, in the past tense."""
    past = BULK_VERBS[work.question.verb].past
    refused = f"; {counted(work.refused, 'task')} refused" if work.refused else ""
    return f"{counted(work.done, 'task')} {past}{refused}."
