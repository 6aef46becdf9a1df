"""The text of an error that is kept with its task: what was raised, and why, cut to a bound.

A chain of causes and the members of an exception group are part of it, because the kept
text is often all that is left of an error. An exception is the user's own object: its
`__str__` may raise anything, its arguments may hold 100 MB, its chain may contain itself.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator

import trio

from rediq_trio._errors import flatten_group, group_members
from rediq_trio.wire.sizes import exceeds

MAX_ERROR_TEXT = 2000
"""Maximum number of characters of an error that are kept with its task."""
MEMBERS_SHOWN = 10
"""Maximum members of an exception group that are shown, at whatever depth."""
CAUSES_SHOWN = 5
"""Maximum length of a chain of causes that is shown."""
PART_TEXT = 400
"""Maximum characters of one member of a group, or of one cause."""
LARGE_ARGUMENTS = 64 * 1024
"""Bytes of an exception's arguments above which they are shortened before they become text."""

_PLAIN_STR = (BaseException.__str__, KeyError.__str__)


def error_text(error: BaseException, most: int = MAX_ERROR_TEXT) -> str:
    """Return an error as text: its type and message, cut to a bound, whatever its `__str__` does."""
    name = type(error).__name__
    message = _message(error, most)
    return cut(f"{name}: {message}" if message else name, most)


def message_text(error: BaseException) -> str:
    """Return the message of an error, without its type."""
    return cut(_message(error, MAX_ERROR_TEXT), MAX_ERROR_TEXT)


def full_text(error: BaseException, text: str | None = None) -> str:
    """Return an error as text, with its causes and the members of a group; `text` replaces its own."""
    while len(parts := group_members(error)) == 1:
        error = parts[0]
    text = error_text(error) if text is None else text
    if parts:
        leaves = [part for part in flatten_group(error) if not group_members(part)]
        leaves = [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)] or leaves
        shown = [_with_causes(leaf) for leaf in leaves[:MEMBERS_SHOWN]]
        if len(leaves) > MEMBERS_SHOWN:
            shown.append(f"and {len(leaves) - MEMBERS_SHOWN:,} more")
        text = f"{text}: {'; '.join(shown)}"
    return cut(text + _causes(error), MAX_ERROR_TEXT)


def _with_causes(error: BaseException) -> str:
    return error_text(error, PART_TEXT) + _causes(error)


def _causes(error: BaseException) -> str:
    return "".join(f" ({how} {_with_members(cause)})" for how, cause in _chain(error))


def _chain(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """Yield the causes of an error, the nearest first, and how each led to it."""
    seen = {id(error)}
    for _ in range(CAUSES_SHOWN):
        how, below = "caused by", error.__cause__
        if below is None and not error.__suppress_context__:
            how, below = "while handling", error.__context__
        if below is None or id(below) in seen:
            return
        seen.add(id(below))
        error = below
        # That an attempt was being cancelled is said by its outcome.
        if not isinstance(error, trio.Cancelled):
            yield how, error


def _with_members(error: BaseException) -> str:
    text = error_text(error, PART_TEXT)
    leaves = [part for part in flatten_group(error)[1:] if not group_members(part)]
    shown = "; ".join(error_text(leaf, PART_TEXT) for leaf in leaves[:MEMBERS_SHOWN])
    return f"{text}: {shown}" if shown else text


def _message(error: BaseException, most: int) -> str:
    try:
        if type(error).__str__ in _PLAIN_STR and exceeds(error.args, LARGE_ARGUMENTS):
            text = _shortened(error, most)
        else:
            text = str(error)
        # Cut first: the rest of a long text is not worth encoding. A plain str, whatever it was.
        return str.__getitem__(text, slice(most + 1)).encode("utf-8", "replace").decode()
    except KeyboardInterrupt:
        raise
    except BaseException as broken:
        # SystemExit too: no object of a user can end the worker.
        return f"(its __str__ raised {type(broken).__name__})"


def _shortened(error: BaseException, most: int) -> str:
    shown = error.args[0] if len(error.args) == 1 else error.args
    if isinstance(shown, str) and type(error).__str__ is BaseException.__str__:
        return shown[: most + 1]
    short = reprlib.Repr()
    short.maxstring = short.maxother = PART_TEXT
    return short.repr(shown)


def cut(text: str, most: int) -> str:
    """Return a text, cut to `most` characters."""
    return text if len(text) <= most else text[: most - 3] + "..."


def with_suffix(text: str, suffix: str) -> str:
    """Append a suffix to an error's text, which is cut if there is no room for both."""
    suffix = f" ({suffix[: MAX_ERROR_TEXT // 4]})"
    return text[: MAX_ERROR_TEXT - len(suffix)] + suffix
