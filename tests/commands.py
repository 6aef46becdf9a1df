"""The test command itself, run by tests of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WITHIN = 120.0
"""Seconds for a run of a few, on a busy machine."""
OF_THIS_RUN = ("REDIQ_", "PYTEST_")
"""What the variables begin with that this run's own pytest was told by."""


def run_pytest(
    *arguments: str, more_path: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run pytest as from a shell, with variables of the caller's own."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith(OF_THIS_RUN)}
    paths = [more_path, str(ROOT), os.environ.get("PYTHONPATH", "")]
    clean["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=clean | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
