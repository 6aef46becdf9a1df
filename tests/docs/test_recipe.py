"""The recipe for a new operation lists the files that its examples really touch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "src/rediq_trio"
PAGE = ROOT / "docs" / "internals" / "adding-an-operation.md"
ROW = re.compile(r"^\| `([\w./-]+\.\w+)` \| (.*) \|$", re.MULTILINE)
NAME = re.compile(r"`(\w+)`")
CODE = (PACKAGE, "lua")
SUFFIXES = (".py", ".lua")
EXAMPLES = {"snooze": "snooz", "revive": "reviv"}
"""Each example of the page, and the stem of the words by which a file mentions it."""


def rows(example: str) -> dict[str, str]:
    """Return what the tables of an example say, by the path of the file."""
    (section,) = (
        part
        for part in re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
        if part.splitlines()[0].endswith(f": `{example}`")
    )
    found = ROW.findall(section)
    assert len(found) == len({path for path, _ in found}), "a file has two rows"
    return {full_path(path): text for path, text in found}


def full_path(path: str) -> str:
    """Return a path of the page from the root of the repository."""
    return path if path.startswith(("lua/", "tests/", "docs/")) else f"{PACKAGE}/{path}"


def mentioning(word: str) -> set[str]:
    """Return the modules of the package and the scripts that mention a word."""
    return {
        path.relative_to(ROOT).as_posix()
        for folder in CODE
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SUFFIXES and word in path.read_text("utf-8").lower()
    }


def test_the_files_of_an_outcome_are_those_that_mention_it() -> None:
    listed = {p for p in rows("snooze") if p.startswith(CODE) and p.endswith(SUFFIXES)}
    found = mentioning(EXAMPLES["snooze"])
    assert found - listed == set(), f"these files mention snooze: add them to {PAGE.name}"
    assert listed - found == set(), (
        f"these files do not mention snooze: remove them from {PAGE.name}"
    )


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_listed_file_exists_and_mentions_the_example(example: str) -> None:
    listed = rows(example)
    assert listed
    for path in listed:
        assert (ROOT / path).is_file(), path
        assert EXAMPLES[example] in (ROOT / path).read_text("utf-8").lower(), path


@pytest.mark.parametrize("example", EXAMPLES)
def test_each_name_that_a_row_gives_is_in_its_file(example: str) -> None:
    missing = {
        (path, name)
        for path, text in rows(example).items()
        for name in NAME.findall(text)
        if name not in (ROOT / path).read_text("utf-8")
    }
    assert missing == set()
