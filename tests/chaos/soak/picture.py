"""The soak as a picture: one small panel for each figure, over the run, as an SVG of its own.

Each panel has its own scale, from the least to the most that was seen, and the line that
was fitted to the second half. Middle tones on no ground, so that it can be read on a
white page and on a black one.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.chaos.soak.looking import Look
from tests.chaos.soak.verdict import BOUNDS, Row

WIDE, HIGH, COLUMNS = 270.0, 92.0, 3
MARGIN, TITLE = 14.0, 30.0
TEXT, SEEN, FITTED, FAILED = "#7a8698", "#3f8fd0", "#c98a1b", "#d04848"


def draw(looks: Sequence[Look], rows: Sequence[Row]) -> str:
    """Draw the looks under way."""
    names = [*BOUNDS]
    found = {row.name: row for row in rows}
    down = -(-len(names) // COLUMNS)
    width, height = COLUMNS * (WIDE + MARGIN) + MARGIN, down * (HIGH + TITLE + MARGIN) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img">',
        f"<title>{escape(f'{len(looks)} looks at a soak')}</title>",
    ]
    for place, name in enumerate(names):
        left = MARGIN + place % COLUMNS * (WIDE + MARGIN)
        top = MARGIN + place // COLUMNS * (HIGH + TITLE + MARGIN)
        parts.append(f'<g transform="translate({left:g} {top:g})">{_panel(looks, found[name])}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(looks: Sequence[Look], row: Row) -> str:
    values = [look.figures[row.name] for look in looks]
    least, most = min(values), max(values)
    first, last = looks[0].at, looks[-1].at

    def at(when: float, value: float) -> str:
        across = (when - first) / (last - first or 1) * WIDE
        up = HIGH / 2 if most == least else (value - least) / (most - least) * HIGH
        return f"{across:.1f},{TITLE + HIGH - min(max(up, 0), HIGH):.1f}"

    points = " ".join(at(look.at, value) for look, value in zip(looks, values, strict=True))
    colour = FAILED if row.wrong else TEXT
    parts = [
        f'<text y="12" fill="{colour}" font-weight="600">{escape(row.name)}</text>',
        f'<text x="{WIDE:g}" y="12" fill="{colour}" text-anchor="end">{least:,} to {most:,}</text>',
        f'<path d="M0 {TITLE + HIGH:g}H{WIDE:g}" stroke="{TEXT}" stroke-opacity=".4"/>',
        f'<polyline points="{points}" fill="none" stroke="{SEEN}" stroke-width="1.3"/>',
    ]
    if row.trend is not None:
        # Through the middle of the second half.
        second = looks[len(looks) // 2 :]
        middle = sorted(look.figures[row.name] for look in second)[len(second) // 2]
        begin, end = second[0].at, second[-1].at
        half = row.trend.rise / 2
        line = f"{at(begin, middle - half)} {at(end, middle + half)}"
        parts.append(f'<polyline points="{line}" fill="none" stroke="{FITTED}" stroke-width="2"/>')
        said = f"{row.trend.slope:+,.1f} a minute"
        parts.append(f'<text y="26" fill="{FITTED}" font-size="11">{said}</text>')
    return "".join(parts)
