"""AskedQuestion: what is asked before many are changed, or what cannot be undone; Prompt: a typed line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import attrs

from rediq_trio.client import Client
from rediq_trio.values.hiding import Hiding


@attrs.define(eq=False)
class Prompt:
    """A line that is being typed."""

    kind: str
    """What it is, as it is shown before the line: `filter`, `go to`."""
    text: str
    done: Callable[[str], None]
    """Does what was typed, without spaces around it."""
    left: Callable[[], None] = lambda: None
    """Is called instead when it is left by Esc."""
    typed: Callable[[str], None] = lambda _: None
    """Is called at each key."""


@attrs.define(eq=False)
class AskedQuestion:
    """What is asked, and what is done after a yes."""

    title: str
    lines: tuple[str, ...]
    """What it means, with the numbers."""
    button: str
    """What a yes does, as a verb."""
    run: StartedAct
    named: str = ""
    """What has to be typed for a yes; "" for a plain yes."""
    typed: str = ""


StartedAct = Callable[[Client], Awaitable[AskedQuestion | str]]
"""What an act does in Redis; returns what is said of it, or what is asked before it is done."""

SuspendScreen = Callable[[], AbstractAsyncContextManager[None]]
"""Leaves the terminal to another program while a block lasts."""
EditTask = Callable[[Client, str, SuspendScreen, Hiding], Awaitable[AskedQuestion | str]]
"""Edits a task, by its id, in the editor of whoever is at the terminal; returns what an act returns.

What is hidden is not edited.
"""
