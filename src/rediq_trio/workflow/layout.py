"""Where the boxes of a graph stand and how its lines go, in layers (Sugiyama 1981).

A box stands in the layer of the longest way to it. A line that passes layers
bends in each, at a place of its own there; so it is ordered and placed like a
box. The order within a layer follows the neighbours' middle in a few sweeps.
Places then are as near to the neighbours as the gaps allow, which is an isotonic
regression and costs linear time (pool adjacent violators, Barlow 1972).

Layers go down the page, or to the right where they would be too wide for one.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import attrs

from rediq_trio.workflow.plan import Needs, layers, turned

PAGE = 1200.0  # the width from which layers go to the right, if that is narrower
MARGIN = 12.0
ORDERINGS = 8  # sweeps that order the layers
PLACINGS = 20  # sweeps that place what is in them
MAX_BENDS = 4000  # with more bends than that, lines go straight through

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, width and height."""


@attrs.frozen
class Line:
    """From one box to another."""

    before: str
    after: str
    points: tuple[Point, ...]
    """The end of the one, two points for each layer that it passes, the begin of the other."""


@attrs.frozen
class Layout:
    """A drawing's measures, without its looks."""

    width: float
    height: float
    down: bool
    """Whether the layers go down; else they go to the right."""
    boxes: Mapping[str, Box]
    lines: tuple[Line, ...]


@attrs.define
class _Item:
    """A box, or the bend of a line."""

    layer: int
    breadth: float
    """Its size along the layer."""
    name: str | None
    above: list[int] = attrs.field(factory=list[int])
    below: list[int] = attrs.field(factory=list[int])
    at: float = 0.0
    """The place of its middle along the layer."""


def lay_out(needs: Needs, sizes: Mapping[str, Point], *, gap: Point, between: float) -> Layout:
    """Place the boxes of an acyclic graph.

    `sizes`: each box's width and height. `gap`: the least space between boxes of
    a layer, side by side and one above the other. `between`: the least space
    between layers.
    """
    depth = layers(needs)
    rows: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name in needs:
        rows[depth[name]].append(name)
    across = max((sum(sizes[n][0] + gap[0] for n in row) for row in rows), default=0)
    along = sum(max(sizes[n][0] for n in row) + between for row in rows)
    down = across <= max(PAGE, along)
    side = 0 if down else 1
    items = [_Item(depth[name], sizes[name][side], name) for name in _in_walking_order(needs)]
    ways = _connect(items, needs)
    ranked: list[list[int]] = [[] for _ in rows]
    for number, item in enumerate(items):
        ranked[item.layer].append(number)
    _order(items, ranked)
    _place(items, ranked, gap[side])
    deep = [max(sizes[name][1 - side] for name in row) for row in rows]
    tops = _tops(items, ranked, deep, between)
    return _measured(items, ways, tops, deep, sizes, down=down)


def _in_walking_order(needs: Needs) -> list[str]:
    # Depth first, so that what belongs together begins together.
    dependents = turned(needs)
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
    """Link the items, with bends between distant ones; lines from one box share their bends."""
    number = {item.name: place for place, item in enumerate(items)}
    ways: dict[tuple[str, str], list[int]] = {}
    shared: dict[tuple[int, int], int] = {}
    linked: set[tuple[int, int]] = set()
    boxes = len(items)
    for name in [item.name for item in items if item.name is not None]:
        end = number[name]
        for before in needs[name]:
            way = [number[before]]
            passed = range(items[way[0]].layer + 1, items[end].layer)
            if len(items) - boxes + len(passed) <= MAX_BENDS:
                for layer in passed:
                    key = (way[0], layer)
                    if key not in shared:
                        shared[key] = len(items)
                        items.append(_Item(layer, 0.0, None))
                    way.append(shared[key])
            way.append(end)
            ways[before, name] = way
            for upper, lower in itertools.pairwise(way):
                if (upper, lower) not in linked:
                    linked.add((upper, lower))
                    items[upper].below.append(lower)
                    items[lower].above.append(upper)
    return ways


def _order(items: list[_Item], ranked: list[list[int]]) -> None:
    for row in ranked:
        _number(items, row)
    for sweep in range(ORDERINGS):
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
    for place, number in enumerate(row):
        items[number].at = place - (len(row) - 1) / 2


def _place(items: list[_Item], ranked: list[list[int]], gap: float) -> None:
    offsets: list[list[float]] = []
    for row in ranked:
        at, steps = 0.0, [0.0]
        for left, right in itertools.pairwise(row):
            at += (items[left].breadth + items[right].breadth) / 2 + gap
            steps.append(at)
        offsets.append(steps)
        for number, step in zip(row, steps, strict=True):
            items[number].at = step - at / 2
    for sweep in range(PLACINGS):
        # The last ones look both ways.
        ways = (True, True) if sweep >= PLACINGS - 4 else (sweep % 2 == 0, sweep % 2 == 1)
        pairs = list(zip(ranked, offsets, strict=True))
        for row, steps in pairs if sweep % 2 == 0 else reversed(pairs):
            _settle(items, row, steps, above=ways[0], below=ways[1])


def _settle(
    items: list[_Item], row: list[int], steps: list[float], *, above: bool, below: bool
) -> None:
    # Blocks of items that stand as near to one another as they may: sum, weight, count.
    blocks: list[tuple[float, float, int]] = []
    for number, step in zip(row, steps, strict=True):
        item = items[number]
        near = (item.above if above else []) + (item.below if below else [])
        total, weight = item.at * 0.01, 0.01
        for other in near:
            # Long lines rather than short ones are to be straight.
            pull = (1.0, 3.0, 8.0)[(item.name is None) + (items[other].name is None)]
            total += items[other].at * pull
            weight += pull
        block = (total - step * weight, weight, 1)
        while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    place = 0
    for total, weight, count in blocks:
        for number, step in zip(row[place : place + count], steps[place:], strict=False):
            items[number].at = total / weight + step
        place += count


def _tops(
    items: list[_Item], ranked: list[list[int]], deep: Sequence[float], between: float
) -> list[float]:
    """Give where each layer begins: further down where lines have far to go aside."""
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
    ways: Mapping[tuple[str, str], list[int]],
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
    lines: list[Line] = []
    for (before, after), way in ways.items():
        points = [point(items[way[0]].at, ends[before])]
        for bend in (items[number] for number in way[1:-1]):
            top = tops[bend.layer]
            points += [point(bend.at, top), point(bend.at, top + deep[bend.layer])]
        points.append(point(items[way[-1]].at, begins[after]))
        lines.append(Line(before, after, tuple(points)))
    width, height = (right - left, length) if down else (length, right - left)
    return Layout(width, height, down, boxes, tuple(lines))
