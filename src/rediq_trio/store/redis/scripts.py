"""The Lua scripts: read from `lua/`, put together, named by their content's hash.

`lua/README.md` is the grammar of their headers. A script may be in any folder below
`lua/` but `include/`; its text follows that of the included snippets. Two versions of
the library can share a server, because the hash keeps their scripts apart.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.store.redis.keys import QUEUE_KEYS

_SECTION = re.compile(r"^-- (KEYS|ARGV|RETURNS|INCLUDE) +(.*)$")
_MORE = re.compile(r"^--  +(.*)$")
_KEY = re.compile(r"(\d+) ([a-z]+)")

_CONSTANTS = re.compile(r"^local ([A-Z_]+(?:, [A-Z_]+)*) = (\d+(?:, \d+)*)$", re.MULTILINE)
_KEYS_NAMED = re.compile(r"^local ([a-z,\s]+) = (unpack\(KEYS\))$", re.MULTILINE)
_WORD = re.compile(r"'(?:\\.|[^'\\])*'|--[^\n]*|(?<![.:\w])[A-Za-z_]+\b")


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
    checkout = Path(__file__).resolve().parents[4] / "lua"
    for folder in (installed, checkout):
        if (folder / "claim.lua").is_file():
            return folder
    raise ConfigError(f"the Lua scripts are missing: looked in {installed} and {checkout}; reinstall rediq-trio")


def load_scripts(folder: Path | None = None) -> dict[str, Script]:
    """Read every script of a folder (default: the library's own), by name."""
    return dict(_read(folder or lua_folder()))


def script_paths(folder: Path) -> dict[str, Path]:
    """Return the file of each script of a folder and of those below it, by the script's name.

    Raises:
        ConfigError: Two scripts have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.lua"), key=lambda path: (path.stem, path)):
        if "include" in path.relative_to(folder).parts[:-1]:
            continue
        if other := found.get(path.stem):
            raise ConfigError(f"two Lua scripts are named {path.stem}: {other} and {path}; rename one")
        found[path.stem] = path
    return found


@cache
def _read(folder: Path) -> Mapping[str, Script]:
    # Once in a process: putting them together takes longer than all else when connecting.
    return {name: _load(path, folder) for name, path in script_paths(folder).items()}


def _load(path: Path, folder: Path) -> Script:
    body = path.read_text("utf-8")
    name, edges, summary, sections = parse_header(body)
    parts = [
        (folder / "include" / f"{snippet}.lua").read_text("utf-8")
        for snippet in sections.get("INCLUDE", "").split()
    ]
    source = inlined("".join([*parts, body]))
    declared = sections.get("KEYS", "")
    keys = tuple(key for _, key in _KEY.findall(declared))
    if declared == "all":
        keys = QUEUE_KEYS
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, edges, summary, MappingProxyType(sections), keys, source, sha)


def inlined(source: str) -> str:
    """Put numbers in the place of constants, and places in `KEYS` in that of key names.

    A script's text runs anew with each call, and each function in it takes hold of every
    local that it names: with a hundred of them that costs more than a small script's work.
    What the text says stays the same, line by line; comments go.
    """
    values: dict[str, str] = {}

    def take(line: re.Match[str]) -> str:
        names = [name.strip() for name in line[1].split(",")]
        if line[2] == "unpack(KEYS)":
            values.update((name, f"K[{n}]") for n, name in enumerate(names, start=1))
            return "local K = KEYS" + "\n" * line[0].count("\n")
        values.update(zip(names, (value.strip() for value in line[2].split(",")), strict=True))
        return ""

    def put(word: re.Match[str]) -> str:
        return "" if word[0].startswith("--") else values.get(word[0], word[0])

    source = _KEYS_NAMED.sub(take, _CONSTANTS.sub(take, source))
    return _WORD.sub(put, source)


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
