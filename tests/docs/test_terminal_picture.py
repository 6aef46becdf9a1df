"""The picture of the terminal, as it is kept."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from docs.terminal_picture import HERE, SIZE_MAX, smaller


def test_the_picture_is_small_loads_nothing_and_shows_the_overview() -> None:
    svg = HERE.read_text("utf-8")
    assert len(svg.encode()) <= SIZE_MAX
    assert set(re.findall(r"https?://[^\"\s]+", svg)) <= {"http://www.w3.org/2000/svg", "https://www.textualize.io"}
    assert not re.search(r"@font-face|url\((?!#)|<script|href", svg)
    texts = "\n".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")
    for text in ("[1 Overview]", "no live worker serves it", "NEWEST KINDS OF FAILURE", "RUNS LONGEST"):
        assert text in texts


def test_a_picture_loses_its_faces_and_its_empty_texts() -> None:
    made = smaller(
        '<svg a="b"><style>@font-face {\n src: url("https://x") }\n .terminal-12-r1 { }</style>'
        '<text class="terminal-12-r1">a</text><text x="1">\n</text></svg>'
    )
    assert made == (
        '<svg xml:space="preserve" a="b"><style>\n.t-r1 { }</style><text class="t-r1">a</text></svg>'
    )
