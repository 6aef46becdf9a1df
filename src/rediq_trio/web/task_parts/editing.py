"""Editing a task: what `rediq task edit` does, from the same text; and what all acts of a task share."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from rediq_trio._errors import ConfigError, PayloadError, TaskChanged
from rediq_trio.observe.task_document import TaskDocument, check_editable
from rediq_trio.observe.words import shown
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.tasks.changes.versions import changed_parts
from rediq_trio.tasks.handle import TaskHandle
from rediq_trio.tasks.ids import split_id
from rediq_trio.values.task import TaskInfo
from rediq_trio.web.site.page import Done, NotFound, PageAnswer, Refused, Shown, Undo, Visit

AGAIN_KEPT = 500
"""Answers of forms that are remembered, so that one sent twice enqueues one task."""


def handle_of(visit: Visit) -> TaskHandle[Any]:
    """Return the task in the path; raise `NotFound` for what is no id."""
    try:
        split_id(visit.params["task"])
    except ConfigError:
        raise NotFound(f"{shown(visit.params['task'], 80)} is no task's id") from None
    return visit.client.task(visit.params["task"])


def page_of(visit: Visit) -> str:
    """Return the path of its page."""
    return f"/tasks/{visit.params['task']}"


def name_of(task_id: str) -> str:
    """Return the id of a task, short, for a sentence."""
    queue, _, local = task_id.partition("/")
    return f"{queue}/…{shown(local[-8:])}"


def done(
    visit: Visit, said: str, *, undo: Undo | None = None, failed: bool = False, to: str = ""
) -> Done:
    """Return what an act did, which leads back to where it was pressed."""
    return Done(said=said, to=to or visit.back(page_of(visit)), undo=undo, failed=failed)


async def once(visit: Visit, make: Callable[[], Awaitable[Done]]) -> Done:
    """Return what a form did; one that is sent twice does nothing the second time."""
    key = f"once {visit.form.get('token', '')}"
    answers = visit.shared.works
    if key in answers:
        found = answers[key]
        if isinstance(found, Done):
            return found
        raise Refused(
            "this form was sent a moment ago, and is not done yet",
            "Look at the task in a second.",
            409,
        )
    answers[key] = None
    try:
        answers[key] = await make()
    finally:
        if answers[key] is None:
            del answers[key]
    kept = [each for each in answers if each.startswith("once ")]
    for each in kept[:-AGAIN_KEPT]:
        del answers[each]
    done = answers[key]
    assert isinstance(done, Done)
    return done


async def sheet(
    visit: Visit, title: str, why: str, button: str, *, end: bool = False, **more: Any
) -> Shown:
    """Return the page that asks before an act."""
    values = {
        "heading": title, "why": why, "button": button, "end": end, "back": visit.back(page_of(visit)),
        "token": secrets.token_urlsafe(12), "mistake": "", "fields": (), "text": None,
        "seen_version": "", "state": "",
        "replaceable": False, "caret": "", **more,
    }  # fmt: skip
    return Shown(
        template="ask_task.html",
        title=title,
        nav="/queues",
        values=values,
        status=400 if more.get("mistake") else 200,
    )


async def ask_edit(
    visit: Visit, *, text: str | None = None, mistake: str = "", changed: bool = False
) -> PageAnswer:
    """Return the page on which a task is edited."""
    info = await handle_of(visit).info()
    check_hidden(visit, info)
    check_editable(info)
    if info.state in WAITING:
        why = f"{info.type} is {info.state.value}. What you change is changed in place, "
        why += "if nobody else changes it first."
    else:
        why = f"{info.type} is {info.state.value}. With a change, a new task is enqueued, checked like any other."
    document = TaskDocument.of(info)
    form = (
        "Lines that begin with // are not read. null is what the handler of the task says.",
        'Bytes are {"$bytes": "<base64>"}. Times are seconds, or instants like 2026-12-24T18:00+01:00.',
    )
    return await sheet(
        visit, f"Edit {name_of(info.id)}", why, "Save" if info.state in WAITING else "Enqueue with the change",
        text=document.text(*form) if text is None else text, seen_version=info.version, state=info.state.value,
        mistake=mistake, replaceable=info.state in (State.DEAD, State.CANCELLED),
        now_text=document.text() if changed else "",
    )  # fmt: skip


async def edit_task(visit: Visit) -> Done | PageAnswer:
    """Change a task that waits, or enqueue one that has ended anew, if it still is as its form had it."""
    handle = handle_of(visit)
    info = await handle.info()
    check_hidden(visit, info)
    check_editable(info)
    text, version = visit.form.get("text", ""), visit.form.get("version", "")
    try:
        if info.version != version or info.state.value != visit.form.get("state", ""):
            raise TaskChanged(handle.id, _changed(version, info))
        changes = TaskDocument.of(info).changes(text)
        if not changes:
            return done(visit, f"Nothing was changed of {name_of(handle.id)}.")
        names = ", ".join(shown(name) for name in changes)
        if info.state in WAITING:
            await handle.update(seen=info, **changes)
            return done(visit, f"Changed {names} of {name_of(handle.id)}.")
        replace = visit.form.get("replace") == "yes" and info.state in (State.DEAD, State.CANCELLED)

        async def anew() -> Done:
            again = await handle.enqueue_again(replace=replace, **changes)
            word = "Replaced" if replace else "Enqueued"
            said = f"{word} {name_of(handle.id)} with another {names}: it is {name_of(again.id)}."
            return Done(said=said, to=visit.link(f"/tasks/{again.id}"))

        return await once(visit, anew)
    except TaskChanged as error:
        return await ask_edit(
            visit,
            text=text,
            mistake=f"Somebody else changed the task meanwhile: {error}. Below is your text; "
            "it applies to the task as it is now.",
            changed=True,
        )
    except (ConfigError, PayloadError) as error:
        return await ask_edit(visit, text=text, mistake=str(error))


def _changed(version: str, info: TaskInfo) -> list[str]:
    """Return what somebody else changed since a form was opened."""
    try:
        return changed_parts(version, info.version) or ["state"]
    except ValueError:  # of another version of the page
        return ["something"]


def check_hidden(visit: Visit, info: TaskInfo) -> None:
    """Raise `Refused` for a task of which this site hides something that an editor would show."""
    payload, metadata = (
        visit.hide(info.payload, "payload"),
        visit.hide(dict(info.metadata), "metadata"),
    )
    if payload != info.payload or metadata != dict(info.metadata):
        raise Refused(
            "a part of this task is hidden on this page, so it cannot be edited here",
            f"Use rediq task edit {info.id}.", 403,
        )  # fmt: skip
