"""The pages for contributors name files, modules and settings that exist."""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import covered
from tests.mutations import MUTANTS, Mutant
from tests.python_mutations import MUTANTS as PYTHON_MUTANTS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "rediq_trio"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in [ROOT / "CONTRIBUTING.md", *(ROOT / "docs" / "internals").glob("*.md")]
}
PATH = re.compile(
    r"(?<![\w/.-])(?:[\w.-]+/)*[\w-]+\.(?:py|lua|md|toml)\b|(?<![\w/.-])(?:[\w.-]+/)+(?![\w.-])"
)
COMMAND = re.compile(r"python -m ([\w.]+)")
TEST_PATH = re.compile(r"pytest ((?:tests/[\w./]+ ?)+)")

each_page = pytest.mark.parametrize("page", PAGES)


def code(page: str) -> str:
    """Return what a page has in backticks and in blocks, without its links and prose."""
    text = PAGES[page]
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    inline = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )
    return "\n".join([*blocks, *inline])


@each_page
def test_the_files_that_a_page_names_exist(page: str) -> None:
    named = {
        path for path in PATH.findall(code(page)) if not path.startswith(("/", "usr/", "tmp/"))
    }
    assert named
    assert {
        path for path in named if not ((ROOT / path).exists() or (PACKAGE / path).exists())
    } == set()


@each_page
def test_the_modules_that_a_page_runs_exist(page: str) -> None:
    named = {name for name in COMMAND.findall(code(page)) if name != "venv"}
    assert {name for name in named if find_spec(name) is None} == set()


def test_the_tests_that_are_to_be_run_exist() -> None:
    named = {path for found in TEST_PATH.findall(code("CONTRIBUTING.md")) for path in found.split()}
    assert len(named) > 20
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_the_links_of_the_contributing_page_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)", PAGES["CONTRIBUTING.md"])
    assert len(links) > 5
    assert {link for link in links if link and not (ROOT / link).exists()} == set()


def test_the_mutant_that_the_contributing_page_shows_exists() -> None:
    rows = re.findall(r"^```python\n(\(.*\)),\n```", PAGES["CONTRIBUTING.md"], re.MULTILINE)
    of_lua, of_python = map(ast.literal_eval, rows)
    assert Mutant(*of_lua) in MUTANTS
    assert of_python in [(each.name, each.breaks, each.old, each.new) for each in PYTHON_MUTANTS]


def test_the_steps_of_ci_are_those_that_the_page_names() -> None:
    script = ROOT / ".ci" / "run"
    if not script.is_file():
        pytest.skip("the sdist has no .ci/run")
    text, page = script.read_text("utf-8"), PAGES["CONTRIBUTING.md"]
    for command in re.findall(r"python -m ((?:tests|docs)\.[\w.]+(?: --minutes \d+)?)", text):
        assert f"python -m {command}" in page
    samples = dict(re.findall(r"tests\.(\w+) --sample (\d+)", text))
    assert f"a sample of {samples['mutants']} mutants" in page
    assert f"at least {covered.LEAST} %" in page
