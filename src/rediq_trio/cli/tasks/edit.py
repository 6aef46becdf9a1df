"""`rediq task edit`: payload and options of a task in an editor.

A task that waits is changed in place, in one step, if it still is as the person saw it. One that has
ended is enqueued anew. Whatever fails, the text that was edited is kept.
"""

from __future__ import annotations

from typing import Any

from rediq_trio.cli.operate.session import Session
from rediq_trio.cli.operate.stdin import answer_to, is_asked
from rediq_trio.cli.operate.verbs import TASK, Verbs
from rediq_trio.cli.statuses import DONE
from rediq_trio.cli.tasks.editing import EditedTask, is_about_text
from rediq_trio.cli.tasks.editor import editor_words
from rediq_trio.cli.tasks.signatures import UNCHECKED
from rediq_trio.observe.words import shown

_REPLACE: tuple[str, dict[str, Any]] = (
    "--replace",
    {"action": "store_true",
     "help": "delete the dead or cancelled task in the step that enqueues it anew"},
)  # fmt: skip


def add_edit(verbs: Verbs) -> None:
    """Add the verb."""
    verbs.add(
        "edit", edit, "edit payload and options of a task in $VISUAL or $EDITOR", TASK, _REPLACE,
        UNCHECKED,
        changes=True,
    )  # fmt: skip


async def edit(session: Session) -> int:
    """Change a task that waits, or enqueue one that has ended anew, as a person edits it."""
    options = session.arguments
    info = await session.task_info(session.client.task(options.task))
    edited = EditedTask(
        client=session.client, info=info, replace=options.replace, unchecked=options.unchecked,
        note=lambda text: session.out.note(f"rediq: {text}"),
    )  # fmt: skip
    edited.check()
    words, file = editor_words(), edited.file()
    kept = False
    try:
        while True:
            try:
                return await _apply(session, edited, await edited.changes(words, file))
            except Exception as error:
                if not is_about_text(error) or not await _edited_again(error):
                    raise
    except BaseException:
        kept = file.was_changed()
        if kept:
            session.out.note(f"what you wrote is kept in {shown(str(file.path))}")
        raise
    finally:
        if not kept:
            file.remove()


async def _edited_again(error: Exception) -> bool:
    """Show what is wrong, and ask whether to edit it again; False if nobody can be asked."""
    if not is_asked():
        return False
    answer = await answer_to(f"{shown(str(error))}. Edit it again? [Y/n] ")
    return answer.lower() in ("", "y", "yes")


async def _apply(session: Session, edited: EditedTask, changes: dict[str, Any]) -> int:
    info, names = edited.info, ", ".join(map(shown, changes))
    if not changes:
        return session.done("nothing was changed", id=info.id, outcome="nothing was changed")
    what = f"change {names} of {shown(info.id)}" if edited.waits else (
        f"enqueue {shown(info.id)} anew, with another {names}"
    )  # fmt: skip
    if not await session.agreed(what):
        return DONE
    said, new_id = await edited.apply(changes)
    more = {"new_id": new_id} if new_id else {}
    return session.done(f"{shown(info.id)}: {shown(said)}", id=info.id, outcome=said, **more)
