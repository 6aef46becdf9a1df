"""The templates: every value is escaped, and text of tasks is shown with its control characters as escapes."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, MutableMapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

import jinja2

from rediq_trio import __version__
from rediq_trio.observe import words
from rediq_trio.web.drawing.glyphs import glyph
from rediq_trio.web.site.page import Right

STATIC = ("look.css", "look.js", "icon.svg")
"""The files that pages load."""


@cache
def static_file(name: str) -> bytes:
    """Return one of the files that pages load; the style without its comments and blanks."""
    content = (files("rediq_trio.web") / "static" / name).read_bytes()
    return without_blanks(content.decode()).encode() if name.endswith(".css") else content


def without_blanks(style: str) -> str:
    """Return a style sheet without what only its readers need. No string in it has blanks in a row."""
    text = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" ?([{};]) ?", r"\1", text)
    return re.sub(r"([a-z-]): ", r"\1:", text).replace(", ", ",").strip()


@cache
def static_tag(name: str) -> str:
    """Return what changes with the content of such a file: browsers keep one for as long as it is in use."""
    return hashlib.sha256(static_file(name)).hexdigest()[:12]


@cache
def page_version() -> str:
    """Return what changes when pages that are open must be loaded anew."""
    return f"{__version__}.{static_tag('look.js')}.{static_tag('look.css')}"


def exact(at: dt.datetime, zone: dt.tzinfo) -> str:
    """Return an instant to the second with its zone: "2026-11-29 12:03:11 UTC"."""
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def clock(at: dt.datetime, zone: dt.tzinfo) -> str:
    """Return the time of day of an instant: "12:03:11"."""
    return at.astimezone(zone).strftime("%H:%M:%S")


def zone_name(at: dt.datetime, zone: dt.tzinfo) -> str:
    """Return what a zone is called at an instant: "UTC", "CET"."""
    return at.astimezone(zone).strftime("%Z")


def thin(number: int) -> str:
    """Return a number with thin spaces between its thousands, which do not break."""
    return f"{number:,}".replace(",", "\u202f")


def _shown(value: object, most: int | None = None) -> str:
    return words.shown(str(value), most)


def make_environment(**more: object) -> jinja2.Environment:
    """Return the environment of the templates; `more` is what they can use, too."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rediq_trio.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        shown=_shown,
        count=thin,
        duration=words.duration,
        rate=words.rate,
        size=words.size,
        percent=words.percent,
        share=words.share,
    )
    known: MutableMapping[str, Any] = cast("Any", environment.globals)
    known.update(
        glyph=glyph,
        exact=exact,
        clock=clock,
        relative=words.relative,
        counted=words.counted,
        static_tag=static_tag,
        page_version=page_version,
        zone_name=zone_name,
        **more,
        LOOK=Right.LOOK,
        ACT=Right.ACT,
        CHANGE=Right.CHANGE,
    )
    return environment


def render(environment: jinja2.Environment, template: str, values: Mapping[str, Any]) -> str:
    """Return the HTML of a page. Its blocks may use the macros of `_parts.html` as `parts`."""
    # As a value, because what a template imports is not seen in the blocks of those that extend it.
    parts = environment.get_template("_parts.html").make_module(dict(values))
    return environment.get_template(template).render({**values, "parts": parts})
