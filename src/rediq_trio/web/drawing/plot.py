"""The frame of a chart: grid, times, marks, gaps, and the names at the ends of the lines.

The plot is an inner SVG that stretches with the page; the words stand in the outer one, placed by per
cent along x and by pixels along y, so that they keep their size.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs
from markupsafe import Markup, escape

from rediq_trio.observe.words import shown
from rediq_trio.web.drawing.svg import number

PLOT_WIDTH = 1000.0
"""Units of the inner SVG along x."""
PLOT_HEIGHT = 132.0
"""Pixels of a chart."""
LINE_APART = 14.0
"""Pixels between two names at the ends of lines."""
MARK_LETTER = 3.0
"""Per cent of a chart that a letter of a mark takes, about."""
MARK_SHOWN = 16
"""Characters of a mark that a chart shows."""
GUTTER = 46
"""Pixels at the left for the words of the grid."""
LETTER = 6.1
"""Pixels of a letter of the smallest size, about."""
A_FULL_DAY = dt.timedelta(days=1)


@attrs.frozen(kw_only=True)
class TimeFrame:
    """The time that the charts of a page show, with what is marked in it."""

    since: dt.datetime
    until: dt.datetime
    zone: dt.tzinfo = dt.UTC
    marks: tuple[tuple[dt.datetime, str], ...] = ()
    """Marks, each with its text, in any order."""
    gaps: tuple[tuple[dt.datetime, dt.datetime], ...] = ()
    """Times of which nothing is known."""

    @property
    def length(self) -> float:
        """Seconds from its beginning to its end."""
        return (self.until - self.since).total_seconds()

    def part(self, at: dt.datetime) -> float:
        """Return where an instant lies: 0 at the beginning, 1 at the end, and never outside."""
        if self.length <= 0:
            return 1.0
        return min(1.0, max(0.0, (at - self.since).total_seconds() / self.length))

    def x(self, at: dt.datetime) -> float:
        """Return the place of an instant in the inner SVG."""
        return PLOT_WIDTH * self.part(at)

    def said(self, at: dt.datetime) -> str:
        """Return an instant as short as the frame allows: "14:05", "28 Nov 14:05", "28 Nov"."""
        local = at.astimezone(self.zone)
        day = f"{local.day} {local:%b}"
        if self.until - self.since > 2 * A_FULL_DAY:
            return day
        same = local.date() == self.until.astimezone(self.zone).date()
        return (
            f"{local:%H:%M}"
            if same or self.until - self.since <= A_FULL_DAY
            else f"{day} {local:%H:%M}"
        )

    def times(self) -> tuple[str, ...]:
        """Return the words below a chart: five instants, evenly apart."""
        step = (self.until - self.since) / 4
        return tuple(self.said(self.since + step * n) for n in range(5))


@attrs.frozen
class LineEnd:
    """The name of a line at its end."""

    y: float
    ink: str
    text: str


@attrs.frozen(kw_only=True)
class Chart:
    """A chart, with its numbers as a table."""

    picture: Markup
    head: tuple[str, ...]
    """The heads of the columns of the table."""
    rows: tuple[tuple[str, ...], ...]


def plot(
    name: str,
    frame: TimeFrame,
    layers: str,
    *,
    label: str,
    scale: Sequence[tuple[float, str]],
    ends: Sequence[LineEnd] = (),
    height: float = PLOT_HEIGHT,
    gutter: int = GUTTER,
    goal: tuple[float, str] | None = None,
    floors: Sequence[float] = (),
) -> Markup:
    """Return a plot with its frame.

    `name` is unique on the page. `layers` is the SVG of the inner plot, `scale` the pixels and words of
    the grid, `goal` those of a target, and `floors` the pixels of further full lines.
    """
    tall, seen = number(height), f'role="img" aria-label="{escape(label)}"'
    words = "".join(
        f'<text x="{gutter}" y="{number(y + 4)}" text-anchor="end">{escape(text)}</text>'
        for y, text in scale
    )
    grid = "".join(_across("grid", round(y) + 0.5) for y, _ in scale)
    base = "".join(_across("base", round(y) + 0.5) for y in (*floors, height - 1))
    inner = (
        f'<svg viewBox="0 0 {number(PLOT_WIDTH)} {tall}" width="100%" height="{tall}" '
        f'preserveAspectRatio="none">{layers}</svg>'
    )
    return Markup(
        f'<div class="plot"><svg width="{gutter}" height="{tall}" aria-hidden="true">{words}</svg>'
        f'<svg width="100%" height="{tall}" {seen}>{grid}{inner}{_gaps(name, frame, height)}'
        f"{_marks(frame, height)}{_goal(goal)}{base}</svg>{_ends(ends, height)}"
        f'<div class="xs">{"".join(f"<span>{escape(each)}</span>" for each in frame.times())}</div>'
        "</div>"
    )


def _across(kind: str, y: float) -> str:
    return f'<line class="{kind}" x1="0" x2="100%" y1="{number(y)}" y2="{number(y)}"/>'


def _gaps(name: str, frame: TimeFrame, height: float) -> str:
    parts = [(100 * frame.part(since), 100 * frame.part(until)) for since, until in frame.gaps]
    wide = [(x, max(0.4, end - x)) for x, end in parts if end > x]
    if not wide:
        return ""
    ref = escape(f"{name}-gap")
    pattern = (
        f'<defs><pattern id="{ref}" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><path class="deploy" d="M0 0V6"/></pattern></defs>'
    )
    return pattern + "".join(
        f'<rect fill="url(#{ref})" x="{number(x)}%" y="0" width="{number(width)}%" '
        f'height="{number(height)}"><title>not known</title></rect>'
        for x, width in wide
    )


def _marks(frame: TimeFrame, height: float) -> str:
    drawn: list[str] = []
    free = 0.0  # from where on there is room for words
    for at, text in sorted(frame.marks):
        if not frame.since <= at <= frame.until:
            continue
        x = 100 * frame.part(at)
        place = f"{number(x)}%"
        drawn.append(
            f'<line class="deploy" x1="{place}" x2="{place}" y1="0" y2="{number(height)}">'
            f"<title>{escape(shown(text))}</title></line>"
        )
        words = shown(text, MARK_SHOWN)
        wide = len(words) * MARK_LETTER + 2
        if x >= free and x + wide <= 100:
            free, side = x + wide, 'dx="3"'
        elif x - wide >= free:
            free, side = x, 'dx="-3" text-anchor="end"'
        else:
            continue
        drawn.append(f'<text class="halo" x="{place}" {side} y="8">{escape(words)}</text>')
    return "".join(drawn)


def _goal(goal: tuple[float, str] | None) -> str:
    if goal is None:
        return ""
    y, words = goal
    at = number(y + 12 if y < 26 else y - 4)
    return f'{_across("goal", y)}<text class="halo strong" x="0" dx="3" y="{at}">{escape(words)}</text>'


def _ends(ends: Sequence[LineEnd], height: float) -> str:
    """Return the names at the ends of lines, pushed apart until none hides another."""
    if not ends:
        return "<span></span>"
    order = sorted(ends, key=lambda each: each.y)
    places = spread([each.y for each in order], 6.0, height - 4)
    width = round(max(len(each.text) for each in order) * LETTER) + 4
    texts = "".join(
        f'<text class="end {escape(each.ink)}" x="0" y="{number(y + 4)}">{escape(each.text)}</text>'
        for y, each in zip(places, order, strict=True)
    )
    return f'<svg width="{width}" height="{number(height)}" aria-hidden="true">{texts}</svg>'


def spread(places: Sequence[float], low: float, high: float) -> list[float]:
    """Return ordered places moved as little as they must to be `LINE_APART` pixels apart within bounds."""
    apart = min(LINE_APART, (high - low) / max(1, len(places) - 1))
    found: list[float] = []
    for n, place in enumerate(places):
        least = low if not found else found[-1] + apart
        most = high - apart * (len(places) - 1 - n)
        found.append(max(least, min(place, most)))
    return found
