"""The Lua scripts: read from `lua/`, put together, named by their content's hash.

`lua/README.md` is the grammar of their headers. A script is what follows of its
file after the included snippets; two versions of the library can share a server,
because the hash keeps their scripts apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.store.keys import QUEUE_KEYS

_SECTION = re.compile(r"^-- (KEYS|ARGV|RETURNS|INCLUDE) +(.*)$")
_MORE = re.compile(r"^--  +(.*)$")
_KEY = re.compile(r"(\d+) ([a-z]+)")


@attrs.frozen
class Script:
    """One script, ready to be sent."""

    name: str
    edges: str
    """The first header line behind the name, in the specification's words."""
    summary: str
    sections: Mapping[str, str]
    """`KEYS`, `ARGV`, `RETURNS` and `INCLUDE` as the header gives them."""
    keys: tuple[str, ...]
    """The names of its keys, in order."""
    source: str = attrs.field(repr=False)
    sha: str


def lua_folder() -> Path:
    """Give the folder of the scripts: inside the installed package, or in the checkout."""
    installed = Path(str(files("rediq_trio"))) / "lua"
    checkout = Path(__file__).resolve().parents[3] / "lua"
    for folder in (installed, checkout):
        if (folder / "claim.lua").is_file():
            return folder
    raise ConfigError(f"the Lua scripts are missing: looked in {installed} and {checkout}; reinstall rediq-trio")


def load_scripts(folder: Path | None = None) -> dict[str, Script]:
    """Read every script of a folder (default: the library's own), by name."""
    folder = folder or lua_folder()
    return {path.stem: _load(path) for path in sorted(folder.glob("*.lua"))}


def _load(path: Path) -> Script:
    body = path.read_text("utf-8")
    name, edges, summary, sections = parse_header(body)
    parts = [
        (path.parent / "include" / f"{snippet}.lua").read_text("utf-8")
        for snippet in sections.get("INCLUDE", "").split()
    ]
    source = "".join([*parts, body])
    declared = sections.get("KEYS", "")
    keys = tuple(key for _, key in _KEY.findall(declared))
    if declared == "all":
        keys = QUEUE_KEYS
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, edges, summary, MappingProxyType(sections), keys, source, sha)


def parse_header(body: str) -> tuple[str, str, str, dict[str, str]]:
    """Give name, edges, summary and sections of a script's header."""
    first, *rest = body.splitlines()
    name, _, edges = first.removeprefix("-- ").partition(": ")
    summary: list[str] = []
    sections: dict[str, str] = {}
    current = ""
    for line in rest:
        if not line.startswith("--"):
            break
        if section := _SECTION.match(line):
            current = section[1]
            sections[current] = section[2].strip()
        elif current and (more := _MORE.match(line)):
            sections[current] += " " + more[1].strip()
        else:
            summary.append(line.removeprefix("--").strip())
    return name, edges, " ".join(summary), sections
