"""The tree of Trio's tasks as text, each with the lines at which it waits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import trio

FRAMES_SHOWN = 4
"""The innermost frames of each task that are shown."""

_TRIO = str(Path(trio.__file__).parent)


def draw_tasks(root: trio.lowlevel.Task) -> str:
    """Return a task and those below it as text."""
    lines: list[str] = []
    waiting = [(root, 0)]
    while waiting:
        task, depth = waiting.pop()
        frames = [*_frames(task)][-FRAMES_SHOWN:]
        lines.append("  " * depth + f"{task.name}: {' > '.join(frames)}")
        below = [each for nursery in task.child_nurseries for each in nursery.child_tasks]
        waiting += [(each, depth + 1) for each in sorted(below, key=repr, reverse=True)]
    return "\n".join(lines)


def _frames(task: trio.lowlevel.Task) -> Iterator[str]:
    frames = list(task.iter_await_frames())
    ours = [each for each in frames if not each[0].f_code.co_filename.startswith(_TRIO)]
    for frame, line in ours or frames:
        code = frame.f_code
        yield f"{Path(code.co_filename).name}:{line} in {code.co_name}"
