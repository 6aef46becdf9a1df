"""A fault in a word of the command line, with a caret under its place."""

from __future__ import annotations

from rediq_trio._errors import ConfigError
from rediq_trio.observe.words import shown

AROUND = 30
"""Characters that are shown on each side of a fault."""


def pointed(error: ConfigError, text: str, at: int) -> ConfigError:
    """Return the error with two notes: the text around the fault, and a caret under it.

    An empty text has no place to point at.
    """
    if not text:
        return error
    start = max(0, at - AROUND)
    before, after = text[start:at], text[at : at + AROUND]
    head = "..." if start else ""
    tail = "..." if at + AROUND < len(text) else ""
    error.add_note(f"  {head}{shown(before)}{shown(after)}{tail}")
    error.add_note(f"  {' ' * (len(head) + len(shown(before)))}^")
    return error
