"""The attempts of a task on one axis of time: a row of bars for each, and the words of the axis."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs
from markupsafe import Markup, escape

from rediq_trio.observe.words import duration

LEAST_WIDTH = 0.35
"""The width of the shortest bar, in per cent of the axis: so that what took no time is seen too."""


@attrs.frozen
class Bar:
    """One part of an attempt on the axis."""

    kind: str
    """`wait`, `run` or `back`: the class of its colour."""
    since: float
    """Where it begins, in seconds from the beginning of the axis."""
    until: float
    said: str
    """What it says when it is pointed at."""


def life(bars: Sequence[Bar], total: float) -> Markup:
    """Return the bars of one attempt, on an axis of `total` seconds."""
    out = [
        '<svg width="100%" height="18" aria-hidden="true"><line class="grid" x1="0" x2="100%" y1="9" y2="9"/>'
    ]
    total = max(total, 0.001)
    for bar in bars:
        since = min(100.0, max(0.0, 100 * bar.since / total))
        wide = min(max(100 * bar.until / total - since, LEAST_WIDTH), 100 - since)
        out.append(
            f'<rect class="{bar.kind}" x="{since:.2f}%" y="3" width="{max(wide, 0):.2f}%" height="12">'
            f"<title>{escape(bar.said)}</title></rect>"
        )
    return Markup("".join(out) + "</svg>")


def axis(since: dt.datetime, until: dt.datetime, zone: dt.tzinfo) -> Markup:
    """Return the words along an axis: four instants, with the day where it is longer than one."""
    whole = (until - since).total_seconds()
    form = "%d %b %H:%M" if whole > 20 * 3600 else "%H:%M:%S"
    said = [(since + (until - since) * n / 3).astimezone(zone).strftime(form) for n in range(4)]
    if whole < 10:  # so short that the clock says too little
        said[1:] = [f"+{duration(whole * n / 3)}" for n in range(1, 4)]
    words = "".join(f"<span>{escape(word)}</span>" for word in said)
    return Markup(f'<span class="xs">{words}</span>')
