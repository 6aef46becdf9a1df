"""ShownNumbers: which numbers of a page are others than in the view before; they are bold for one view."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio.dash.text import ScreenLine, TextSpan


@attrs.define(eq=False)
class ShownNumbers:
    """The numbers that a page showed, by their names. Its only owner is the page."""

    _view: int = -1
    _before: dict[str, str] = attrs.field(factory=dict[str, str])
    _now: dict[str, str] = attrs.field(factory=dict[str, str])

    def marked(self, lines: Sequence[ScreenLine], view: int) -> list[ScreenLine]:
        """Return the lines of a view with what has changed since the view before marked.

        Views are numbered; a number that the view before did not show has not changed.
        """
        if view != self._view:
            self._view, self._before, self._now = view, self._now, {}
        return [tuple(map(self._marked, each)) for each in lines]

    def _marked(self, span: TextSpan) -> TextSpan:
        if not span.number:
            return span
        text = span.text.strip()
        self._now[span.number] = text
        changed = self._before.get(span.number, text) != text
        return attrs.evolve(span, changed=True) if changed else span
