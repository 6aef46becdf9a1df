"""Drawings of a graph of tasks: Mermaid text, and a self-contained SVG.

Both are plain text made here, so that a program can show its workflows without any other
software. Boxes have a light background with dark text, and links are grey: readable on a
light page and on a dark one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from html import escape

import attrs

from rediq_trio._errors import ConfigError, quote
from rediq_trio.spec.lifecycle import State
from rediq_trio.workflow.layout import Box, DrawnLink, Point, lay_out
from rediq_trio.workflow.plan import Needs

PURGED = "purged"
"""The state shown for a task that exists no longer."""
LINE_COLOUR = "#8793a5"
TEXT_SIZE = 13.0
STATE_SIZE = 10.5
NAME_LENGTH_MAX = 32  # characters of a name in its box
JUNCTION = 8.0
GAP = (26.0, 14.0)
BETWEEN = 42.0


@attrs.frozen
class Look:
    """The colours of a box, on a light page and on a dark one."""

    ground: str
    edge: str
    text: str
    dark_ground: str
    dark_edge: str
    dark_text: str
    dashed: bool = False


PLAIN = Look("#eef2f8", "#6b83a6", "#1f2a3a", "#232d3d", "#7f98bd", "#e4eaf3")
STATE_LOOKS: Mapping[str, Look] = {
    State.SCHEDULED: Look("#ece9fb", "#7a6fc0", "#2b2557", "#2b2850", "#9a90e0", "#e7e4ff"),
    State.BLOCKED: Look("#f1f3f6", "#8a94a3", "#3a4350", "#262b33", "#8a94a3", "#d5dbe4", True),
    State.GROUPED: Look("#f6e8f7", "#a866ad", "#4b1f4e", "#3f2542", "#c689cb", "#f5e2f6"),
    State.PENDING: Look("#dfebfc", "#3f78c4", "#143258", "#1b3355", "#6aa1ea", "#dceaff"),
    State.ACTIVE: Look("#fdf0cd", "#c48a12", "#4d3500", "#473611", "#e5b14a", "#ffefc9"),
    State.RETRY: Look("#fde4d3", "#cf6a25", "#56270a", "#4b2a15", "#ee9459", "#ffe3d2"),
    State.COMPLETED: Look("#ddf3df", "#3a9150", "#123d1d", "#193f24", "#5cbf75", "#d9f6df"),
    State.DEAD: Look("#fbdddd", "#c43c3c", "#5a1212", "#4d1d1d", "#ec7070", "#ffdcdc"),
    State.CANCELLED: Look("#e6e6e6", "#757575", "#333333", "#333333", "#9d9d9d", "#e6e6e6"),
    PURGED: Look("#fafafa", "#a9a9a9", "#6a6a6a", "#202020", "#7a7a7a", "#b5b5b5", True),
}
"""The colours of each state."""


def _checked(needs: Needs, states: Mapping[str, str | None] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, state in (states or {}).items():
        value = PURGED if state is None else state
        if name not in needs:
            raise ConfigError(f"states: the workflow has no node {quote(name)}")
        if not isinstance(value, str) or value not in STATE_LOOKS:
            raise ConfigError.of(
                f"states[{quote(name)}]", state, "a state or None: " + ", ".join(State)
            )
        found[name] = str(value)
    return found


def draw_mermaid(needs: Needs, states: Mapping[str, str | None] | None = None) -> str:
    """Return a drawing of a graph as Mermaid text, its boxes coloured by their states."""
    found = _checked(needs, states)
    keys = {name: f"n{index}" for index, name in enumerate(needs)}
    lines = ["graph TD"]
    for name, key in keys.items():
        state = f":::{found[name]}" if name in found else ""
        lines.append(f'    {key}["{_mermaid_text(name)}"]{state}')
    lines += [f"    {keys[before]} --> {keys[name]}" for name in needs for before in needs[name]]
    for state in sorted(set(found.values())):
        look = STATE_LOOKS[state]
        dashed = ",stroke-dasharray:5 4" if look.dashed else ""
        colours = f"fill:{look.ground},stroke:{look.edge},color:{look.text}"
        lines.append(f"    classDef {state} {colours}{dashed}")
    return "\n".join(lines) + "\n"


def _mermaid_text(text: str) -> str:
    # Mermaid reads #35; as a character code, and some characters as marks even in quotes. It
    # rejects text that starts like an item of a Markdown list.
    safe = re.sub(r"[^\w :./,()-]", lambda found: f"#{ord(found[0])};", text)
    return re.sub(r"^(\d*)([.-])", lambda found: f"{found[1]}#{ord(found[2])};", safe)


def draw_svg(needs: Needs, states: Mapping[str, str | None] | None = None, *, title: str) -> str:
    """Return a drawing of an acyclic graph as SVG, its boxes coloured by their states."""
    found = _checked(needs, states)
    tall = 44.0 if found else 34.0
    drawn = with_junctions(needs)
    sizes = {n: (_box_width(n), tall) if n in needs else (JUNCTION, JUNCTION) for n in drawn}
    layout = lay_out(drawn, sizes, gap=GAP, between=BETWEEN)
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" text-anchor="middle" '
        f"font-family=\"system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif\" "
        f'font-size="{TEXT_SIZE:g}">',
        f"<title>{escape(title)}</title>",
        _style({found.get(name, "plain") for name in needs}),
        f'<g fill="none" stroke="{LINE_COLOUR}" stroke-width="1.4">',
        *(f'<path d="{curve(line, down=layout.down)}"/>' for line in layout.lines),
        "</g>",
        _arrow_heads([line for line in layout.lines if line.after in needs], down=layout.down),
    ]
    parts += [_dot(layout.boxes[junction]) for junction in drawn if junction not in needs]
    parts += [_box(name, layout.boxes[name], found.get(name)) for name in needs]
    return "\n".join([*parts, "</svg>\n"])


def with_junctions(needs: Needs) -> dict[str, list[str]]:
    """Route links through one junction where many nodes wait for the same many nodes."""
    waiting: dict[frozenset[str], list[str]] = {}
    for name, before in needs.items():
        waiting.setdefault(frozenset(before), []).append(name)
    drawn = {name: list(before) for name, before in needs.items()}
    for names in waiting.values():
        before = drawn[names[0]]
        if len(before) * len(names) > 2 * (len(before) + len(names)):
            junction = f"\0{names[0]}"  # no node's name: those are printable
            drawn[junction] = before
            drawn.update({name: [junction] for name in names})
    return drawn


def _dot(box: Box) -> str:
    left, top, width, height = box
    middle = top + height / 2
    return (  # in a column of wide boxes, the links end at its sides: connect them
        f'<path d="M{left:.1f} {middle:.1f}h{width:.1f}" stroke="{LINE_COLOUR}" stroke-width="1.4"/>'
        f'<circle cx="{left + width / 2:.1f}" cy="{middle:.1f}" r="{JUNCTION / 2:g}" fill="{LINE_COLOUR}"/>'
    )


def _style(kinds: Iterable[str]) -> str:
    # The colours are written twice: at each box, for viewers without style sheets, and here
    # for dark pages.
    rules: list[str] = []
    for kind in sorted(kinds):
        look = STATE_LOOKS.get(kind, PLAIN)
        rules.append(f".rediq-{kind} rect{{fill:{look.dark_ground};stroke:{look.dark_edge}}}")
        rules.append(f".rediq-{kind} text{{fill:{look.dark_text}}}")
    return "<style>@media (prefers-color-scheme: dark){" + "".join(rules) + "}</style>"


def _box(name: str, box: Box, state: str | None) -> str:
    left, top, width, height = box
    look = PLAIN if state is None else STATE_LOOKS[state]
    middle = left + width / 2
    dashed = ' stroke-dasharray="5 4"' if look.dashed else ""
    tooltip = name if state is None else f"{name}: {state}"
    first = top + height / 2 + TEXT_SIZE * 0.36 - (0 if state is None else 7)
    second = f'<text x="{middle:.1f}" y="{first + 15:.1f}" font-size="{STATE_SIZE:g}" '
    second += f'opacity="0.8">{escape(state or "")}</text>'
    return (
        f'<g class="rediq-{state or "plain"}" fill="{look.text}"><title>{escape(tooltip)}</title>'
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8" '
        f'fill="{look.ground}" stroke="{look.edge}" stroke-width="1.3"{dashed}/>'
        f'<text x="{middle:.1f}" y="{first:.1f}">{escape(_cut(name))}</text>{second if state else ""}</g>'
    )


def _cut(name: str) -> str:
    if len(name) <= NAME_LENGTH_MAX:
        return name
    half = (NAME_LENGTH_MAX - 1) // 2
    return f"{name[:half]}…{name[-half:]}"  # long names often differ at the end


def _box_width(name: str) -> float:
    return max(84.0, sum(_letter_width(letter) for letter in _cut(name)) * TEXT_SIZE + 28)


def _letter_width(letter: str) -> float:
    """Return the approximate width of a letter, as a share of the text size; rather too wide."""
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    if letter in "iljtfr.,:;'|!-()[] ":
        return 0.42
    if letter in "mwMW@%":
        return 0.98
    return 0.74 if letter.isupper() else 0.64


def curve(line: DrawnLink, *, down: bool) -> str:
    """Return the path of a link as SVG."""
    at = line.points[0]
    path = _step("M", at)
    for index, to in enumerate(line.points[1:]):
        if index % 2:  # through a layer, from one side to the other
            path += _step("L", to)
        elif down:
            middle = (at[1] + to[1]) / 2
            path += _step("C", (at[0], middle), (to[0], middle), to)
        else:
            middle = (at[0] + to[0]) / 2
            path += _step("C", (middle, at[1]), (middle, to[1]), to)
        at = to
    return path


def _step(command: str, *points: Point) -> str:
    return command + " ".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _arrow_heads(lines: Iterable[DrawnLink], *, down: bool) -> str:
    # One for all links that end in a box: they arrive at one point, in one direction.
    wings = ((-4, -8), (4, -8)) if down else ((-8, -4), (-8, 4))
    path = ""
    for end in dict.fromkeys(line.points[-1] for line in lines):
        path += _step("M", end)
        path += "".join(_step("L", (end[0] + x, end[1] + y)) for x, y in wings) + "z"
    return f'<path d="{path}" fill="{LINE_COLOUR}"/>'
