"""The shape of each state and of each condition: 12 px, drawn with the ink of its class."""

from __future__ import annotations

from markupsafe import Markup, escape

SHAPES = {
    "scheduled": '<circle cx="6" cy="6" r="4.6"/><path d="M6 3.4V6l1.8 1.3"/>',
    "blocked": '<path d="M6 1.2 10.8 6 6 10.8 1.2 6z"/>',
    "grouped": '<path d="M1.5 3h9M1.5 6h9M1.5 9h9"/>',
    "pending": '<circle cx="6" cy="6" r="4.4"/>',
    "active": '<path class="f" d="M3 1.8 10.4 6 3 10.2z"/>',
    "retry": '<path d="M10.2 6A4.2 4.2 0 1 1 8.7 2.8M8.9.8v2.3H6.6"/>',
    "completed": '<path d="m1.6 6.6 2.9 2.9 5.9-7"/>',
    "dead": '<path d="m2 2 8 8M10 2 2 10"/>',
    "cancelled": '<circle cx="6" cy="6" r="4.6"/><path d="m2.9 9.1 6.2-6.2"/>',
    "well": '<circle class="f" cx="6" cy="6" r="3"/>',
    "warning": '<path d="M6 1.6 11 10.4H1z"/>',
    "bad": '<path class="f" d="M6 1.6 11 10.4H1z"/>',
    "off": '<path d="M4 2v8M8 2v8"/>',
    "away": '<circle cx="6" cy="6" r="4.6"/><path d="m2.9 2.9 6.2 6.2"/>',
    "live": '<circle class="f" cx="6" cy="6" r="4"/>',
}
"""The shape of each: one for each state of a task, and one for each condition of queues and workers."""


def glyph(shape: str, ink: str = "", label: str = "") -> Markup:
    """Return a shape in the ink of a state; without a label it is silent for readers of the screen."""
    said = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    inner = SHAPES[shape]
    return Markup(f'<svg class="g {escape(ink or shape)}" viewBox="0 0 12 12" {said}>{inner}</svg>')
