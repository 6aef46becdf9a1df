"""The graph of a workflow: a box for each node, its links from left to right, live and clickable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from markupsafe import Markup, escape

from rediq_trio.observe.words import shown
from rediq_trio.web.drawing.glyphs import SHAPES
from rediq_trio.workflow.layout import Box, DrawnLink, Layout, lay_out
from rediq_trio.workflow.picture import curve, with_junctions

NODES_MAX = 500
"""Nodes of a graph that is drawn, at most."""
BOX = (152.0, 40.0)
ROW_GAP = (16.0, 16.0)
COLUMN_GAP = 44.0
NAME_MAX, WORDS_MAX = 18, 20
"""Characters of a name, and of the line below it, that a box has room for."""
JUNCTION_SIZE = 6.0
LIT = ' class="lit"'


@attrs.frozen(kw_only=True)
class DrawnNode:
    """One node: what its box says, and where it leads."""

    state: str
    """A state's name, or "gone"."""
    words: str
    """The line below its name."""
    href: str
    """Where its box leads; "" for nowhere."""
    lit: bool = False
    """Whether it has failed, or will not run because another has."""
    here: bool = False
    """Whether it is where the workflow stands still."""


@attrs.frozen
class GraphLayout:
    """Where the boxes and links of a graph are, whatever its nodes do."""

    needs: Mapping[str, Sequence[str]]
    drawn: Mapping[str, Sequence[str]]
    """The nodes with the junctions of links."""
    layout: Layout


def lay_out_graph(needs: Mapping[str, Sequence[str]]) -> GraphLayout:
    """Return where boxes and links are; `needs` has each node's name with those that it waits for."""
    drawn = with_junctions(needs)
    sizes = {name: BOX if name in needs else (JUNCTION_SIZE, JUNCTION_SIZE) for name in drawn}
    return GraphLayout(needs, drawn, lay_out(drawn, sizes, gap=ROW_GAP, between=COLUMN_GAP, down=False))


def draw_graph(graph: GraphLayout, nodes: Mapping[str, DrawnNode]) -> Markup:
    """Return a drawing of an acyclic graph of at most `NODES_MAX` nodes.

    A link is lit where both its ends are.
    """
    needs, drawn, layout = graph.needs, graph.drawn, graph.layout
    lit = {name for name, node in nodes.items() if node.lit}
    lit |= _lit_junctions(drawn, needs, lit)
    width, height = f"{layout.width:.0f}", f"{layout.height:.0f}"
    parts = [
        f'<svg class="dag" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="group" aria-label="Graph of the workflow">'
    ]
    # Those that are lit lie above the others.
    parts += [_link(line, lit=False) for line in layout.lines if not _is_lit(line, lit)]
    parts += [_link(line, lit=True) for line in layout.lines if _is_lit(line, lit)]
    parts += [_dot(layout.boxes[one], lit=one in lit) for one in drawn if one not in needs]
    parts += [_box(name, layout.boxes[name], nodes[name]) for name in needs]
    return Markup("".join([*parts, "</svg>"]))


def _lit_junctions(
    drawn: Mapping[str, Sequence[str]], needs: Mapping[str, Sequence[str]], lit: set[str]
) -> set[str]:
    return {
        name for name, before in drawn.items() if name not in needs and not lit.isdisjoint(before)
    }


def _is_lit(line: DrawnLink, lit: set[str]) -> bool:
    return line.before in lit and line.after in lit


def _link(line: DrawnLink, *, lit: bool) -> str:
    return f'<path{LIT if lit else ""} d="{curve(line, down=False)}"/>'


def _dot(box: Box, *, lit: bool) -> str:
    left, top, width, height = box
    y = top + height / 2
    return f'<path{LIT if lit else ""} d="M{left:.1f} {y:.1f}h{width:.1f}"/>'


def _box(name: str, box: Box, node: DrawnNode) -> str:
    x, y, width, height = box
    kind = node.state if node.state in SHAPES else "plain"
    shape = SHAPES.get(node.state, SHAPES["away"])
    here = " here" if node.here else ""
    inner = (
        f'<g class="node {kind}{here}"><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="4"/>'
        f'<svg class="g {kind}" x="{x + 9:.1f}" y="{y + 14:.1f}" width="12" height="12" '
        f'viewBox="0 0 12 12">{shape}</svg>'
        f'<text x="{x + 29:.1f}" y="{y + 17:.1f}">{escape(shown(name, NAME_MAX))}</text> '
        f'<text class="count" x="{x + 29:.1f}" y="{y + 32:.1f}">'
        f"{escape(shown(node.words, WORDS_MAX))}</text></g>"
    )
    title = f"<title>{escape(shown(f'{name}: {node.state}, {node.words}'))}</title>"
    if not node.href:
        return f"<g>{title}{inner}</g>"
    return f'<a href="{escape(node.href)}">{title} {inner}</a>'
