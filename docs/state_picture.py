"""The state machine drawn from its table: as an SVG, and as Mermaid text.

Where a state stands and which way an edge goes is chosen here; which states and
edges there are comes from `TRANSITIONS` alone. An edge that has no way of its own
is drawn straight, so a new one cannot be missing from the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from html import escape

import attrs

from rediq_trio.spec.lifecycle import TERMINAL, TRANSITIONS, WAITING, State, Transition

Point = tuple[float, float]

WIDTH, HEIGHT = 1120, 620
BOX_WIDTH, BOX_HEIGHT = 124, 40
START = "start"
WAITING_BOX = "waiting"

PLACES: dict[str, Point] = {
    START: (40, 190),
    State.BLOCKED: (200, 130),
    State.GROUPED: (200, 250),
    State.SCHEDULED: (400, 90),
    State.PENDING: (400, 190),
    State.RETRY: (400, 290),
    State.ACTIVE: (730, 190),
    State.COMPLETED: (1010, 190),
    State.DEAD: (610, 440),
    State.CANCELLED: (890, 440),
}
"""The middle of each box."""


@attrs.frozen
class Way:
    """How an edge goes: its ends, the points that bend it, and where its label stands."""

    begin: Point
    bends: tuple[Point, ...]
    end: Point
    label: Point
    anchor: str = "middle"


MERGER = (State.GROUPED, State.PENDING)
"""What a batch is drawn as: its members go, and one task comes in their place."""

CHANGES = (Transition.RESCHEDULE, Transition.UPDATE)
"""What a caller changes of a waiting task: a line of text below, as its edges would cross the frame."""

WAYS: dict[tuple[str, str], Way] = {
    (START, WAITING_BOX): Way((49, 190), (), (104, 190), (72, 174)),
    MERGER: Way((262, 242), (), (338, 202), (262, 218)),
    (START, State.DEAD): Way((42, 200), ((50, 440), (300, 456)), (548, 450), (150, 420), "start"),
    (State.BLOCKED, State.SCHEDULED): Way((262, 122), (), (338, 94), (286, 100)),
    (State.BLOCKED, State.PENDING): Way((262, 140), (), (338, 182), (272, 182)),
    (State.SCHEDULED, State.PENDING): Way((400, 110), (), (400, 170), (406, 144), "start"),
    (State.RETRY, State.PENDING): Way((400, 270), (), (400, 210), (406, 244), "start"),
    (State.PENDING, State.ACTIVE): Way((462, 182), (), (668, 182), (596, 174)),
    (State.ACTIVE, State.PENDING): Way((668, 198), (), (462, 198), (596, 216)),
    (State.ACTIVE, State.SCHEDULED): Way((700, 170), ((650, 92),), (462, 90), (596, 92)),
    (State.ACTIVE, State.RETRY): Way((696, 210), ((650, 288),), (462, 290), (596, 282)),
    (State.ACTIVE, State.ACTIVE): Way((720, 170), ((710, 120), (780, 120)), (760, 170), (742, 122)),
    (State.ACTIVE, State.COMPLETED): Way((792, 190), (), (948, 190), (870, 182)),
    (State.ACTIVE, State.DEAD): Way((720, 210), (), (640, 420), (696, 300), "start"),
    (State.ACTIVE, State.CANCELLED): Way((760, 210), (), (870, 420), (824, 316), "start"),
    (State.DEAD, WAITING_BOX): Way((590, 420), ((560, 340),), (476, 328), (560, 366), "end"),
    (State.CANCELLED, WAITING_BOX): Way(
        (830, 424), ((720, 380), (600, 312)), (476, 310), (734, 406), "end"
    ),
    (WAITING_BOX, State.DEAD): Way((400, 340), ((410, 430),), (548, 440), (424, 408), "start"),
    (WAITING_BOX, State.CANCELLED): Way(
        (300, 340), ((300, 530), (868, 530)), (888, 460), (600, 516)
    ),
}


def grouped() -> dict[tuple[str, str], list[str]]:
    """Give each edge to be drawn with its events; removals and replacements are told below instead.

    Edges between the waiting states and what is outside of their frame are drawn as one
    where an event leads to, or from, several of them.
    """
    edges: dict[tuple[str, str], list[str]] = {}
    for transition, pairs in TRANSITIONS.items():
        if _merges(transition):
            edges[MERGER] = [str(transition)]
            continue
        for source, target in sorted(pairs, key=str):
            if target is None or transition in CHANGES:
                continue
            if transition is Transition.ENQUEUE and source is not None:
                continue
            begin, end = START if source is None else str(source), str(target)
            if source in WAITING and target in TERMINAL:
                begin = WAITING_BOX
            if target in WAITING and (source is None or source in TERMINAL):
                end = WAITING_BOX
            events = edges.setdefault((begin, end), [])
            if str(transition) not in events:
                events.append(str(transition))
    return edges


def removals() -> list[str]:
    """Say which events take a task away, and from where."""
    said = []
    for transition, pairs in TRANSITIONS.items():
        sources = {source for source, target in pairs if target is None and source is not None}
        if sources and not _merges(transition):
            said.append(f"{transition}: {_from(sources)}")
    return said


def _merges(transition: Transition) -> bool:
    """Say whether an event makes one task of many: drawn as an edge between their states."""
    return TRANSITIONS[transition] == {(MERGER[0], None), (None, MERGER[1])}


def replacements() -> str:
    """Say between which states a task moves that is replaced by one of its unique key."""
    return f"enqueue of the same unique key: {_moves(Transition.ENQUEUE)}"


def changes() -> str:
    """Say between which states a task moves that a caller changes."""
    return "; ".join(f"{each}: {_moves(each)}" for each in CHANGES)


def _moves(transition: Transition) -> str:
    pairs = [pair for pair in TRANSITIONS[transition] if pair[0] is not None]
    sources = {source for source, _ in pairs if source is not None}
    targets = {target for _, target in pairs if target is not None}
    return f"{_from(sources)} to {_from(targets)}"


def _from(sources: Iterable[State]) -> str:
    found = set(sources)
    known = {s for pairs in TRANSITIONS.values() for pair in pairs for s in pair if s is not None}
    if found == known:
        return "any state"
    if known - found == {State.ACTIVE}:
        return "any state but active"
    return ", ".join(state for state in State if state in found)


def mermaid() -> str:
    """Give the state machine as Mermaid text, every edge of the table."""
    edges: dict[tuple[str, str], list[str]] = {}
    for transition, pairs in TRANSITIONS.items():
        for source, target in pairs:
            edges.setdefault((str(source or "[*]"), str(target or "[*]")), []).append(
                str(transition)
            )
    lines = [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in sorted(edges.items())]
    return "\n".join(["stateDiagram-v2", *lines])


def svg() -> str:
    """Draw the state machine."""
    states = [
        s for s in State if any(s in pair for pairs in TRANSITIONS.values() for pair in pairs)
    ]
    places = dict(PLACES)
    for number, state in enumerate(s for s in states if s not in places):
        places[state] = (110 + 150 * number, 30)
    parts = [_HEAD, _frame(places)]
    parts += [_edge(pair, events, places) for pair, events in sorted(grouped().items())]
    parts += [_box(state, places[state]) for state in states]
    parts.append(f'<circle cx="{PLACES[START][0]}" cy="{PLACES[START][1]}" r="9" fill="#333"/>')
    said = (
        "gone: " + "; ".join(removals()),
        "replaced: " + replacements(),
        "changed: " + changes(),
        "batch: many grouped tasks go, one pending task comes",
    )
    parts += [_text((20, HEIGHT - 66 + 18 * n), t, "start", small=True) for n, t in enumerate(said)]
    return "\n".join([*parts, "</svg>\n"])


_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" \
font-family="sans-serif" font-size="14">
<title>The states of a task, and the events between them</title>
<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>"""


def _frame(places: Mapping[str, Point]) -> str:
    xs = [places[state][0] for state in WAITING]
    ys = [places[state][1] for state in WAITING]
    left, top = min(xs) - BOX_WIDTH / 2 - 34, min(ys) - BOX_HEIGHT / 2 - 30
    right, bottom = max(xs) + BOX_WIDTH / 2 + 14, max(ys) + BOX_HEIGHT / 2 + 30
    return (
        f'<rect x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}" '
        'rx="10" fill="none" stroke="#999" stroke-dasharray="5 4"/>'
        + _text((left + 10, top + 18), "waiting", "start", small=True)
    )


def _box(state: State, middle: Point) -> str:
    x, y = middle[0] - BOX_WIDTH / 2, middle[1] - BOX_HEIGHT / 2
    fill = "#e8eef7" if state in WAITING else "#fdf1d8" if state not in TERMINAL else "#e9f3e6"
    edge = "#345" if state not in TERMINAL else "#343"
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" fill="{fill}" '
        f'stroke="{edge}"/>' + _text((middle[0], middle[1] + 5), state, "middle")
    )


def _text(at: Point, text: str, anchor: str, *, small: bool = False) -> str:
    size = ' font-size="12"' if small else ""
    begin = f'<text x="{at[0]:g}" y="{at[1]:g}" text-anchor="{anchor}"{size} '
    end = f">{escape(text)}</text>"
    # Twice: a white edge first, so that a line behind the text does not cross it out.
    halo = f'{begin}fill="#fff" stroke="#fff" stroke-width="5"{end}' if small else ""
    return f'{halo}{begin}fill="#222"{end}'


def _tip(before: Point, end: Point) -> str:
    angle = math.atan2(end[1] - before[1], end[0] - before[0])
    corners = [
        (end[0] - 10 * math.cos(angle + turn), end[1] - 10 * math.sin(angle + turn))
        for turn in (-0.4, 0.4)
    ]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (end, *corners))
    return f'<polygon points="{points}" fill="#555"/>'


def _edge(pair: tuple[str, str], events: list[str], places: Mapping[str, Point]) -> str:
    frame = (290, 340)
    way = WAYS.get(pair) or _straight(places.get(pair[0], frame), places.get(pair[1], frame))
    points = [*way.bends, way.end]
    command = {1: "L", 2: "Q", 3: "C"}[len(points)]
    path = f"M{way.begin[0]:g} {way.begin[1]:g}{command}" + " ".join(
        f"{x:g} {y:g}" for x, y in points
    )
    dashes = ' stroke-dasharray="6 3"' if pair == MERGER else ""
    return (
        f'<path d="{path}" fill="none" stroke="#555" stroke-width="1.4"{dashes}/>'
        + _tip((way.begin, *way.bends)[-1], way.end)
        + _text(way.label, ", ".join(events), way.anchor, small=True)
    )


def _straight(begin: Point, end: Point) -> Way:
    middle = ((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2 - 6)
    return Way(begin, (), end, middle)
