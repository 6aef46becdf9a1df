"""Editing a task from `rediq dash`, as `rediq task edit` does; meanwhile the editor has the terminal."""

from __future__ import annotations

import textwrap

from rediq_trio._errors import ConfigError
from rediq_trio.cli.tasks.editing import EditedTask, is_about_text
from rediq_trio.cli.tasks.editor import EditedFile, editor_words
from rediq_trio.client import Client
from rediq_trio.dash.question import AskedQuestion, SuspendScreen
from rediq_trio.observe.words import shown
from rediq_trio.values.hiding import Hiding

_WIDE = 66
"""Columns of a line of a question, on the smallest screen."""


async def edit_on_screen(
    client: Client, task_id: str, suspended: SuspendScreen, hide: Hiding
) -> AskedQuestion | str:
    """Change a task that waits, or enqueue one that has ended anew; return what was done, or is asked.

    Raises `ConfigError` for a task of which something is hidden here, because an editor would show it.
    """
    notes: list[str] = []
    info = await client.task(task_id).info()
    if hide.info(info) != info:
        raise ConfigError(
            f"a part of {task_id} is hidden here, so it cannot be edited here; use rediq task edit"
        )
    edited = EditedTask(
        client=client, info=info, note=notes.append, otherwise="use rediq task edit --unchecked"
    )
    edited.check()
    words = editor_words()
    return await _edited(edited, words, edited.file(), suspended, notes)


async def _edited(
    edited: EditedTask, words: list[str], file: EditedFile, suspended: SuspendScreen, notes: list[str]
) -> AskedQuestion | str:
    notes.clear()
    task_id = shown(edited.info.id)
    try:
        async with suspended():
            changes = await edited.changes(words, file)
        said = (await edited.apply(changes))[0] if changes else "nothing was changed"
    except BaseException as error:
        if not file.was_changed():
            file.remove()
            raise
        where = f"What you wrote is kept in {shown(str(file.path))}"
        if not isinstance(error, Exception) or not is_about_text(error):
            error.add_note(where)
            raise
        lines = [*textwrap.wrap(shown(str(error)), _WIDE), "", *textwrap.wrap(where, _WIDE)]
        return AskedQuestion(
            f"Edit {task_id} again?", tuple(lines), "Edit it again",
            lambda _: _edited(edited, words, file, suspended, notes),
        )  # fmt: skip
    file.remove()
    return "; ".join([f"{task_id}: {shown(said)}", *map(shown, notes)])
