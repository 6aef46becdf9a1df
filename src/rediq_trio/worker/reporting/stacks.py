"""Stacks: where the running attempts of a worker are, as text.

Of each attempt, the tree of its Trio tasks: the calls that each one is in, the innermost last, and below
them the tasks of the nurseries that it has open. Of a handler in a thread, the calls of that thread too.
Only files, lines and names of functions: no local variable and no line of source.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import dropwhile
from pathlib import Path
from types import CodeType, FrameType

import trio

from rediq_trio.tasks.worker_details import RUNNING_MAX
from rediq_trio.worker.leases import HeldLease

STACK_MAX, STACKS_MAX = 8_000, 64_000
"""Maximum characters of one attempt's stacks, and of all that one answer has."""
TREE_DEPTH_MAX = 50
"""Maximum depth of a tree of tasks that is shown."""
_HERE = str(Path(__file__).resolve().parents[2])
_TRIO_CORE = str(Path(trio.__file__).parent / "_core")

AttemptTasks = Mapping[HeldLease, trio.lowlevel.Task | None]
"""The running attempts, each with its Trio task; None for one that has not begun."""


def stacks_of(attempts: AttemptTasks, *, named: bool = True) -> dict[str, str]:
    """Return the stacks of the first 50 of these attempts, by the id of the task.

    Unless `named`, a Trio task is shown by its function, as its name may be a text of the user.
    """
    found: dict[str, str] = {}
    left = STACKS_MAX
    for held, task in tuple(attempts.items())[:RUNNING_MAX]:
        text = _bounded(_lines(held, task, named), min(STACK_MAX, left)) if left else "(left out)"
        left = max(0, left - len(text))
        found[held.task_id] = text
    return found


def _bounded(lines: Iterable[str], most: int) -> str:
    kept: list[str] = []
    for line in lines:
        most -= len(line) + 1
        if most < 0:
            return "\n".join([*kept, "..."])
        kept.append(line)
    return "\n".join(kept)


def _lines(held: HeldLease, task: trio.lowlevel.Task | None, named: bool) -> Iterator[str]:
    if task is None:
        yield "it has not begun"
        return
    yield from _tree(task, "", held.type or "attempt", named)
    if held.thread is not None and (frame := sys._current_frames().get(held.thread)) is not None:
        yield "its thread"
        # What precedes the calls of this library is how a thread starts.
        begun = dropwhile(lambda call: not _is_ours(call[0]), _outermost_first(frame))
        yield from _calls(begun, "  ")


def _tree(task: trio.lowlevel.Task, indent: str, name: str, named: bool) -> Iterator[str]:
    waiting = [(task, indent, name)]
    while waiting:
        task, indent, name = waiting.pop()
        yield f"{indent}{name}"
        indent += "  "
        frames = ((f.f_code, n) for f, n in task.iter_await_frames())
        yield from _calls(frames, indent)
        if len(indent) > 2 * TREE_DEPTH_MAX:
            yield f"{indent}..."
            continue
        children = children_of(task)
        waiting += [(child, indent, _short(_name_of(child, named))) for child in reversed(children)]


def children_of(task: trio.lowlevel.Task) -> list[trio.lowlevel.Task]:
    """Return the tasks in the nurseries of a task, by name and line: Trio keeps them in sets, whose order
    differs from run to run."""
    children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return sorted(children, key=_name_and_line)


def _name_and_line(task: trio.lowlevel.Task) -> tuple[str, int]:
    frame: FrameType | None = getattr(task.coro, "cr_frame", None)
    return task.name, 0 if frame is None else frame.f_lineno


def _name_of(task: trio.lowlevel.Task, named: bool) -> str:
    return task.name if named else str(getattr(task.coro, "__qualname__", "task"))


def _short(name: str) -> str:
    return name if len(name) <= 100 else name[:99] + "…"


def _outermost_first(frame: FrameType | None) -> Iterator[tuple[CodeType, int]]:
    calls: list[tuple[CodeType, int]] = []
    while frame is not None:
        calls.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return reversed(calls)


def _is_ours(code: CodeType) -> bool:
    return code.co_filename.startswith(_HERE)


def _calls(frames: Iterable[tuple[CodeType, int]], indent: str) -> Iterator[str]:
    """Yield a line for each call; one for all calls of this library that follow one another."""
    ours = 0
    for code, line in frames:
        if _is_ours(code):
            ours += 1
            continue
        if code.co_filename.startswith(_TRIO_CORE):
            continue  # how any task waits
        if ours:
            yield f"{indent}... {ours} of rediq_trio"
            ours = 0
        yield f"{indent}{code.co_filename}:{line} in {code.co_qualname}"
    if ours:
        yield f"{indent}... {ours} of rediq_trio"
