"""What the terminal can show: how many colors, light or dark ground, and which characters."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

import attrs

TERMINAL_ANSWERS_WITHIN = 0.2
"""Seconds that a terminal has to say what its ground is."""
_ASK = b"\x1b]11;?\x1b\\\x1b[c"
"""The color of the ground, then what every terminal answers, so that nobody waits for the first."""
_GROUND = re.compile(rb"\x1b\]11;rgb:([0-9a-fA-F]+)/([0-9a-fA-F]+)/([0-9a-fA-F]+)")
_ANSWERED = re.compile(rb"\x1b\[\?[0-9;]*c")


@attrs.frozen
class Ground:
    """What a terminal can show."""

    colors: str
    """`truecolor`, `256`, `standard` or `none`."""
    light: bool
    unicode: bool


def ground_of(
    env: Mapping[str, str], answer: bytes, *, encoding: str, light: bool | None = None
) -> Ground:
    """Return what a terminal can show, by the environment and its answer.

    `light` is what the user said; without it the answer decides, then `COLORFGBG`, then it is dark.
    """
    if light is None:
        light = _is_light(answer)
    if light is None:
        last = env.get("COLORFGBG", "").rpartition(";")[2]
        light = last in ("7", "15")
    return Ground(colors_of(env), light, encoding.lower().replace("-", "") in ("utf8", "utf_8"))


def colors_of(env: Mapping[str, str]) -> str:
    """Return how many colors a terminal has, by the environment."""
    term = env.get("TERM", "")
    if "NO_COLOR" in env or term in ("", "dumb", "unknown", "vt100", "vt220"):
        return "none"
    if env.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return "truecolor"
    return "256" if "256color" in term or "kitty" in term else "standard"


def _is_light(answer: bytes) -> bool | None:
    if (found := _GROUND.search(answer)) is None:
        return None
    red, green, blue = (int(part, 16) / int("f" * len(part), 16) for part in found.groups())
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.5


def ask_terminal() -> bytes:
    """Ask the terminal what its ground is; return what it answers, b"" where it cannot be asked."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return b""
    fd = sys.__stdin__.fileno() if sys.__stdin__ is not None else -1
    try:
        before = termios.tcgetattr(fd)
    except (termios.error, OSError, ValueError):
        return b""
    try:
        tty.setcbreak(fd, termios.TCSANOW)
        os.write(fd, _ASK)
        return _read_answer(fd)
    except (termios.error, OSError):
        return b""
    finally:
        with suppress(termios.error):  # the terminal may have gone meanwhile
            termios.tcsetattr(fd, termios.TCSANOW, before)


def _read_answer(fd: int) -> bytes:
    found, until = b"", time.monotonic() + TERMINAL_ANSWERS_WITHIN
    while not _ANSWERED.search(found) and (left := until - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            found += os.read(fd, 1024)
    return found
