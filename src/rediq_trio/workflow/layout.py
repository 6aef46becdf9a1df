"""Layered layout of a graph: positions of boxes and paths of links (Sugiyama 1981).

A box is in the layer of the longest path to it. A link that crosses layers bends in each of
them, and each bend is ordered and positioned like a box. The order within a layer follows
the mean position of the neighbours, in a few sweeps. Positions are then as near to the
neighbours as the gaps allow: an isotonic regression in linear time (pool adjacent
violators, Barlow 1972).

Layers go down the page, or to the right if they would be too wide.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import attrs

from rediq_trio.workflow.plan import Needs, dependents_of, layers

PAGE_WIDTH = 1200.0  # above this width layers go to the right, if that is narrower
MARGIN = 12.0
ORDER_SWEEPS = 8  # sweeps that order the layers
POSITION_SWEEPS = 20  # sweeps that position the items
MAX_BENDS = 4000  # with more bends, links are straight

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, width and height."""


@attrs.frozen
class DrawnLink:
    """A link from one box to another."""

    before: str
    after: str
    points: tuple[Point, ...]
    """The end of the first box, two points for each crossed layer, the start of the second box."""


@attrs.frozen
class Layout:
    """The geometry of a drawing, without colours."""

    width: float
    height: float
    down: bool
    """Whether the layers go down; otherwise they go to the right."""
    boxes: Mapping[str, Box]
    lines: tuple[DrawnLink, ...]


@attrs.define(eq=False)
class _Item:
    """A box, or the bend of a link."""

    layer: int
    breadth: float
    """Its size along the layer."""
    name: str | None
    above: list[_Item] = attrs.field(factory=list, repr=False)
    below: list[_Item] = attrs.field(factory=list, repr=False)
    at: float = 0.0
    """The position of its middle along the layer."""


_Paths = Mapping[tuple[str, str], Sequence[_Item]]
"""Each link, by the names of its boxes, with its boxes and bends."""


def lay_out(
    needs: Needs,
    sizes: Mapping[str, Point],
    *,
    gap: Point,
    between: float,
    down: bool | None = None,
) -> Layout:
    """Return the layout of an acyclic graph.

    `sizes`: each box's width and height. `gap`: the minimum space between boxes
    of one layer, horizontally and vertically. `between`: the minimum space between layers. `down`:
    whether layers go down the page; None for the narrower way.
    """
    depth = layers(needs)
    names: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in needs:
        names[depth[name]].append(name)
    across = max((sum(sizes[n][0] + gap[0] for n in row) for row in names), default=0)
    along = sum(max(sizes[n][0] for n in row) + between for row in names)
    if down is None:
        down = across <= max(PAGE_WIDTH, along)
    side = 0 if down else 1
    boxes = [_Item(depth[name], sizes[name][side], name) for name in _depth_first(needs)]
    items, paths = _connect(boxes, needs)
    rows: list[list[_Item]] = [[] for _ in names]
    for item in items:
        rows[item.layer].append(item)
    _order(rows)
    _position(rows, gap[side])
    deep = [max(sizes[name][1 - side] for name in row) for row in names]
    return _measured(items, paths, _tops(rows, deep, between), deep, sizes, down=down)


def _depth_first(needs: Needs) -> list[str]:
    """Return the names in depth-first order, so that neighbours start next to each other."""
    dependents = dependents_of(needs)
    seen: dict[str, None] = {}
    stack = [name for name in needs if not list(needs[name])][::-1]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen[name] = None
            stack.extend(reversed(dependents[name]))
    return list(seen)


def _connect(boxes: Sequence[_Item], needs: Needs) -> tuple[list[_Item], _Paths]:
    """Connect the boxes; return them with the bends between distant ones, which links share."""
    items = list(boxes)
    box_of = {box.name: box for box in boxes}
    paths: dict[tuple[str, str], list[_Item]] = {}
    shared: dict[tuple[_Item, int], _Item] = {}
    for box in boxes:
        assert box.name is not None
        for before in needs[box.name]:
            first = box_of[before]
            path = [first]
            passed = range(first.layer + 1, box.layer)
            if len(items) - len(boxes) + len(passed) <= MAX_BENDS:
                for layer in passed:
                    if (first, layer) not in shared:
                        shared[first, layer] = bend = _Item(layer, 0.0, None)
                        items.append(bend)
                    path.append(shared[first, layer])
            path.append(box)
            paths[before, box.name] = path
    for upper, lower in dict.fromkeys(
        pair for path in paths.values() for pair in itertools.pairwise(path)
    ):
        upper.below.append(lower)
        lower.above.append(upper)
    return items, paths


def _order(rows: Sequence[list[_Item]]) -> None:
    for row in rows:
        _number(row)
    for sweep in range(ORDER_SWEEPS):
        downward = sweep % 2 == 0
        for row in rows if downward else reversed(rows):
            middle: dict[_Item, float] = {}
            for item in row:
                near = item.above if downward else item.below
                middle[item] = sum(other.at for other in near) / len(near) if near else item.at
            row.sort(key=middle.__getitem__)
            _number(row)


def _number(row: list[_Item]) -> None:
    for index, item in enumerate(row):
        item.at = index - (len(row) - 1) / 2


def _position(rows: Sequence[list[_Item]], gap: float) -> None:
    pairs: list[tuple[list[_Item], list[float]]] = []
    for row in rows:
        at, steps = 0.0, [0.0]
        for left, right in itertools.pairwise(row):
            at += (left.breadth + right.breadth) / 2 + gap
            steps.append(at)
        pairs.append((row, steps))
        for item, step in zip(row, steps, strict=True):
            item.at = step - at / 2
    for sweep in range(POSITION_SWEEPS):
        downward = sweep % 2 == 0
        both = sweep >= POSITION_SWEEPS - 4  # the last sweeps use the neighbours on both sides
        for row, steps in pairs if downward else reversed(pairs):
            _settle(row, steps, above=downward or both, below=not downward or both)


def _settle(row: list[_Item], steps: list[float], *, above: bool, below: bool) -> None:
    # Blocks of items at minimum distance from each other: sum, weight, count.
    blocks: list[tuple[float, float, int]] = []
    for item, step in zip(row, steps, strict=True):
        total, weight = item.at * 0.01, 0.01
        for other in (item.above if above else []) + (item.below if below else []):
            # Long links have more weight, so that they are straight.
            pull = (1.0, 3.0, 8.0)[(item.name is None) + (other.name is None)]
            total += other.at * pull
            weight += pull
        block = (total - step * weight, weight, 1)
        while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    starts = itertools.chain.from_iterable([total / weight] * n for total, weight, n in blocks)
    for item, start, step in zip(row, starts, steps, strict=True):
        item.at = start + step


def _tops(rows: Sequence[list[_Item]], deep: Sequence[float], between: float) -> list[float]:
    """Return where each layer starts: further down if links have far to go sideways."""
    tops: list[float] = []
    at = MARGIN
    for row, size in zip(rows, deep, strict=True):
        tops.append(at)
        aside = max((abs(item.at - other.at) for item in row for other in item.below), default=0)
        at += size + between + min(between * 2, aside * 0.06)
    return tops


def _measured(
    items: Sequence[_Item],
    paths: _Paths,
    tops: Sequence[float],
    deep: Sequence[float],
    sizes: Mapping[str, Point],
    *,
    down: bool,
) -> Layout:
    left = min((item.at - item.breadth / 2 for item in items), default=0) - MARGIN
    right = max((item.at + item.breadth / 2 for item in items), default=0) + MARGIN
    length = (tops[-1] + deep[-1] if tops else MARGIN) + MARGIN

    def point(across: float, along: float) -> Point:
        return (across - left, along) if down else (along, across - left)

    boxes: dict[str, Box] = {}
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    for item in items:
        if item.name is not None:
            width, height = sizes[item.name]
            size = height
            if not down:  # a column's boxes are of one width
                size = width = deep[item.layer]
            begins[item.name] = tops[item.layer] + (deep[item.layer] - size) / 2
            ends[item.name] = begins[item.name] + size
            corner = point(item.at - item.breadth / 2, begins[item.name])
            boxes[item.name] = (*corner, width, height)
    lines: list[DrawnLink] = []
    for (before, after), path in paths.items():
        points = [point(path[0].at, ends[before])]
        for bend in path[1:-1]:
            top = tops[bend.layer]
            points += [point(bend.at, top), point(bend.at, top + deep[bend.layer])]
        points.append(point(path[-1].at, begins[after]))
        lines.append(DrawnLink(before, after, tuple(points)))
    width, height = (right - left, length) if down else (length, right - left)
    return Layout(width, height, down, boxes, tuple(lines))
