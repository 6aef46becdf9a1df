"""The history of a run as a picture: a lane for each host, attempts as bars, faults as marks.

Faults that last are bands behind the bars. An attempt ends where its outcome was written; one without an
outcome is drawn until its host was gone, or until the end. The time between two events is drawn by its
logarithm: half a minute until a lease is over would hide the hundredths of a second that matter.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from html import escape as escape_html
from itertools import accumulate, pairwise
from types import MappingProxyType

import attrs

from rediq_trio.spec.messages import Claimed, Outcome
from rediq_trio.testing.fleets.fleet import FleetResult
from rediq_trio.testing.fleets.plan import Fault, FaultKind
from rediq_trio.values.words import shown

TITLES, SPAN, AFTER_AXIS = 90, 1000, 20
"""Pixels before the time axis, of it, and after it."""
LANE, ROW, TOP = 26, 18, 64
"""Pixels of a lane without attempts, of a row of attempts, and above the first lane."""
TITLE_MAX = 140
LASTING = frozenset({FaultKind.KILL, FaultKind.FREEZE, FaultKind.CUT})
ENDS = MappingProxyType({"completed": "#1a7f37", "failed": "#cf222e", "": "#8c959f"})
"""The colour of an attempt by its outcome; "" if none was written."""
OTHER_END = "#9a6700"
GAP_UNIT, GAP_LEAST = 0.01, 0.3
"""Seconds that are drawn as one unit of the logarithm, and the least width between two events."""
LABEL_EVERY = 64
"""Minimum pixels between two labels of the axis."""
STYLE = "text{font:12px sans-serif;fill:#1f2328}.q{fill:#59636e}.f{font-weight:bold;fill:#cf222e}"


@attrs.define
class AttemptBar:
    """One attempt, on the host that had its lease."""

    host: str
    task: str
    label: str
    begin: float
    end: float = math.inf
    outcome: str = ""


def timeline_picture(result: FleetResult) -> str:
    """Return the history of a run as an SVG."""
    bars = _bars(result)
    title = str(result.violation or "Nothing was broken.")
    return draw_attempts(bars, _lanes(result, bars), list(_faults(result)), title)


def draw_attempts(
    bars: Sequence[AttemptBar],
    lanes: Sequence[str],
    faults: Sequence[tuple[float, Fault]],
    title: str,
) -> str:
    """Return attempts and faults as an SVG, a lane for each host."""
    axis = TimeAxis.of(bars, faults)
    tasks = {bar.task: f"task {n}" for n, bar in enumerate({each.task: each for each in bars}.values(), 1)}
    top, parts = TOP, list(axis.draw())
    for lane in lanes:
        mine = [bar for bar in bars if _lane_of(bar.host) == lane]
        height = LANE + ROW * len(mine)
        parts.append(f'<path d="M0 {top}H{TITLES + SPAN + AFTER_AXIS}" stroke="#d1d9e0"/>')
        parts.append(f'<text x="8" y="{top + 17}">{escape(lane)}</text>')
        for at, fault in faults:
            if fault.host == lane:
                parts += _mark(fault, at, axis, top, height)
        for row, bar in enumerate(mine):
            parts += _bar(bar, tasks[bar.task], axis, top + LANE + ROW * row)
        top += height
    parts.append(f'<path d="M0 {top}H{TITLES + SPAN + AFTER_AXIS}" stroke="#d1d9e0"/>')
    for row, (task, name) in enumerate(tasks.items()):
        parts.append(f'<text x="8" y="{top + 18 + ROW * row}" class="q">{escape(f"{name}: {task}")}</text>')
    width, height = TITLES + SPAN + AFTER_AXIS, top + 10 + ROW * len(tasks)
    title = escape(title, TITLE_MAX)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>{title}</title><style>{STYLE}</style>'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        f'<text x="8" y="20" class="f">{title}</text>{"".join(parts)}</svg>\n'
    )


@attrs.frozen
class TimeAxis:
    """Where each instant is drawn."""

    instants: tuple[float, ...]
    """The times of events, rising; the first is 0."""
    places: tuple[float, ...]
    """The pixel of each."""

    @classmethod
    def of(cls, bars: Sequence[AttemptBar], faults: Sequence[tuple[float, Fault]]) -> TimeAxis:
        """Return the axis of a run, with all its events."""
        found = {0.0, *(at for at, _ in faults), *(bar.begin for bar in bars)}
        found |= {bar.end for bar in bars if bar.end < math.inf}
        found |= {at + fault.seconds for at, fault in faults if fault.kind in LASTING}
        instants = sorted(found)
        instants.append(instants[-1] + 1)
        gaps = [max(GAP_LEAST, math.log10(1 + (b - a) / GAP_UNIT)) for a, b in pairwise(instants)]
        scale = SPAN / sum(gaps)
        return cls(tuple(instants), tuple(TITLES + scale * each for each in accumulate(gaps, initial=0.0)))

    def place(self, instant: float) -> float:
        """Return the pixel of an event's time; of a later one than all, the end."""
        return self.places[min(bisect_left(self.instants, instant), len(self.places) - 1)]

    def draw(self) -> Iterator[str]:
        """Return the parts of the axis."""
        free = 0.0
        for instant, x in zip(self.instants[:-1], self.places, strict=False):
            yield f'<path d="M{x:.1f} {TOP - 8}V{TOP}" stroke="#8c959f"/>'
            if x >= free:
                free = x + LABEL_EVERY
                yield f'<text x="{x:.1f}" y="{TOP - 12}" class="q" text-anchor="middle">{instant:.3f} s</text>'


def escape(text: str, most: int | None = None) -> str:
    """Return text for the picture: hostile characters as escapes, which an XML file must not have either."""
    return escape_html(shown(text, most))


def _lane_of(host: str) -> str:
    return host.partition("#")[0]


def _lanes(result: FleetResult, bars: Sequence[AttemptBar]) -> list[str]:
    known = {f"w{n}": None for n in range(result.plan.servers)}
    known |= {_lane_of(bar.host): None for bar in bars}
    return [*known, *sorted({fault.host for fault in result.plan.faults} - known.keys())]


def _bars(result: FleetResult) -> list[AttemptBar]:
    """Return the attempts of a run, in the order in which they were claimed."""
    bars: dict[tuple[str, str, int], AttemptBar] = {}
    for effect in result.history:
        answer = effect.answer
        if isinstance(answer, Claimed):
            for lease in answer.leases:
                fence = lease.fence
                label = f"attempt {lease.attempt}, delivery {fence.deliveries}"
                bar = AttemptBar(effect.host, f"{effect.queue}/{fence.id}", label, effect.at)
                bars[effect.host, fence.id, fence.deliveries] = bar
            continue
        if effect.name != "settle" or effect.error is not None:
            continue
        outcomes: Sequence[object] = effect.kwargs.get("outcomes", effect.args[1] if effect.args[1:] else ())
        for one in outcomes:
            ended = getattr(one, "fence", None)
            if not isinstance(one, Outcome) or ended is None:
                continue
            settled = bars.get((effect.host, ended.id, ended.deliveries))
            if settled is not None and settled.outcome == "":
                settled.end, settled.outcome = effect.at, type(one).__name__.lower()
    for at, fault in _faults(result):
        for bar in bars.values():
            if fault.kind is FaultKind.KILL and _lane_of(bar.host) == fault.host and bar.begin <= at:
                bar.end = min(bar.end, at)
    return list(bars.values())


def _faults(result: FleetResult) -> Iterator[tuple[float, Fault]]:
    """Return the faults that took effect, each with its time."""
    by_text = {f"FAULT {fault}": fault for fault in result.plan.faults}
    for note in result.notes:
        if note.text in by_text:
            yield note.at, by_text[note.text]


def _mark(fault: Fault, at: float, axis: TimeAxis, top: int, height: int) -> Iterator[str]:
    x = axis.place(at)
    if fault.kind in LASTING and fault.seconds:
        width = max(2.0, axis.place(at + fault.seconds) - x)
        yield f'<rect x="{x:.1f}" y="{top + 1}" width="{width:.1f}" height="{height - 1}" fill="#ffebe9"/>'
    yield f'<path d="M{x:.1f} {top + 1}v{height - 1}" stroke="#cf222e" stroke-width="2"/>'
    side, shift = ("start", 5) if x < TITLES + SPAN * 0.7 else ("end", -5)
    said = escape(str(fault))
    yield f'<text x="{x + shift:.1f}" y="{top + 17}" class="f" text-anchor="{side}">{said}</text>'


def _bar(bar: AttemptBar, task: str, axis: TimeAxis, top: int) -> Iterator[str]:
    x, end = axis.place(bar.begin), axis.place(bar.end)
    said = escape(f"{task}, {bar.label}: {bar.outcome or 'no outcome written'}")
    yield f'<rect x="{x:.1f}" y="{top}" width="{max(2.0, end - x):.1f}" height="{ROW - 5}" rx="2" '
    yield f'fill="{ENDS.get(bar.outcome, OTHER_END)}"/>'
    at, side = (end + 5, "start") if end < TITLES + SPAN * 0.6 else (x - 5, "end")
    yield f'<text x="{at:.1f}" y="{top + 11}" text-anchor="{side}">{said}</text>'
