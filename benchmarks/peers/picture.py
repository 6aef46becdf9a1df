"""The record as a picture: a panel for each row, a bar for each peer, as an SVG of its own.

Each panel has its own scale, from 0 to the most. Middle tones on no ground, so that it can be
read on a white page and on a black one.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from benchmarks.peers.record import Record, Row
from benchmarks.peers.roster import OWN
from benchmarks.peers.tables import number, shown_versions

WIDE, COLUMNS = 400.0, 2
NAMES, FIGURES, BAR, GAP = 120.0, 66.0, 11.0, 5.0
"""Across, the room for names and figures; down, a bar and what is between two."""
MARGIN, TITLE, LINE = 18.0, 26.0, 14.0
LETTERS = 120
"""In a line below the panels."""
TEXT, LIBRARY, PEER, SPREAD = "#7a8698", "#3f8fd0", "#9aa5b4", "#c98a1b"


def draw(record: Record, rows: Sequence[Row]) -> str:
    """Draw the medians, with a line from the least to the most that was seen."""
    shown = [row for row in rows if any(record.values(row, name) for name in record.peers)]
    high = TITLE + len(record.peers) * (BAR + GAP)
    down = -(-len(shown) // COLUMNS)
    width = COLUMNS * (WIDE + MARGIN) + MARGIN
    foot = _foot(record)
    height = down * (high + MARGIN) + 2 * MARGIN + len(foot) * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="system-ui, sans-serif" font-size="11" role="img">',
        f"<title>{escape(f'{OWN} and its peers: {len(shown)} figures')}</title>",
    ]
    for place, row in enumerate(shown):
        left = MARGIN + place % COLUMNS * (WIDE + MARGIN)
        top = MARGIN + place // COLUMNS * (high + MARGIN)
        parts.append(f'<g transform="translate({left:g} {top:g})">{_panel(record, row)}</g>')
    for line, text in enumerate(foot):
        y = height - MARGIN - (len(foot) - 1 - line) * LINE
        parts.append(f'<text x="{MARGIN:g}" y="{y:g}" fill="{TEXT}">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _foot(record: Record) -> list[str]:
    facts = record.facts
    where = [facts[name] for name in ("date", "cpu", "system", "python", "server") if name in facts]
    with_ = [shown_versions(peer) for peer in record.peers.values()]
    texts = [facts.get("command", ""), ", ".join(where), "; ".join(filter(None, with_))]
    return [line for text in texts for line in wrap(text, LETTERS)]


def _panel(record: Record, row: Row) -> str:
    unit = f", {row.unit}" if row.unit else ""
    better = ("less is better" if row.least else "more is better") if row.compared else ""
    parts = [
        f'<text y="12" fill="{TEXT}" font-weight="600" font-size="12">{escape(row.title + unit)}</text>',
        f'<text x="{WIDE:g}" y="12" fill="{TEXT}" text-anchor="end">{better}</text>',
    ]
    found = {name: record.values(row, name) for name in record.peers}
    most = (
        max((value for values in found.values() for value in values.values()), default=0.0) or 1.0
    )
    long = WIDE - NAMES - FIGURES
    for place, (name, values) in enumerate(found.items()):
        y = TITLE + place * (BAR + GAP)
        colour = LIBRARY if name == OWN else PEER
        weight = ' font-weight="600"' if name == OWN else ""
        parts.append(
            f'<text x="{NAMES - 6:g}" y="{y + BAR - 2:g}" fill="{TEXT}" text-anchor="end"{weight}>'
            f"{escape(name)}</text>"
        )
        median = record.median(row, name)
        if median is None:
            tried = record.peers[name].get("missing") or record.tried(name, row.measure)
            said = "failed" if tried else "not measured"
            parts.append(f'<text x="{NAMES:g}" y="{y + BAR - 2:g}" fill="{TEXT}">{said}</text>')
            continue
        across = max(1.0, median / most * long)
        low, top = (
            NAMES + value / most * long for value in (min(values.values()), max(values.values()))
        )
        middle = y + BAR / 2
        parts += [
            f'<rect x="{NAMES:g}" y="{y:g}" width="{across:.1f}" height="{BAR:g}" fill="{colour}"/>',
            f'<path d="M{low:.1f} {middle:g}H{top:.1f}" stroke="{SPREAD}" stroke-width="2"/>',
            f'<text x="{max(NAMES + across, top) + 6:.1f}" y="{y + BAR - 2:g}" fill="{TEXT}"{weight}>'
            f"{number(median)}</text>",
        ]
    return "".join(parts)
