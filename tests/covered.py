"""Measure how much of the library the tests cover: `python -m tests.covered`.

It runs `pytest`, then `pytest -m slow`, with coverage, and reports both together; it ends with an
error if a test fails, or if less than 97 % is covered.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

LEAST = 97
"""Percent of lines and branches."""
RUNS = {"plain": (), "slow": ("-m", "slow")}


def main() -> int:
    """Run the tests, and report."""
    with tempfile.TemporaryDirectory() as folder:
        failed = [name for name, which in RUNS.items() if _run(Path(folder) / name, *which)]
        both = Path(folder) / "both"
        _coverage("combine", "-q", f"--data-file={both}", *map(str, Path(folder).glob("*")))
        reported = _coverage("report", f"--data-file={both}", f"--fail-under={LEAST}")
    if failed:
        print(f"tests failed: {', '.join(failed)}")
    return 1 if failed else reported


def _run(data: Path, *which: str) -> int:
    # With the options that the tests choose by themselves: coverage has to know of them at once.
    command = [
        "-m",
        "pytest",
        "-n",
        "logical",
        "--dist",
        "worksteal",
        "-q",
        "--cov",
        "--cov-report=",
    ]
    environment = os.environ | {"COVERAGE_FILE": str(data)}
    return subprocess.run(
        [sys.executable, *command, *which], env=environment, check=False
    ).returncode


def _coverage(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
