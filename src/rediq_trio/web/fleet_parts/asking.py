"""Pages that ask before something is done: a question, what will happen, and fields to fill in."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rediq_trio.web.site.page import Shown, Visit


@attrs.frozen(kw_only=True)
class Field:
    """A field to fill in."""

    name: str
    label: str
    value: str = ""
    hint: str = ""
    placeholder: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    """Values with their words, to choose from; none for text."""
    most: int = 200
    """Maximum characters."""
    needed: bool = False


def ask(
    visit: Visit,
    question: str,
    why: str,
    verb: str,
    *,
    nav: str,
    otherwise: str,
    fields: Sequence[Field] = (),
    note: str = "",
    hard: bool = False,
) -> Shown:
    """Return a page that asks; its form goes to its own address, with where to go afterwards.

    `verb` is on the button. `otherwise` is the path to go back to when the visitor came from nowhere.
    `hard` is for what cannot be undone.
    """
    values = {
        "question": question, "why": why, "verb": verb, "fields": fields, "note": note, "hard": hard,
        "back": visit.back(otherwise),
    }  # fmt: skip
    return Shown(template="ask_form.html", title=question, nav=nav, values=values)
