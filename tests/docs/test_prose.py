"""Docstrings, messages and pages are plain English, and old names do not come back.

The rules are those of CONTRIBUTING: subject first, the field's terms, one word per idea.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "rediq_trio"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in SRC.rglob("*.py"))
SCRIPTS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "lua").rglob("*.lua"))
PAGES = sorted(
    [
        *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")),
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "benchmarks/README.md",
        "lua/README.md",
        "tests/chaos/README.md",
        "src/rediq_trio/testing/judge/README.md",
    ]
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIRST_WORDS = {"Give", "Gives", "Say", "Says", "Let", "Lets", "Tell", "Tells"}
"""A docstring that begins with one of these says `Return`, or what the function does."""

BANNED: Mapping[str, str] = {
    r"behind": "after",
    r"told": "notified, asked, reported",
    r"tells?": "notify, report, return, show",
    r"telling": "notifying, reporting",
    r"(?:gives?|gave|given) back": "release, return",
    r"(?:takes?|took|taken) back": "reclaim",
    r"(?:takes?|took|taken) in": "accept, receive",
    r"bur(?:y|ies|ied)": "move to dead, make dead",
    r"hears?|heard": "receive, learn",
    r"comes? by": "reach, arrive",
    r"in circles": "loop",
    r"at rest": "idle",
    r"those of which": "a noun",
    r"such a one": "a noun",
    r"mend(?:s|ed|ing)?": "fix, help, repair",
    r"hurr(?:y|ies|ied)": "stop faster",
    r"strays?": "unknown",
    r"seats?": "index member",
    r"(?:un)?ti(?:e|es|ed)": "relation, dependency",
    r"ripples?": "propagate",
    r"wish(?:es)?": "request",
    r"of somebody's own": "a noun",
}
"""Words that a page or a message does not need, and what it says instead."""

IN_PAGES_ALLOWED: Mapping[tuple[str, str], str] = {}
"""Banned words that a page needs, each with the reason."""

OLD_WORDS = _words(
    """
    awaits bell book deaf desk dial doubt draft ear farewell flow heard hindered hoard hoarded hops
    horizon hurry joined joint journal lenient lent mend mended mending noted pace placer pump
    reckon recording resting rests ripple rippled seal sealed seat seats sight sights stray strays
    tie tied ties timetable trip untie ways
    """
)
"""Words that stood for something in names, and that no search would find."""

OLD_NAMES = _words(
    """
    Confirming DEAF_PAUSE Desk Door EAR_PING Examiner FAREWELL Flow HOARD HORIZON Held JOINED Joined
    Joint LAYER Line Listing Load NO_TIES Pace Picture Placer Prepared Recording Routes SealedStore
    Subject Timetable Ties Ways Words admit admit_one hold_over held_over keep_up
    open_door sealed_by sight_codec take_in
    """
)
"""Names of classes, functions and constants that have a better one."""

OLD_MODULES = _words(
    """
    bridge describe desk draft ear line mending parts preparing recording rights ripple
    sealed showing sight_codec sights signals stored structures subjects sweep timetable
    """
)

NAMES_ALLOWED: Mapping[str, str] = {
    "Line": "a line of the files that the judge reads",
    "ways": "of `crash_everywhere`: in which ways a handler is interrupted",
    "_round_trip": "the term of networks for a call and its answer",
}
"""Names that hold an old word all the same, each with the reason."""

IN_DOCS_ALLOWED: Mapping[tuple[str, str], str] = {
    ("docs/upgrading.md", "seat"): "the table of the words that changed",
    ("docs/upgrading.md", "tie"): "the table of the words that changed",
    ("CHANGELOG.md", "seat"): "a line of history",
    ("CHANGELOG.md", "tie"): "a line of history",
    ("lua/README.md", "noted"): "a field of the hash `meta` in Redis, which keeps its name",
    ("docs/history.md", "lenient"): "a field of the files of a history, which stays readable",
}
"""Old words in the code of a page, each with the reason."""


def prose(page: str) -> str:
    """Return the text of a page without its code."""
    text = re.sub(r"^```.*?^```$", "", (ROOT / page).read_text("utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def banned(text: str) -> Iterator[str]:
    for word in BANNED:
        yield from (found[0].lower() for found in re.finditer(rf"\b(?:{word})\b", text, re.I))


def parts_of(name: str) -> set[str]:
    """Return the words of a name: `_round_trip` is round and trip, `SealedStore` sealed and store."""
    return {part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def is_old(name: str) -> bool:
    return name not in NAMES_ALLOWED and (name in OLD_NAMES or bool(parts_of(name) & OLD_WORDS))


def names_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield from (node.asname or node.name).split(".")


def messages_of(tree: ast.Module) -> Iterator[str]:
    """Return the texts of a module but its docstrings: messages, help, log lines."""
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in documented:
            continue
        if isinstance(node.value, str) and " " in node.value:
            yield node.value


@pytest.mark.parametrize("module", MODULES)
def test_no_docstring_begins_with_a_word_that_says_nothing(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [
        ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)
    ]
    begins = [text for text in texts if text and text.split()[0].rstrip(",.:;") in FIRST_WORDS]
    assert begins == []


@pytest.mark.parametrize("module", MODULES)
def test_messages_are_plain(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    assert {text: [*banned(text)] for text in messages_of(tree) if [*banned(text)]} == {}


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_plain(page: str) -> None:
    words = {word for word in banned(prose(page)) if (page, word) not in IN_PAGES_ALLOWED}
    assert {word: [*_lines_with(page, word)] for word in words} == {}


@pytest.mark.parametrize("module", MODULES)
def test_no_name_of_a_module_is_old(module: str) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    assert {name for name in names_of(tree) if is_old(name)} == set()
    assert not {*Path(module).with_suffix("").parts} & OLD_MODULES


@pytest.mark.parametrize("script", SCRIPTS)
def test_no_name_of_a_script_is_old(script: str) -> None:
    code = re.sub(r"--[^\n]*", "", (ROOT / script).read_text("utf-8"))
    code = re.sub(r"'[^'\n]*'", "", code)  # what is stored keeps its name
    assert {name for name in re.findall(r"[A-Za-z_]\w*", code) if is_old(name)} == set()
    assert Path(script).stem not in OLD_MODULES


@pytest.mark.parametrize("page", PAGES)
def test_no_name_in_a_page_is_old(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    code = "\n".join(re.findall(r"^```.*?^```$|`[^`\n]+`", text, re.M | re.S))
    names = {name for name in re.findall(r"[A-Za-z_]\w*", code) if is_old(name)}
    assert {name for name in names if (page, name) not in IN_DOCS_ALLOWED} == set()


@pytest.mark.parametrize(("page", "word"), [*IN_PAGES_ALLOWED, *IN_DOCS_ALLOWED])
def test_an_exception_of_a_page_is_still_one(page: str, word: str) -> None:
    assert re.search(rf"\b{word}\b", (ROOT / page).read_text("utf-8"))


def test_an_exception_of_names_is_still_one() -> None:
    trees = [ast.parse((ROOT / module).read_text("utf-8")) for module in MODULES]
    assert {*NAMES_ALLOWED} <= {name for tree in trees for name in names_of(tree)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("No attempt is begun behind it.", ["behind"]),
        ("The task is given back.", ["given back"]),
        ("Workers that were told", ["told"]),
        ("a detailed, untied result", ["untied"]),
        ("The attempt is retried and hesitates", []),
    ],
)
def test_what_is_banned(text: str, words: list[str]) -> None:
    assert [*banned(text)] == words


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("SealedStore", True),
        ("mend_task", True),
        ("_TIES", True),
        ("_round_trip", False),
        ("properties", False),
        ("Ties", True),
        ("hold_over", True),
    ],
)
def test_what_is_an_old_name(name: str, old: bool) -> None:
    assert is_old(name) is old


def _lines_with(page: str, word: str) -> Iterator[str]:
    for line in prose(page).splitlines():
        if re.search(rf"\b{re.escape(word)}\b", line, re.I):
            yield line
