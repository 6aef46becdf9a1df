"""The traceback of an attempt, as lines that a page lays out.

Workers write it in one form: headings, frames of the user's code with their line of source, one line for
each run of library frames, and the error. A text in another form is shown as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

_TRACEBACK_HEADING = "Traceback (most recent call last):"
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+), in (?P<function>.*)')
_FOLDED = re.compile(r"  \[(?P<said>.*)\]")


@attrs.frozen
class TracebackLine:
    """One line of a traceback."""

    kind: str
    """`own`: a frame of the user's code; `lib`: frames that are folded; `what`: an error; `part`: what
    stands between two errors."""
    text: str
    """The text; of a frame its function."""
    file: str = ""
    line: str = ""
    source: str = ""
    last: bool = False
    """Whether it is the innermost frame of the user's code."""


def traceback_lines(text: str) -> list[TracebackLine]:
    """Return the lines of a traceback, its error first; the innermost frame of the user's code is marked."""
    found = [*_lines(text.split("\n"))]
    # The error that was raised last comes first: it is what one looks for.
    end = len(found)
    while end and found[end - 1].kind == "what":
        end -= 1
    found = [*found[end:], *found[:end]]
    own = [at for at, line in enumerate(found) if line.kind == "own"]
    if own:
        found[own[-1]] = attrs.evolve(found[own[-1]], last=True)
    return found


def _lines(lines: list[str]) -> Iterator[TracebackLine]:
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if line == _TRACEBACK_HEADING or not line.strip():
            continue
        if frame := _FRAME.fullmatch(line):
            source = ""
            if at < len(lines) and lines[at].startswith("    "):
                source = lines[at].strip()
                at += 1
            yield TracebackLine("own", frame["function"], frame["file"], frame["line"], source)
        elif folded := _FOLDED.fullmatch(line):
            yield TracebackLine("lib", folded["said"])
        elif line.startswith(("The error above", "While the error above", "Part ", "and ")):
            yield TracebackLine("part", line.rstrip(":"))
        else:
            yield TracebackLine("what", line)
