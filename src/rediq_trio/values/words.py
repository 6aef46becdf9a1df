"""The words for values: durations, counts, bytes, instants, and text of which nothing is trusted.

Every tool takes its words from here, so that no two say the same value differently.
"""

from __future__ import annotations

import datetime as dt
import math
import re

_HOSTILE = re.compile(
    # C0 and C1 controls with DEL; the characters that order text from right to left, or hide in it;
    # surrogates, which no terminal can encode; line and paragraph separators.
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff"
    # Marks of annotations, and tags, which no one sees.
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def shown(text: str, most: int | None = None) -> str:
    """Return text of a task on one line, with what a terminal would obey written as escapes.

    Longer text is cut to `most` characters, the last of which is then an ellipsis.
    """
    if most is not None and len(text) > most:
        text = text[: max(0, most - 1)] + "…"
    return _HOSTILE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape", "surrogatepass").decode("ascii")


def duration(seconds: float) -> str:
    """Return seconds in one or two units: "3 ms", "2.4 s", "40 s", "3 min 20 s", "2 h 5 min", "45 d"."""
    if math.isnan(seconds):
        return "unknown"
    if math.isinf(seconds):
        return "for ever"
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)} ms" if seconds else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    if round(seconds) < 600:
        return _units(round(seconds), 60, "min", "s")
    if round(seconds / 60) < 60:
        return f"{round(seconds / 60)} min"
    if round(seconds / 60) < 24 * 60:
        return _units(round(seconds / 60), 60, "h", "min")
    if round(seconds / 3600) < 10 * 24:
        return _units(round(seconds / 3600), 24, "d", "h")
    return f"{round(seconds / 86_400):,} d"


def _units(number: int, each: int, large: str, small: str) -> str:
    whole, rest = divmod(number, each)
    return f"{whole} {large}" + (f" {rest} {small}" if rest else "")


def count(number: int) -> str:
    """Return a number with its thousands apart: "12,345"."""
    return f"{number:,}"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with what it counts: "1 task", "12,345 tasks"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def rate(per_second: float) -> str:
    """Return how often something happens: "12/s", "1.5/s", "40/min", "3/h"."""
    if per_second >= 0.95 or per_second == 0:
        return (
            f"{per_second:,.0f}/s"
            if per_second >= 9.95 or not per_second
            else f"{per_second:.1f}/s"
        )
    per_minute = per_second * 60
    return f"{per_minute:.0f}/min" if per_minute >= 0.95 else f"{per_second * 3600:.0f}/h"


def ordinal(number: int) -> str:
    """Return "1st", "2nd", "3rd", "412th"."""
    last = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number:,}{last}"


def size(number: float) -> str:
    """Return a number of bytes in powers of 1,024: "512 B", "1.5 KiB", "64 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1000 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"


def instant(at: dt.datetime) -> str:
    """Return an instant in UTC to the second: "2026-11-29 02:50:21"."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def relative(at: dt.datetime, now: dt.datetime) -> str:
    """Return how far an instant is from another: "3 min ago", "in 40 s", "now"."""
    apart = (at - now).total_seconds()
    if abs(apart) < 0.5:
        return "now"
    return f"in {duration(apart)}" if apart > 0 else f"{duration(-apart)} ago"


def when(at: dt.datetime | None, now: dt.datetime) -> str:
    """Return an instant with how far it is: "2026-11-29 02:50:21 (3 min ago)"; "-" for None."""
    return "-" if at is None else f"{instant(at)} ({relative(at, now)})"


def percent(part: float) -> str:
    """Return a share of 1 in percent: "37 %"."""
    return f"{part * 100:.0f} %"


def share(part: float) -> str:
    """Return a small share of 1 in percent, to two digits: "0.5 %", "12 %", "0.0001 %"."""
    return f"{float(f'{part * 100:.2g}'):.10f}".rstrip("0").rstrip(".") + " %"


def read_duration(text: str) -> float:
    """Return the seconds of a duration as people write it: "90", "90s", "5m", "2h", "1d", "250ms".

    Raises `ValueError`, which says what is accepted.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|sec|min|m|h|d|w)?", text.strip())
    if found is None:
        raise ValueError(f"{text!r}: must be a duration like 90, 250ms, 30s, 5m, 2h or 1d")
    factor = {"ms": 0.001, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
    return float(found[1]) * factor.get(found[2] or "s", 1)
