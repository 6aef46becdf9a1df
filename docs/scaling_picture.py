"""What the scaling rule does when arrivals grow tenfold: drawn from the simulation that the tests hold it to."""

from __future__ import annotations

from collections.abc import Sequence

from tests.observe.scaling.simulation import PATTERNS, Moment, simulate

WIDTH, PANEL, GAP = 860, 120, 58
LEFT, RIGHT, TOP = 60, 150, 40
LENGTH, LATENCY, SEED = 2400, 60.0, 1
MINUTES = LENGTH // 60
INK, GRID = "#222", "#ddd"
BLUE, ORANGE, RED = "#2a5d9c", "#c2691c", "#b3261e"

Point = tuple[float, float]


def svg() -> str:
    """Draw three panels over the same time: arrivals, workers, and how long tasks waited."""
    run = simulate(PATTERNS["step up"], SEED, latency=LATENCY, length=float(LENGTH))
    waits = run.p95_by_minute()
    panels = [
        _arrivals(run.moments),
        _workers(run.moments),
        _waits([(minute, wait) for minute, wait in waits.items() if minute < MINUTES]),
    ]
    height = TOP + len(panels) * (PANEL + GAP) - 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="sans-serif" font-size="13">',
        "<title>Arrivals grow tenfold after 15 minutes; workers desired and live, and waits, in a "
        "simulation</title>",
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate(0 {TOP + number * (PANEL + GAP)})">', *panel, "</g>"]
    return "\n".join([*parts, "</svg>\n"])


def _arrivals(moments: Sequence[Moment]) -> list[str]:
    rates = [(one.at / 60, one.arrived / 10) for one in moments]
    return [*_frame("tasks that arrive in a second", 8, 2), _line(rates, 8, BLUE)]


def _workers(moments: Sequence[Moment]) -> list[str]:
    most = 12
    desired = _stairs([(one.at / 60, one.desired) for one in moments])
    live = _stairs([(one.at / 60, one.live) for one in moments])
    return [
        *_frame("workers", most, 3),
        _line(desired, most, ORANGE),
        _line(live, most, BLUE, dashes="4 3"),
        _key(30, "desired", ORANGE),
        _key(52, "live", BLUE, dashes="4 3"),
    ]


def _waits(waits: Sequence[tuple[int, float]]) -> list[str]:
    most = 80
    bars = [
        f'<rect x="{_x(minute) + 1:.1f}" y="{_y(wait, most):.1f}" width="{_x(1) - _x(0) - 2:.1f}" '
        f'height="{PANEL - _y(wait, most):.1f}" fill="{BLUE}"/>'
        for minute, wait in waits
    ]
    target = _line([(0, LATENCY), (MINUTES, LATENCY)], most, RED, dashes="6 4")
    label = (
        f'<text x="{WIDTH - RIGHT + 10}" y="{_y(LATENCY, most) + 4:.1f}" fill="{RED}">target</text>'
    )
    return [
        *_frame("seconds that 95 % of the tasks of a minute waited at most", most, 20),
        *bars, target, label,
        f'<text x="{WIDTH - RIGHT + 20}" y="{PANEL + 18}" fill="{INK}">minutes</text>',
    ]  # fmt: skip


def _x(minute: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * minute / MINUTES


def _y(value: float, most: float) -> float:
    return PANEL * (1 - min(value, most) / most)


def _stairs(points: Sequence[Point]) -> list[Point]:
    """Return points with a corner wherever the value changes."""
    found = [points[0]]
    for at, value in points[1:]:
        found += [(at, found[-1][1]), (at, value)]
    return found


def _line(points: Sequence[Point], most: float, colour: str, dashes: str = "") -> str:
    places = " ".join(f"{_x(at):.1f},{_y(value, most):.1f}" for at, value in points)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.8"{dashed}/>'


def _key(y: int, name: str, colour: str, dashes: str = "") -> str:
    left = WIDTH - RIGHT + 10
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<path d="M{left} {y}h26" stroke="{colour}" stroke-width="1.8"{dashed}/>'
        f'<text x="{left + 34}" y="{y + 4}" fill="{INK}">{name}</text>'
    )


def _frame(title: str, most: int, step: int) -> list[str]:
    parts = [f'<text x="{LEFT}" y="-10" fill="{INK}" font-weight="bold">{title}</text>']
    for value in range(0, most + 1, step):
        y = _y(value, most)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" fill="{INK}">{value}</text>'
        )
    for minute in range(0, MINUTES + 1, 5):
        x = _x(minute)
        parts.append(f'<path d="M{x:.1f} {PANEL}v4" stroke="{INK}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{PANEL + 18}" text-anchor="middle" fill="{INK}">{minute}</text>'
        )
    return parts
