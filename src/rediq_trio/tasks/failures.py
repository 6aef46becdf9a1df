"""The errors of tasks that died in this process, so that `TaskFailed` can name its cause.

What a handler raised is an object of its process; the store keeps only its text. Where the
caller waits in the same `trio.run` as the worker, as in tests, it gets the exception itself.
Only the last few are kept, and without the local variables of their frames, which may be
large.
"""

from __future__ import annotations

import traceback
from collections import OrderedDict

import trio

from rediq_trio._errors import flatten_group

KEPT = 100
"""Errors that are kept."""
CHAIN_MAX = 100
"""Errors in a chain whose frames are cleared; a longer chain is not kept."""

_Failures = OrderedDict[str, tuple[str, BaseException]]
_KEPT: trio.lowlevel.RunVar[_Failures] = trio.lowlevel.RunVar("rediq_failures")
"""By the task's id: the text that was stored, and the error. They end with their `trio.run`."""


def remember_failure(task_id: str, text: str, error: BaseException) -> None:
    """Keep the error that made a task dead. `text` is what the store has of it."""
    try:
        kept = _KEPT.get()
    except LookupError:
        kept = _Failures()
        _KEPT.set(kept)
    if not _clear_frames(error):
        return
    kept[task_id] = (text, error)
    kept.move_to_end(task_id)
    while len(kept) > KEPT:
        kept.popitem(last=False)


def failure_cause(task_id: str, text: str) -> BaseException | None:
    """Return the error that made a task dead, if that happened in this `trio.run`."""
    try:
        known, error = _KEPT.get().get(task_id, ("", None))
    except (LookupError, RuntimeError):
        return None  # no task has failed here, or this is no Trio program
    # Another store may have a task of the same id.
    return error if known == text else None


def _clear_frames(error: BaseException) -> bool:
    """Drop the local variables of an error's frames; return False if there are too many errors."""
    seen: set[int] = set()
    left = [error]
    while left:
        for part in flatten_group(left.pop()):
            if id(part) in seen:
                continue
            seen.add(id(part))
            if len(seen) > CHAIN_MAX:
                return False
            traceback.clear_frames(part.__traceback__)
            left += [e for e in (part.__cause__, part.__context__) if e is not None]
    return True
