"""Whether the tests run in parallel: plain `pytest` starts one process for each core.

A few files run in this process, where starting others would take longer than they do.
What the command line says of pytest-xdist (`-n`, `--dist`, `-p no:xdist`) comes first.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FEW = 4
"""Files of tests that run in one process."""


def run_in_parallel(config: pytest.Config) -> None:
    """Choose the options of pytest-xdist, unless the command line or a debugger does."""
    option = config.option
    chosen = getattr(option, "numprocesses", 0) is not None or option.dist != "no" or option.tx
    watched = option.usepdb or option.capture == "no" or option.collectonly
    # pytest-cov has chosen before this how it measures, by what the command line says.
    measured = bool(getattr(option, "cov_source", None))
    if chosen or watched or measured or "PYTEST_XDIST_WORKER" in os.environ:
        return
    if count_files(config.args) > FEW:
        option.numprocesses = "logical"
        # What is left of one process's share goes to another that has nothing left.
        option.dist = "worksteal"


def count_files(arguments: list[str]) -> int:
    """Return how many files of tests the arguments name, in folders too."""
    files: set[Path] = set()
    for argument in arguments:
        path = Path(argument.partition("::")[0])
        files.update(path.rglob("test_*.py") if path.is_dir() else [path])
    return len(files)
