"""Standard input of a command: what is asked on a terminal, and lines from a pipe.

Neither uses `sys.stdin`: a thread that waits in it would hold its lock, and Python cannot end while
it does. So Ctrl-C ends a command at any prompt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import trio

from rediq_trio._errors import ConfigError

_STDIN = 0
_ANSWER_MAX = 1024


def is_asked() -> bool:
    """Return whether somebody can answer."""
    return os.isatty(_STDIN)


async def answer_to(question: str) -> str:
    """Ask on the terminal, on standard error; return the answer, "" at its end."""
    print(question, end="", file=sys.stderr, flush=True)
    read = await trio.to_thread.run_sync(os.read, _STDIN, _ANSWER_MAX, abandon_on_cancel=True)
    if not read.endswith(b"\n"):
        print(file=sys.stderr)
    return read.decode("utf-8", "replace").strip()


def input_lines() -> Iterator[str]:
    """Yield the lines of standard input; raise `ConfigError` for what is not UTF-8."""
    try:
        with open(_STDIN, "rb", closefd=False) as opened:
            yield from map(_text, enumerate(opened, 1))
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"-: cannot read standard input: {why}; pass < FILE") from None


def _text(numbered: tuple[int, bytes]) -> str:
    number, line = numbered
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"line {number}: is not UTF-8 at byte {error.start + 1}"
        raise ConfigError(f"{where}; convert the file first") from None
