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


@attrs.define
class _Item:
    """A box, or the bend of a link."""

    layer: int
    breadth: float
    """Its size along the layer."""
    name: str | None
    above: list[int] = attrs.field(factory=list[int])
    below: list[int] = attrs.field(factory=list[int])
    at: float = 0.0
    """The position of its middle along the layer."""


def lay_out(needs: Needs, sizes: Mapping[str, Point], *, gap: Point, between: float) -> Layout:
    """Return the layout of an acyclic graph.

    `sizes`: each box's width and height. `gap`: the minimum space between boxes
    of one layer, horizontally and vertically. `between`: the minimum space between layers.
    """
    depth = layers(needs)
    rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in needs:
        rows[depth[name]].append(name)
    across = max((sum(sizes[n][0] + gap[0] for n in row) for row in rows), default=0)
    along = sum(max(sizes[n][0] for n in row) + between for row in rows)
    down = across <= max(PAGE_WIDTH, along)
    side = 0 if down else 1
    items = [_Item(depth[name], sizes[name][side], name) for name in _in_depth_first_order(needs)]
    paths = _connect(items, needs)
    ranked: list[list[int]] = [[] for _ in rows]
    for number, item in enumerate(items):
        ranked[item.layer].append(number)
    _order(items, ranked)
    _position(items, ranked, gap[side])
    deep = [max(sizes[name][1 - side] for name in row) for row in rows]
    tops = _tops(items, ranked, deep, between)
    return _measured(items, paths, tops, deep, sizes, down=down)


def _in_depth_first_order(needs: Needs) -> list[str]:
    # Depth first, so that neighbours start next to each other.
    dependents = dependents_of(needs)
    seen: dict[str, None] = {}
    for root in needs:
        if any(True for _ in needs[root]):
            continue
        stack = [root]
        while stack:
            name = stack.pop()
            if name not in seen:
                seen[name] = None
                stack.extend(reversed(dependents[name]))
    return list(seen)


def _connect(items: list[_Item], needs: Needs) -> dict[tuple[str, str], list[int]]:
    """Connect the items, with bends between distant ones; links from one box share bends."""
    number = {item.name: index for index, item in enumerate(items)}
    paths: dict[tuple[str, str], list[int]] = {}
    shared: dict[tuple[int, int], int] = {}
    linked: set[tuple[int, int]] = set()
    boxes = len(items)
    for name in [item.name for item in items if item.name is not None]:
        end = number[name]
        for before in needs[name]:
            path = [number[before]]
            passed = range(items[path[0]].layer + 1, items[end].layer)
            if len(items) - boxes + len(passed) <= MAX_BENDS:
                for layer in passed:
                    key = (path[0], layer)
                    if key not in shared:
                        shared[key] = len(items)
                        items.append(_Item(layer, 0.0, None))
                    path.append(shared[key])
            path.append(end)
            paths[before, name] = path
            for upper, lower in itertools.pairwise(path):
                if (upper, lower) not in linked:
                    linked.add((upper, lower))
                    items[upper].below.append(lower)
                    items[lower].above.append(upper)
    return paths


def _order(items: list[_Item], ranked: list[list[int]]) -> None:
    for row in ranked:
        _number(items, row)
    for sweep in range(ORDER_SWEEPS):
        downward = sweep % 2 == 0
        for row in ranked if downward else reversed(ranked):
            middle: dict[int, float] = {}
            for number in row:
                item = items[number]
                near = item.above if downward else item.below
                middle[number] = (
                    sum(items[other].at for other in near) / len(near) if near else item.at
                )
            row.sort(key=middle.__getitem__)
            _number(items, row)


def _number(items: list[_Item], row: list[int]) -> None:
    for index, number in enumerate(row):
        items[number].at = index - (len(row) - 1) / 2


def _position(items: list[_Item], ranked: list[list[int]], gap: float) -> None:
    offsets: list[list[float]] = []
    for row in ranked:
        at, steps = 0.0, [0.0]
        for left, right in itertools.pairwise(row):
            at += (items[left].breadth + items[right].breadth) / 2 + gap
            steps.append(at)
        offsets.append(steps)
        for number, step in zip(row, steps, strict=True):
            items[number].at = step - at / 2
    for sweep in range(POSITION_SWEEPS):
        # The last sweeps use the neighbours on both sides.
        sides = (True, True) if sweep >= POSITION_SWEEPS - 4 else (sweep % 2 == 0, sweep % 2 == 1)
        pairs = list(zip(ranked, offsets, strict=True))
        for row, steps in pairs if sweep % 2 == 0 else reversed(pairs):
            _settle(items, row, steps, above=sides[0], below=sides[1])


def _settle(
    items: list[_Item], row: list[int], steps: list[float], *, above: bool, below: bool
) -> None:
    # Blocks of items at minimum distance from each other: sum, weight, count.
    blocks: list[tuple[float, float, int]] = []
    for number, step in zip(row, steps, strict=True):
        item = items[number]
        near = (item.above if above else []) + (item.below if below else [])
        total, weight = item.at * 0.01, 0.01
        for other in near:
            # Long links have more weight, so that they are straight.
            pull = (1.0, 3.0, 8.0)[(item.name is None) + (items[other].name is None)]
            total += items[other].at * pull
            weight += pull
        block = (total - step * weight, weight, 1)
        while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    start = 0
    for total, weight, count in blocks:
        for number, step in zip(row[start : start + count], steps[start:], strict=False):
            items[number].at = total / weight + step
        start += count


def _tops(
    items: list[_Item], ranked: list[list[int]], deep: Sequence[float], between: float
) -> list[float]:
    """Return where each layer starts: further down if links have far to go sideways."""
    tops: list[float] = []
    at = MARGIN
    for row, size in zip(ranked, deep, strict=True):
        tops.append(at)
        aside = max(
            (abs(items[n].at - items[other].at) for n in row for other in items[n].below), default=0
        )
        at += size + between + min(between * 2, aside * 0.06)
    return tops


def _measured(
    items: list[_Item],
    paths: Mapping[tuple[str, str], list[int]],
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
        points = [point(items[path[0]].at, ends[before])]
        for bend in (items[number] for number in path[1:-1]):
            top = tops[bend.layer]
            points += [point(bend.at, top), point(bend.at, top + deep[bend.layer])]
        points.append(point(items[path[-1]].at, begins[after]))
        lines.append(DrawnLink(before, after, tuple(points)))
    width, height = (right - left, length) if down else (length, right - left)
    return Layout(width, height, down, boxes, tuple(lines))
