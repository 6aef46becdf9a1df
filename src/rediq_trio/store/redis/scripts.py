"""The loader of the Lua scripts.

It reads each script of `lua/`, puts the included snippets before it, and replaces constants and keys
by their values. `lua/README.md` has the grammar of the headers, and what the loader replaces. A
script may be in any folder below `lua/` except `include/`. Redis knows a script by the hash of its
text, so two versions of the library can share a server.
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
from rediq_trio.store.redis.keys import QUEUE_KEYS, STATISTICS_KEYS
from rediq_trio.store.redis.prelude import CONSTANTS, SOURCES

ALL_KEYS = MappingProxyType(
    {"all": QUEUE_KEYS, "all, then those with statistics": (*QUEUE_KEYS, *STATISTICS_KEYS)}
)
"""The keys of a script by what its header says, if it does not number them."""
_SECTION = re.compile(r"^-- (KEYS|ARGV|RETURNS|INCLUDE) +(.*)$")
_MORE = re.compile(r"^--  +(.*)$")
_KEY = re.compile(r"(\d+) ([a-z]+)")

_CONSTANTS = re.compile(r"^local ([A-Z_]+(?:, [A-Z_]+)*) = (\d+(?:, \d+)*)$", re.MULTILINE)
_KEYS_NAMED = re.compile(r"^local ([a-z,\s]+) = (unpack\(KEYS\))$", re.MULTILINE)
_TEXT = r"'(?:\\.|[^'\\])*'" + r'|"(?:\\.|[^"\\])*"' + r"|--[^\n]*"
_WORD = re.compile(_TEXT + r"|(?<![:\w])(?<!(?<!\.)\.)[A-Za-z_]+\b")
_NAMES = r"\w+(?:\s*,\s*\w+)*"
_USED = re.compile(
    rf"""{_TEXT}
    |(?:\blocal\s+)?\bfunction\b\s*(?P<function>[\w.:]*)\s*\((?P<parameter>[^)]*)\)
    |\blocal\s+(?P<local>{_NAMES})
    |\bfor\s+(?P<loop>{_NAMES})
    |(?<!\.)[.:]\s*(?P<member>[A-Za-z_]\w*)
    |^\s*(?P<assigned>{_NAMES})\s*=(?!=)
    |\b(?P<field>[A-Za-z_]\w*)\s*=(?!=)""",
    re.MULTILINE | re.VERBOSE,
)
"""Finds each name that Lua binds, assigns, or looks up in a table."""
_CONSTANT = re.compile(_TEXT + r"|(?<![.:\w])([A-Z][A-Z_]+)\b")
_OF_REDIS = frozenset({"KEYS", "ARGV"})
_ALL_KEYS = "local K = KEYS"
_USE = {
    "function": "a function", "parameter": "a parameter", "local": "a local",
    "loop": "a loop variable", "member": "a field or method", "assigned": "assigned to",
    "field": "a field, or assigned to",
}  # fmt: skip


@attrs.frozen
class Script:
    """One script, as it is sent to Redis."""

    name: str
    edges: str
    """The first header line after the name: the script's transitions."""
    summary: str
    sections: Mapping[str, str]
    """The texts of `KEYS`, `ARGV`, `RETURNS` and `INCLUDE` in the header."""
    keys: tuple[str, ...]
    """The names of its keys, in order."""
    source: str = attrs.field(repr=False)
    sha: str


def lua_folder() -> Path:
    """Return the folder of the scripts: in the installed package, or in the checkout."""
    installed = Path(str(files("rediq_trio"))) / "lua"
    checkout = Path(__file__).resolve().parents[4] / "lua"
    for folder in (installed, checkout):
        if (folder / "worker" / "claim.lua").is_file():
            return folder
    raise ConfigError(
        f"the Lua scripts are missing: looked in {installed} and {checkout}; reinstall rediq-trio"
    )


class Scripts(dict[str, Script]):
    """The scripts of a folder by name, each made when it is first used; it holds those that were.

    All files are read at once: what is installed in their place later, under a process that runs,
    has no part in it. To make all takes longer than the rest of connecting.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        paths = script_paths(folder)
        self.names = (*paths,)
        """The names of all scripts."""
        self._files = {name: (_place(path, folder), _text(path)) for name, path in paths.items()}
        self._snippets = {path.stem: _text(path) for path in (folder / "include").glob("*.lua")}

    def __missing__(self, name: str) -> Script:
        place, body = self._files[name]
        named, edges, summary, sections = parse_header(body)
        included = sections.get("INCLUDE", "").split()
        parts = [(f"include/{one}.lua", self._snippets[one]) for one in included]
        # Hashable: the run of the mutants caches what is joined.
        source = inlined((*parts, (place, body)))
        declared = sections.get("KEYS", "")
        keys = tuple(key for _, key in _KEY.findall(declared))
        keys = ALL_KEYS.get(declared, keys)
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        about = MappingProxyType(sections)
        self[name] = made = Script(named, edges, summary, about, keys, source, sha)
        return made


def _place(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _text(path: Path) -> str:
    return path.read_text("utf-8")


def open_scripts(folder: Path | None = None) -> Scripts:
    """Return the scripts of a folder (default: the library's own). Raises `ConfigError` without them."""
    return _opened(folder or lua_folder())


@cache
def _opened(folder: Path) -> Scripts:
    return Scripts(folder)


def load_scripts(folder: Path | None = None) -> dict[str, Script]:
    """Return every script of a folder (default: the library's own), by name, all of them made."""
    found = open_scripts(folder)
    return {name: found[name] for name in found.names}


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
            raise ConfigError(
                f"two Lua scripts are named {path.stem}: {other} and {path}; rename one"
            )
        found[path.stem] = path
    return found


def inlined(parts: tuple[tuple[str, str], ...], constants: Mapping[str, str] = CONSTANTS) -> str:
    """Join the files of a script, with constants and names of keys replaced by their values.

    Redis runs the whole text of a script at each call, and each function in it captures every
    local that it uses; a hundred constants and keys cost more than the work of a small script. So
    the names of `constants`, which are made from Python, are replaced by their values;
    `local A, B = 1, 2` is removed and its names are replaced by the numbers, the names of
    `include/keys.lua` by `K[n]`. Comments are removed; lines stay where they are.

    `parts` are the files' names and texts. Raises `ValueError` for a name that would be replaced
    where Lua expects a name of its own, and for a constant that nothing defines.
    """
    values = dict(constants)
    texts = [(file, _declare(file, text, values)) for file, text in parts]
    taken = {**values, "K": "KEYS"} if any(_ALL_KEYS in text for _, text in texts) else values
    for file, text in texts:
        for line, word, use in _used_names(text.replace(_ALL_KEYS, "")):
            if word in taken:
                raise ValueError(
                    f"lua/{file}, line {line}: {word!r} is {_USE[use]}, but the loader replaces that "
                    f"name by {_meaning(word, taken[word])}: choose another name"
                )
    own = {word for _, text in texts for _, word, use in _used_names(text) if use == "local"}
    for file, text in texts:
        for line, word in _constants_in(text):
            if word not in values and word not in own:
                raise ValueError(
                    f"lua/{file}, line {line}: nothing defines the constant {word!r}: those of Python "
                    "are in store/redis/prelude.py"
                )

    def put(word: re.Match[str]) -> str:
        return "" if word[0].startswith("--") else values.get(word[0], word[0])

    return "".join(_WORD.sub(put, text) for _, text in texts)


def _declare(file: str, text: str, values: dict[str, str]) -> str:
    """Move declarations of constants and keys from a text to `values`; return the rest of the text."""

    def take(declared: re.Match[str]) -> str:
        names = [name.strip() for name in declared[1].split(",")]
        is_keys = declared[2] == "unpack(KEYS)"
        found = (
            [f"K[{n}]" for n in range(1, len(names) + 1)] if is_keys else declared[2].split(", ")
        )
        for name, value in zip(names, found, strict=True):
            if name in values or name == "K":
                line = declared.string.count("\n", 0, declared.start()) + 1
                known = _meaning(name, values.get(name, "KEYS"))
                raise ValueError(
                    f"lua/{file}, line {line}: {name!r} is declared twice in the script: the loader "
                    f"replaces that name by {known} already; choose another name"
                )
            values[name] = value
        return _ALL_KEYS + "\n" * declared[0].count("\n") if is_keys else ""

    return _KEYS_NAMED.sub(take, _CONSTANTS.sub(take, text))


def _meaning(name: str, value: str) -> str:
    if source := SOURCES.get(name):
        return f"{value}, which is made from rediq_trio.{source},"
    return f"{value}, a key of the queue" if value.startswith("K[") else value


@cache
def _constants_in(text: str) -> tuple[tuple[int, str], ...]:
    """Return line and name of each constant that a text names."""
    found = ((text.count("\n", 0, word.start()) + 1, word[1]) for word in _CONSTANT.finditer(text))
    return tuple((line, name) for line, name in found if name and name not in _OF_REDIS)


@cache
def _used_names(text: str) -> tuple[tuple[int, str, str], ...]:
    """Return the line, the name and the use of each name that the loader must not replace."""
    return tuple(
        (text.count("\n", 0, found.start(use) + name.start()) + 1, name[0], use)
        for found in _USED.finditer(text)
        for use, names in found.groupdict().items()
        for name in re.finditer(r"\w+", names or "")
    )


def parse_header(body: str) -> tuple[str, str, str, dict[str, str]]:
    """Return name, edges, summary and sections of a script's header."""
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
