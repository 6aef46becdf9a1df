"""What the documentation takes from the code is as the code is now."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import attrs
import pytest

import rediq_trio as rediq
from docs import generate, invariants, lua_reference, other_clients, readme_links
from rediq_trio.settings import Settings
from rediq_trio.store.redis.keys import KEY_TABLE, QUEUE_KEYS, STATISTICS_KEYS, STATISTICS_TABLE
from rediq_trio.values.task import TaskOptions

REFERENCE = generate.HERE / "reference"
SUBSCRIBE = re.compile(r"\]\(([^)#:\s]*)(#[^)\s]*)?\)")


def test_generated_pages_are_up_to_date() -> None:
    names = generate.stale()
    assert not names, f"{', '.join(names)} out of date: run python -m docs.generate"


def test_the_blocking_and_the_asyncio_client_are_what_the_generator_writes() -> None:
    assert other_clients.stale() == []


def test_every_key_of_a_queue_is_described() -> None:
    described = (*KEY_TABLE, *STATISTICS_TABLE)
    assert all(key.holds.endswith(".") and key.holds.count(". ") == 0 for key in described)
    rows = re.findall(r"^\| `rediq:{Q}:(\w+)` \|", lua_reference.keys(), re.MULTILINE)
    assert Counter(rows) == Counter((*QUEUE_KEYS, *STATISTICS_KEYS))


def test_every_public_name_is_in_a_page_of_the_reference() -> None:
    pages = "\n".join(page.read_text("utf-8") for page in REFERENCE.glob("*.md"))
    named = {*re.findall(r"^### (\w+)$", pages, re.MULTILINE), *_rows(pages)}
    assert {*rediq.__all__} - named == set()


def test_every_option_and_every_setting_has_a_row() -> None:
    settings = {field.name for field in attrs.fields(Settings)}
    for page, names in (("options", TaskOptions.__optional_keys__), ("settings", settings)):
        rows = Counter(_rows((REFERENCE / f"{page}.md").read_text("utf-8")))
        assert {name: rows[name] for name in names} == dict.fromkeys(names, 1)


def test_every_invariant_is_told() -> None:
    assert [*invariants.INVARIANTS] == [*invariants.ALSO] == [*range(1, 14)]
    tests = generate.HERE.parent / "tests"
    for places in invariants.ALSO.values():
        folder = tests
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", places):
            found = tests / name if "/" in name or (tests / name).exists() else folder / name
            assert found.exists(), name
            folder = found if found.is_dir() else found.parent


def test_the_words_of_the_glossary_are_in_order() -> None:
    page = (generate.HERE / "glossary.md").read_text("utf-8")
    words = re.findall(r"^\| \*\*(.+?)\*\*", page, re.MULTILINE)
    assert words == sorted({*words}, key=str.lower)


def test_every_page_is_in_the_navigation() -> None:
    _, nav = (generate.HERE.parent / "mkdocs.yml").read_text("utf-8").split("\nnav:\n")
    pages = sorted(str(path.relative_to(generate.HERE)) for path in generate.HERE.rglob("*.md"))
    assert sorted(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == pages


def test_the_programs_of_the_documentation_are_in_its_pages() -> None:
    # As they are committed: whoever reads a page in the repository sees them.
    shown = "\n".join(path.read_text("utf-8") for path in generate.HERE.rglob("*.md"))
    files = [
        *(generate.HERE / "examples").rglob("*.py"),
        *(generate.HERE / "examples").rglob("*.out"),
    ]
    assert len(files) > 40
    missing = [path.name for path in files if path.read_text("utf-8").strip("\n") not in shown]
    assert missing == []
    assert re.findall(r"^--8<--.*", shown, re.MULTILINE) == [], (
        "write <!-- program: path --> and <!-- end -->, and python -m docs.generate"
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [("docs/examples/none.py", "there is no file"), ("docs/images/layers.svg", "add .svg to")],
)
def test_a_program_that_cannot_be_shown_is_an_error(name: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        generate.filled(f"<!-- program: {name} -->\n<!-- end -->")


def test_a_program_is_shown_as_it_is_now() -> None:
    page = "Before\n<!-- program: docs/examples/first_task.out -->\nold\n<!-- end -->\nafter\n"
    text = (generate.HERE / "examples" / "first_task.out").read_text("utf-8")
    block = f"\n```text\n{text}```\n\n"
    assert generate.filled(page) == page.replace("old\n", block)
    assert generate.filled(generate.filled(page)) == generate.filled(page)


def test_the_site_names_the_repository_of_the_project() -> None:
    site = (generate.HERE.parent / "mkdocs.yml").read_text("utf-8")
    assert re.findall(r"^repo_url: (.+)$", site, re.MULTILINE) == [readme_links.repository()]


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*generate.HERE.rglob("*.md"), generate.HERE.parent / "README.md"]:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
        for path, anchor in SUBSCRIBE.findall(text):
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {path}"
            if anchor and target.suffix == ".md":
                assert anchor[1:] in _anchors(target), f"{page.name}: {path}{anchor}"


def _rows(page: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", t).strip().lower()) for t in titles}
