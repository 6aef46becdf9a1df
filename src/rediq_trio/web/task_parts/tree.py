"""A payload, a result or any other value of a task, as a tree that can be folded.

Numbers are exact, however large; bytes are hexadecimal digits; what is hidden says so. Of a large value
the first 256 KiB are shown, the rest is for the download.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

import attrs
from markupsafe import Markup, escape

from rediq_trio.observe.words import count, counted, shown, size
from rediq_trio.values.hiding import Hidden

SHOWN_AT_ONCE = 256 * 1024
"""Characters of a value that a page shows at once."""
DEPTH_MAX = 40
"""Levels of a value that are shown; what lies deeper is for the download."""
OPENED = 12
"""Parts of a value up to which it is unfolded from the start, and not below the second level."""
BYTES_SHOWN = 256
"""Bytes of one text of bytes that are shown."""


@attrs.frozen
class Tree:
    """A value as a tree."""

    html: Markup
    whole: bool
    """Whether all of it is there."""


@attrs.define
class _Writer:
    left: int
    out: list[str] = attrs.field(factory=list[str])
    cut: bool = False

    def put(self, html: str) -> None:
        self.left -= len(html)
        self.out.append(html)

    def value(self, value: Any, depth: int) -> None:
        if isinstance(value, Mapping):
            pairs = cast("Mapping[Any, Any]", value)
            said = f"{{{count(len(pairs))}}}" if depth else counted(len(pairs), "entry", "entries")
            self.parts(said, ((_key(key), one) for key, one in pairs.items()), len(pairs), depth)
        elif isinstance(value, list | tuple):
            items = cast("list[Any]", value)
            said = f"[{count(len(items))}]" if depth else counted(len(items), "item")
            self.parts(said, ((str(n), one) for n, one in enumerate(items)), len(items), depth)
        elif isinstance(value, Hidden):
            self.put(f'<span class="hid">{escape(shown(value, 120))}</span>')
        else:
            self.put(self.leaf(value))

    def parts(self, said: str, parts: Iterable[tuple[str, Any]], number: int, depth: int) -> None:
        if not number or depth > DEPTH_MAX:
            self.cut = self.cut or bool(number)
            deeper = " nested deeper than a page shows" if number else ""
            self.put(f'<span class="k">{said}{deeper}</span>')
            return
        unfolded = " open" if not depth or (depth == 1 and number <= OPENED) else ""
        self.put(f'<details{unfolded}><summary><span class="k">{said}</span></summary><ul>')
        for at, (key, one) in enumerate(parts):
            if self.left <= 0:
                self.cut = True
                self.put(f'<li class="hid">and {count(number - at)} more</li>')
                break
            self.put(f'<li><span class="k">{escape(key)}:</span> ')
            self.value(one, depth + 1)
            self.put("</li>")
        self.put("</ul></details>")

    def leaf(self, value: Any) -> str:
        match value:
            case None | bool():
                return f'<span class="k">{json.dumps(value)}</span>'
            case int():
                return f'<span class="num">{exact_int(value)}</span>'
            case float():
                return f'<span class="num">{value!r}</span>'
            case str():
                return self.text(value)
            case bytes() | bytearray():
                digits = bytes(value[:BYTES_SHOWN]).hex(" ")
                more = "" if len(value) <= BYTES_SHOWN else " …"
                self.cut = self.cut or bool(more)
                return f'<span class="v">{digits}{more}</span> <span class="k">{size(len(value))}</span>'
            case _:
                return f'<span class="v">{escape(shown(str(value), 2000))}</span>'

    def text(self, value: str) -> str:
        most = max(200, self.left)
        more = ""
        if len(value) > most:
            self.cut = True
            more = f' <span class="hid">and {counted(len(value) - most, "more character")}</span>'
        quoted = shown(json.dumps(value[:most], ensure_ascii=False))
        return f'<span class="v">{escape(quoted)}</span>{more}'


def tree(value: Any, most: int = SHOWN_AT_ONCE) -> Tree:
    """Return a value as a tree of at most some `most` characters."""
    writer = _Writer(most)
    writer.value(value, 0)
    return Tree(Markup("".join(writer.out)), not writer.cut)


def exact_int(value: int) -> str:
    """Return all digits of a number, also of one that Python does not write by default."""
    try:
        return str(value)
    except ValueError:  # more digits than `sys.get_int_max_str_digits()`
        return hex(value)


def _key(key: Any) -> str:
    return shown(key if isinstance(key, str) else repr(key), 200)
