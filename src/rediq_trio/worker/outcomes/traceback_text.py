"""The text of a traceback that is kept with a failed attempt: where it was raised, and why.

What helps is in the frames of the user's own code, so these are shown whole, with their line of
source. Frames of libraries, of the standard library and of this library are folded into one line with
their number. Variables are never shown, because they may hold secrets. If there is no room for
everything, the innermost frames and the error itself are kept. An exception is the user's own object:
whatever its attributes do, `traceback_text` raises nothing but `KeyboardInterrupt`.
"""

from __future__ import annotations

import linecache
import sysconfig
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple, cast

import trio

import rediq_trio
from rediq_trio._errors import group_members
from rediq_trio.worker.outcomes.error_text import (
    CAUSES_SHOWN,
    MEMBERS_SHOWN,
    PART_TEXT,
    cut,
    error_text,
)

MAX_TRACEBACK = 8192
"""Maximum bytes of a traceback, as UTF-8."""
FRAMES_MAX = 2000
"""Maximum frames of one error that are looked at, the innermost ones."""
PARTS_MAX = 500
"""Maximum errors of a group, at whatever depth, that are looked at."""
LINE_MAX = 200
"""Maximum characters of a path, or of a line of source."""
PACKAGES_NAMED = 3
"""Maximum packages that a line of folded frames names."""
NOTES_SHOWN = 3
"""Maximum notes of an exception that are shown."""

_HEADING = "Traceback (most recent call last):"
_CAUSE = "The error above is the cause of the next one:"
_CONTEXT = "While the error above was handled, the next one was raised:"
_INSTALLED = ("site-packages", "dist-packages")


def _library_folders() -> tuple[str, ...]:
    found = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    own = Path(rediq_trio.__file__).parent
    return tuple(f"{folder.rstrip('/')}/" for folder in dict.fromkeys([*found, str(own)]) if folder)


_LIBRARIES = _library_folders()


def traceback_text(
    error: BaseException, most: int = MAX_TRACEBACK, *, own: Collection[str] = ()
) -> str:
    """Return the traceback of an error, of its causes and of the members of a group, as text.

    `most` is the maximum number of bytes. `own` names packages whose frames are shown although
    they are installed like a library.
    """
    try:
        return _cut_bytes(_text(error, most, frozenset(own)), most)
    except KeyboardInterrupt:
        raise
    except BaseException as broken:
        # SystemExit too: no object of a user can end the worker.
        return _cut_bytes(f"(the traceback could not be read: {type(broken).__name__})", most)


class FrameLine(NamedTuple):
    """A frame, as it is shown."""

    module: str
    file: str
    number: int
    function: str
    source: str
    """The line of source, without its indent; empty if it is not known."""
    is_own: bool
    """Whether it is the user's, and shown."""


def frames_of(error: BaseException, own: Collection[str] = ()) -> list[FrameLine]:
    """Return the frames of an error, the outermost first, the last `FRAMES_MAX` of them."""
    frames = deque(_frames(error.__traceback__), FRAMES_MAX)
    return [_line(trace, own) for trace in frames]


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _line(trace: TracebackType, own: Collection[str]) -> FrameLine:
    frame = trace.tb_frame
    code, file = frame.f_code, frame.f_code.co_filename
    module, is_own = _module_of(frame), is_own_frame(frame, own)
    number = trace.tb_lineno or 0
    source = _source(file, number, frame.f_globals) if is_own else ""
    return FrameLine(module, file, number, code.co_name, source, is_own)


def is_own_frame(frame: FrameType, own: Collection[str]) -> bool:
    """Return whether a frame is of the user's code; `own` names packages that are, wherever they lie."""
    if not _is_library(frame.f_code.co_filename):
        return True
    return bool(own) and _module_of(frame).partition(".")[0] in own


def _module_of(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__")
    return module if isinstance(module, str) else ""


def _is_library(file: str) -> bool:
    parts = file.replace("\\", "/")
    return (
        file.startswith("<frozen ")
        or parts.startswith(_LIBRARIES)
        or any(f"/{name}/" in parts for name in _INSTALLED)
    )


def _source(file: str, number: int, names: dict[str, object]) -> str:
    try:
        return cut(linecache.getline(file, number, names).strip(), LINE_MAX)
    except Exception:
        return ""  # the loader of a module may raise anything


class _Block(NamedTuple):
    """One error of a chain or a group: what precedes its frames, the frames, and what follows."""

    head: str
    frames: list[str]
    tail: str

    @property
    def size(self) -> int:
        return bytes_of("\n".join((self.head, *self.frames, self.tail))) + 2

    def within(self, most: int) -> str:
        """Return the block without its outermost frames if they have no room."""
        kept: list[str] = []
        left = most - bytes_of(self.head) - bytes_of(self.tail) - 40
        for shown in reversed(self.frames):
            left -= bytes_of(shown) + 1
            if left < 0:
                kept.append(f"  [{len(self.frames) - len(kept):,} more entries]")
                break
            kept.append(shown)
        return "\n".join((self.head, *reversed(kept), self.tail))


def _text(error: BaseException, most: int, own: frozenset[str]) -> str:
    while len(parts := group_members(error)) == 1:
        error = parts[0]
    causes = list(_chain(error))
    # In the order of their importance; each is shown above the error that it led to.
    main = [_block(error, own), *(_block(cause, own, end) for end, cause in causes)]
    leaves = _leaves(error) if parts else []
    members: list[_Block] = []
    for number, leaf in enumerate(leaves[:MEMBERS_SHOWN], start=1):
        start = f"Part {number} of {len(leaves):,}:\n"
        because = [_block(cause, own, end) for end, cause in _chain(leaf)][:1]
        for block in (*because, _block(leaf, own)):
            members.append(block._replace(head=start + block.head))
            start = ""
    if len(leaves) > MEMBERS_SHOWN:
        members.append(_Block(f"and {len(leaves) - MEMBERS_SHOWN:,} more parts", [], ""))
    shown = _fitted([*main, *members], most)
    above = shown[: len(main)]
    return "\n".join([*reversed(above), *shown[len(main) :]]).rstrip("\n")


def _fitted(blocks: list[_Block], most: int) -> list[str]:
    """Return blocks as text, each with its share of the bytes and what the smaller ones left."""
    shown = [""] * len(blocks)
    left = most
    # The smallest first, so that what they leave is shared by the others.
    order = sorted(range(len(blocks)), key=lambda at: (blocks[at].size, -at))
    for done, at in enumerate(order):
        shown[at] = blocks[at].within(left // (len(order) - done))
        left -= bytes_of(shown[at]) + 1
    return shown


def _block(error: BaseException, own: frozenset[str], end: str = "") -> _Block:
    text = error_text(error, PART_TEXT)
    tail = "\n".join([text, *_notes(error)]) + (f"\n\n{end}\n" if end else "\n")
    frames = list(_folded(frames_of(error, own)))
    return _Block(_HEADING, frames, tail) if frames else _Block(text, [], tail[len(text) + 1 :])


def _folded(lines: Iterable[FrameLine]) -> Iterator[str]:
    for is_own, group in groupby(lines, key=lambda line: line.is_own):
        if not is_own:
            yield _fold(list(group))
            continue
        for line, same in groupby(group):
            times = sum(1 for _ in same)
            shown = f'  File "{cut(line.file, LINE_MAX)}", line {line.number}, in {line.function}'
            yield shown + (f"\n    {line.source}" if line.source else "")
            if times > 1:
                yield f"  [the frame above {times - 1:,} more times]"


def _fold(lines: list[FrameLine]) -> str:
    packages = dict.fromkeys(line.module.partition(".")[0] or "?" for line in lines)
    named = ", ".join([*packages][:PACKAGES_NAMED])
    more = " and others" if len(packages) > PACKAGES_NAMED else ""
    return f"  [{len(lines):,} frame{'s' * (len(lines) > 1)} of {cut(named, LINE_MAX)}{more}]"


def _notes(error: BaseException) -> Iterator[str]:
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, list):
        for note in cast("list[object]", notes)[:NOTES_SHOWN]:
            if isinstance(note, str):
                yield cut(str.__getitem__(note, slice(PART_TEXT + 1)), PART_TEXT)


def _chain(error: BaseException) -> Iterator[tuple[str, BaseException]]:
    """Yield the causes of an error, the nearest first, with what is said between it and the next."""
    seen = {id(error)}
    for _ in range(CAUSES_SHOWN):
        how, below = _CAUSE, error.__cause__
        if below is None and not error.__suppress_context__:
            how, below = _CONTEXT, error.__context__
        if below is None or id(below) in seen:
            return
        seen.add(id(below))
        error = below
        # That an attempt was being cancelled is said by its outcome.
        if not isinstance(error, trio.Cancelled):
            yield how, error


def _leaves(error: BaseException) -> list[BaseException]:
    """Return the errors of a group that are no groups, at whatever depth."""
    found: dict[int, BaseException] = {id(error): error}
    left = [error]
    for part in left:
        for member in group_members(part):
            if id(member) not in found and len(found) < PARTS_MAX:
                found[id(member)] = member
                left.append(member)
    leaves = [part for part in left if not group_members(part)]
    return [leaf for leaf in leaves if not isinstance(leaf, trio.Cancelled)] or leaves


def bytes_of(text: str) -> int:
    """Return the number of bytes of a text as UTF-8."""
    return len(text.encode("utf-8", "replace"))


def _cut_bytes(text: str, most: int) -> str:
    """Return a text that UTF-8 can carry, its beginning cut off if it has more than `most` bytes."""
    packed = text.encode("utf-8", "replace")
    if len(packed) > most:
        packed = packed[len(packed) - most :]
    return packed.decode("utf-8", "ignore")
