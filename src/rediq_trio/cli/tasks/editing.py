"""EditedTask: what a person edits of a task, and what is done with it; for the command and for the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from rediq_trio._errors import ConfigError, ConnectionLost, PayloadError, TaskStateError
from rediq_trio.cli.tasks.editor import EditedFile, open_editor
from rediq_trio.cli.tasks.signatures import KnownSignatures
from rediq_trio.client import Client
from rediq_trio.observe.task_document import TaskDocument, check_editable
from rediq_trio.observe.words import shown
from rediq_trio.spec.lifecycle import WAITING, State
from rediq_trio.spec.messages import Obstacle
from rediq_trio.tasks.changes.replacing import COMPLETED_STAYS, OBSTACLES
from rediq_trio.values.task import TaskInfo

_FORM = (
    "Lines like this one are not read. null is what the handler of the task says.",
    'Bytes are {"$bytes": "<base64>"}. Times are seconds, or instants like 2026-12-24T18:00+01:00.',
)


@attrs.frozen(kw_only=True)
class EditedTask:
    """A task as it was when its editing began."""

    client: Client
    info: TaskInfo
    replace: bool = False
    """Whether one that has ended is deleted in the step that enqueues it anew."""
    unchecked: bool = False
    """Whether the payload is not compared with what the live workers say that the handler takes."""
    note: Callable[[str], None]
    """Called with a line for what could not be checked."""
    otherwise: str = "pass --unchecked"
    """What to do about a payload that is good, though the handlers that are known refuse it."""

    def check(self) -> None:
        """Raise `ConfigError` or `TaskStateError` for a task that nobody can edit so, or not now."""
        check_editable(self.info)
        if self.replace and (why := _why_not_replaced(self.info)):
            raise ConfigError(f"--replace: {self.info.id} {why}")

    @property
    def waits(self) -> bool:
        """Whether it is changed in place; else a new task is enqueued."""
        return self.info.state in WAITING

    def file(self) -> EditedFile:
        """Write the text that is edited to a new file."""
        return EditedFile.of(TaskDocument.of(self.info).text(*self._comments()))

    def _comments(self) -> tuple[str, ...]:
        info = self.info
        what = f"{info.id}, of type {info.type}, is {info.state}."
        if self.waits:
            return what, "What you change is changed in place.", *_FORM
        kept = "is deleted" if self.replace else "stays as it is"
        anew = f"With a change, a new task is enqueued, and this one {kept}."
        return what, anew, *_FORM

    async def changes(self, words: list[str], file: EditedFile) -> dict[str, Any]:
        """Open the editor; return the changes, checked as far as they can be.

        Raises `ConfigError` or `PayloadError` for what cannot be used, `EditorFailed`.
        """
        await open_editor(words, file.path)
        changes = TaskDocument.of(self.info).changes(file.read())
        if "payload" in changes and not self.unchecked:
            await self._check_payload(changes.get("queue", self.info.queue), changes["payload"])
        return changes

    async def _check_payload(self, queue: str, payload: Any) -> None:
        if self.info.group is not None:
            self.note("the payload was not checked: the task is of a group")
            return
        known = await KnownSignatures.read(self.client)
        if not known.check(queue, self.info.type, payload, otherwise=self.otherwise):
            self.note(known.not_checked(queue, self.info.type))

    async def apply(self, changes: dict[str, Any]) -> tuple[str, str]:
        """Make the changes, if the task still is as it was.

        Returns what was done, for people, and the id of the new task; "" if it is the same.
        """
        info, handle = self.info, self.client.task(self.info.id)
        if self.waits:
            await handle.update(seen=info, **changes)
            return f"changed: {', '.join(map(shown, changes))}", ""
        state = (await handle.info()).state
        if state is not info.state:
            raise TaskStateError(
                info.id, state.value, f"{info.state} as it was", "edit it again as it is now"
            )
        again = await handle.enqueue_again(replace=self.replace, **changes)
        return f"{'replaced by' if self.replace else 'enqueued again as'} {again.id}", again.id


def is_about_text(error: BaseException) -> bool:
    """Return whether an error is about what was written, so that editing it again helps."""
    return isinstance(error, ConfigError | PayloadError) and not isinstance(error, ConnectionLost)


def _why_not_replaced(info: TaskInfo) -> str:
    """Return why a task cannot be replaced by another one in one step, and what to do; "" if it can."""
    if info.state in WAITING:
        return f"is {info.state}: it is changed in place, and keeps its id; leave --replace out"
    if info.state is State.COMPLETED:
        why = f"is completed, and only a dead or cancelled task is replaced: {COMPLETED_STAYS}"
    elif info.unique is not None:
        key = shown(info.unique.key, 40)
        why = f"has the unique key {key}: {OBSTACLES[Obstacle.UNIQUE_KEY]}"
    elif info.group is not None:
        why = f"stays: {OBSTACLES[Obstacle.GROUP]}"
    elif info.depends_on or info.steps:
        why = f"stays: {OBSTACLES[Obstacle.KEPT]}"
    else:
        return ""
    return f"{why}; leave --replace out, and 'rediq task delete' it afterwards"
