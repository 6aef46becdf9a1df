"""The state machine of a task, drawn with the way that one task took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from markupsafe import Markup, escape

from rediq_trio.web.drawing.glyphs import SHAPES

StateEdge = tuple[str, str]
"""From one state to another; `start` stands for the enqueue."""

PLACES: Mapping[str, tuple[int, int]] = {
    "blocked": (112, 62), "grouped": (112, 178), "scheduled": (318, 36), "pending": (318, 120),
    "retry": (318, 204), "active": (552, 120), "completed": (816, 36), "dead": (816, 120),
    "cancelled": (816, 204),
}  # fmt: skip
"""The middle of each state, always the same."""


class _Way(NamedTuple):
    """One edge: its curve, and where its words stand; without an anchor it has none."""

    path: str
    tip: tuple[float, float, float, float]
    """Where the curve ends, and the point from which it comes there."""
    x: int = 0
    y: int = 0
    anchor: str = ""


EDGE_PATHS: Mapping[StateEdge, _Way] = {
    ("start", "blocked"): _Way("M20 114C28 74 34 62 50 62", (50, 62, 34, 62), 24, 44, "start"),
    ("start", "grouped"): _Way("M20 126C28 166 34 178 50 178", (50, 178, 34, 178), 24, 212, "start"),
    ("start", "pending"): _Way("M22 120H256", (256, 120, 22, 120), 140, 114, "middle"),
    ("start", "scheduled"): _Way("M18 110C30 8 120 14 256 30", (256, 30, 120, 14), 140, 12, "middle"),
    ("blocked", "scheduled"): _Way("M174 56C205 50 225 44 256 40", (256, 40, 225, 44)),
    ("blocked", "pending"): _Way("M174 70C214 84 220 108 256 113", (256, 113, 220, 108)),
    ("blocked", "dead"): _Way("M174 50C240 -6 620 -10 784 102", (784, 102, 620, -10)),
    ("grouped", "pending"): _Way("M174 170C214 156 220 132 256 127", (256, 127, 220, 132)),
    ("scheduled", "pending"): _Way("M318 54V102", (318, 102, 318, 54), 326, 82, "start"),
    ("retry", "pending"): _Way("M318 186V138", (318, 138, 318, 186), 326, 166, "start"),
    ("pending", "active"): _Way("M380 113H490", (490, 113, 380, 113), 435, 107, "middle"),
    ("active", "pending"): _Way("M490 127H380", (380, 127, 490, 127), 435, 141, "middle"),
    ("active", "scheduled"): _Way("M534 102C500 50 450 36 380 36", (380, 36, 450, 36), 470, 48, "start"),
    ("active", "retry"): _Way("M534 138C500 190 450 204 380 204", (380, 204, 450, 204), 498, 186, "start"),
    ("active", "completed"): _Way("M614 110C690 98 680 44 754 38", (754, 38, 680, 44), 690, 66, "end"),
    ("active", "dead"): _Way("M614 120H754", (754, 120, 614, 120), 684, 114, "middle"),
    ("active", "cancelled"): _Way("M614 130C690 142 680 196 754 202", (754, 202, 680, 196), 690, 182, "end"),
    ("waiting", "cancelled"): _Way("M318 222C330 250 700 252 786 222", (786, 222, 700, 252), 560, 240, "middle"),
    ("waiting", "dead"): _Way("M352 102C470 2 680 30 784 102", (784, 102, 680, 30), 560, 30, "middle"),
}  # fmt: skip
"""Every edge that is drawn. `waiting` stands for whatever waits: its time, its next attempt, a worker."""

_RARE = {("blocked", "dead")}
"""Edges that are drawn only where they were taken: they cross others."""


def machine(
    way: Mapping[StateEdge, str], visits: Mapping[str, str], here: str, label: str
) -> Markup:
    """Return the state machine with a way lit.

    `way` has what is said at each edge that was taken, `visits` what is said in each state that was
    visited, `here` is the state now, and `label` is for those who do not see the drawing. All texts
    may be anything.
    """
    out = [f'<svg class="sm" viewBox="0 0 900 252" role="img" aria-label="{escape(label)}">']
    for lit in (False, True):
        out += [
            _edge(EDGE_PATHS[edge], lit=lit)
            for edge in EDGE_PATHS
            if (edge in way) == lit and (lit or edge not in _RARE)
        ]
    out += [_state(state, visits, here) for state in PLACES]
    out.append('<circle cx="14" cy="120" r="6" class="mark plain"/>')
    for edge, words in way.items():
        one = EDGE_PATHS[edge]
        if one.anchor:
            out.append(
                f'<text class="lab halo" x="{one.x}" y="{one.y}" text-anchor="{one.anchor}">'
                f"{escape(words)}</text>"
            )
    return Markup("".join(out) + "</svg>")


def _state(state: str, visits: Mapping[str, str], here: str) -> str:
    x, y = PLACES[state]
    seen = state in visits
    kind = f"{state} v{' here' if state == here else ''}" if seen else "plain"
    said = (
        f'<text class="count" x="{x - 34}" y="{y + 12}">{escape(visits[state])}</text>'
        if seen
        else ""
    )
    return (
        f'<g class="{kind}"><rect x="{x - 62}" y="{y - 18}" width="124" height="36" rx="4"/>'
        f'<g class="g" transform="translate({x - 52} {y - 14 if seen else y - 6})">{SHAPES[state]}</g>'
        f'<text class="name" x="{x - 34}" y="{y - 3 if seen else y + 5}">{state}</text>{said}</g>'
    )  # fmt: skip


def _edge(one: _Way, *, lit: bool) -> str:
    x, y, from_x, from_y = one.tip
    size = ((x - from_x) ** 2 + (y - from_y) ** 2) ** 0.5
    ahead = (x - from_x) / size, (y - from_y) / size
    back = 9 if lit else 6
    wide = back * 0.45
    foot = x - back * ahead[0], y - back * ahead[1]
    left = f"{foot[0] - wide * ahead[1]:.1f},{foot[1] + wide * ahead[0]:.1f}"
    right = f"{foot[0] + wide * ahead[1]:.1f},{foot[1] - wide * ahead[0]:.1f}"
    also = " lit" if lit else ""
    line = f'<path class="lit" d="{one.path}"/>' if lit else f'<path d="{one.path}"/>'
    return f'{line}<polygon class="tip{also}" points="{x:.1f},{y:.1f} {left} {right}"/>'
