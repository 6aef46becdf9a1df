"""What an attempt leaves open: nurseries and cancel scopes that its handler entered and never left.

Trio refuses to end a task that has entered more than it left, and its refusal would end the
nursery around it, which is the worker's. So the end of an attempt is looked at before its
task ends. What was left open is closed, its tasks are cancelled and waited for, and the
attempt fails with a message that says so.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import trio

from rediq_trio._errors import flatten_group, name_some

T = TypeVar("T")

TASKS_NAMED = 5
"""Maximum tasks of a nursery that the message names."""
SCOPE_LEFT_OPEN = "the handler left a cancel scope open"
WHERE_TO_OPEN = (
    "Open what outlives an attempt around serve(), and what belongs to one attempt in an "
    "`async with` of its handler"
)


class LeftOpen(RuntimeError):
    """A handler left a nursery or a cancel scope open."""


async def contained(function: Callable[[], Awaitable[T]]) -> T:
    """Call a function, and close what it leaves open; raise `LeftOpen` if there was anything.

    For a handler inside of middleware, which would otherwise leave its own nurseries in the
    wrong order.
    """
    before = len(trio.lowlevel.current_task().child_nurseries)
    value: Any = None
    raised: BaseException | None = None
    misnested = False
    try:
        with trio.CancelScope():
            try:
                value = await function()
            except BaseException as error:
                # Raised again below, once the scope has been left.
                raised = error
    except RuntimeError:
        misnested = True  # by the exit of the scope: everything inside is caught
    try:
        nurseries = trio.lowlevel.current_task().child_nurseries[before:]
        if misnested or nurseries:
            raise await close(nurseries, raised)
        if raised is not None:
            raise raised
        return cast("T", value)
    finally:
        del raised


async def close(nurseries: Sequence[trio.Nursery], raised: BaseException | None) -> LeftOpen:
    """Close nurseries that the current task left open, and return the error that says so.

    Their tasks are cancelled and waited for. What the handler `raised` is the error's cause.
    Raises `KeyboardInterrupt` if one of the tasks did.
    """
    left = (
        await _close_all(nurseries)
        if nurseries
        else LeftOpen(f"{SCOPE_LEFT_OPEN}. {WHERE_TO_OPEN}")
    )
    left.__cause__ = raised
    return left


async def _close_all(nurseries: Sequence[trio.Nursery]) -> LeftOpen:
    names = [task.name for nursery in nurseries for task in nursery.child_tasks]
    errors: list[BaseException] = []
    for nursery in reversed(nurseries):
        nursery.cancel_scope.cancel(reason="its handler left it open")
        # What the end of `async with` does first: it waits for the tasks, and takes the nursery
        # off the list that Trio looks at when the task ends. Trio has no public name for it.
        ended = await cast("Any", nursery)._nested_child_finished(None)
        errors += [] if ended is None else flatten_group(ended)
    for error in errors:
        if isinstance(error, KeyboardInterrupt):
            raise error
    return LeftOpen(f"the handler left a nursery open{_running(names)}. {WHERE_TO_OPEN}")


def _running(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f", in which {name_some(sorted(names), TASKS_NAMED)} still ran and was cancelled"
