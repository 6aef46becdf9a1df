"""The last ticks of a schedule, the newest right: a bar for each, as high as its outcome matters."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from rediq_trio.observe.words import counted

WIDTH, HEIGHT = 242.0, 16.0
TICKS_DRAWN = 60
"""Ticks that there is room for."""
NO_TASK = "none"
"""The outcome of a tick of which no task is kept."""


def draw_ticks(outcomes: Sequence[str]) -> Markup:
    """Return a drawing of the outcomes of ticks, the oldest first: states of tasks, or "none".

    A full bar is dead, a low one done, a foot cancelled, a hollow one has no task.
    """
    some, step = outcomes[-TICKS_DRAWN:], WIDTH / TICKS_DRAWN
    kinds = ", ".join(f"{some.count(kind)} {kind}" for kind in dict.fromkeys(some))
    label = f"the last {counted(len(some), 'tick')}: {kinds}".replace(f" {NO_TASK}", " without a task")
    parts = [
        f'<svg class="ticks" width="{WIDTH:g}" height="{HEIGHT:g}" '
        f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">'
    ]
    first = TICKS_DRAWN - len(some)
    parts += [_bar(kind, (first + place) * step, step) for place, kind in enumerate(some)]
    return Markup("".join([*parts, "</svg>"]))


def _bar(kind: str, x: float, step: float) -> str:
    if kind == NO_TASK:
        return (
            f'<rect class="free" x="{x + 0.5:.1f}" y="{HEIGHT - 5.5}" width="{step - 2:.1f}" height="5"/>'
        )
    tall = {"dead": HEIGHT, "cancelled": 4.0}.get(kind, HEIGHT * 0.62)
    faint = ' fill-opacity=".5"' if kind == "completed" else ""
    return (
        f'<g class="mark {escape(kind)}"{faint}><rect x="{x:.1f}" y="{HEIGHT - tall:.1f}" '
        f'width="{step - 1:.1f}" height="{tall:.1f}"/></g>'
    )


def draw_day(ticks: Sequence[float] | None, *, paused: bool) -> Markup:
    """Return a drawing of the ticks to come, each a part of the width; None for a tick almost everywhere."""
    ink = "free" if paused else "run"
    parts = ['<svg width="100%" height="18" aria-hidden="true">']
    parts.append('<line class="grid" x1="0" x2="100%" y1="9.5" y2="9.5"/>')
    if ticks is None:
        parts.append(
            f'<line class="{ink} thin" x1="0" x2="100%" y1="9.5" y2="9.5" stroke-dasharray="1.5 2"/>'
        )
    for part in ticks or ():
        parts.append(f'<rect class="{ink}" x="{100 * part:.2f}%" y="3" width="3" height="12"/>')
    return Markup("".join([*parts, "</svg>"]))
