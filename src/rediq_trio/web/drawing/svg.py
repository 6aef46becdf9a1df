"""Pieces of SVG text: numbers, paths, and lines that are broken where nothing is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

LinePoint = tuple[float, float]
LineRun = Sequence[LinePoint]
"""Points of a line without a hole in it, from left to right."""


def number(value: float) -> str:
    """Return a coordinate with at most one digit after the point: "12", "12.5"."""
    return f"{value:.1f}".removesuffix(".0")


def line(run: LineRun) -> str:
    """Return the path of a line; a single point is drawn as a short dash, so that it is seen."""
    if len(run) == 1:
        ((x, y),) = run
        return f"M{number(x - 2)} {number(y)}H{number(x + 2)}"
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in run)


def band(upper: LineRun, lower: LineRun) -> str:
    """Return the path of the ground between two lines with the same places along x."""
    if len(upper) == 1:
        (x, top), (_, low) = upper[0], lower[0]
        upper, lower = [(x - 2, top), (x + 2, top)], [(x - 2, low), (x + 2, low)]
    back = "L".join(f"{number(x)} {number(y)}" for x, y in reversed(lower))
    return f"{line(upper)}L{back}Z"


def ground(run: LineRun, floor: float) -> str:
    """Return the path of the ground between a line and a floor."""
    return band(run, [(x, floor) for x, _ in run])


def stroke(run: LineRun, kind: str = "stroke") -> str:
    """Return a line as an element."""
    return f'<path class="{kind}" d="{line(run)}"/>'


def fill(path: str, kind: str = "fill") -> str:
    """Return a ground as an element."""
    return f'<path class="{kind}" d="{path}"/>'


def group(ink: str, inner: str) -> str:
    """Return elements in the ink of a state."""
    return f'<g class="mark {escape(ink)}">{inner}</g>'


def rect(x: float, y: float, width: float, height: float, more: str = "") -> str:
    """Return a rectangle; `more` are further attributes."""
    place = f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'
    return f"<rect {more + ' ' if more else ''}{place}/>"


def picture(
    kind: str, width: float, height: float, inner: Iterable[str], label: str = ""
) -> Markup:
    """Return a small drawing of a fixed size; without a label it is silent for readers of the screen."""
    said = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    size = f'width="{number(width)}" height="{number(height)}"'
    box = f'viewBox="0 0 {number(width)} {number(height)}"'
    return Markup(
        f'<svg class="{escape(kind)}" {size} {box} preserveAspectRatio="none" {said}>'
        f"{''.join(inner)}</svg>"
    )
