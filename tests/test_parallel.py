"""Plain `pytest` runs in parallel by itself, and a few files do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import ROOT, run_pytest
from tests.parallel import FEW, count_files

FOLDER = "tests/wire"
FILE = "tests/wire/test_structuring.py"
FEW_OF_THEM = ("-k", "test_structuring")


def in_parallel(folder: Path, *arguments: str) -> bool:
    """Run a few tests and return whether in processes of their own."""
    # A file of its own for coverage: that of this run is not to be touched.
    done = run_pytest(*arguments, *FEW_OF_THEM, COVERAGE_FILE=str(folder / "coverage"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    return re.search(r"\d workers? \[", done.stdout) is not None


def test_a_folder_of_many_files_runs_in_parallel(tmp_path: Path) -> None:
    assert in_parallel(tmp_path, FOLDER)


@pytest.mark.parametrize(
    "arguments",
    [
        (FILE,),
        (FOLDER, "-n0"),
        (FOLDER, "-p", "no:xdist"),
        (FOLDER, "-s"),
        (FOLDER, "--cov", "--cov-report="),
    ],
)
def test_a_file_and_what_the_command_line_says_run_in_one_process(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    assert not in_parallel(tmp_path, *arguments)


def test_files_are_counted_once_and_folders_with_all_that_is_in_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert count_files([FILE, f"{FILE}::test_one", f"{FILE}::test_other"]) == 1
    below = len([*Path(FOLDER).glob("test_*.py")])
    assert below > FEW
    assert count_files([FOLDER, FILE]) == below
    assert count_files([str(tmp_path)]) == 0
