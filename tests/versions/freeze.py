"""Freeze a version of the library, for the tests that run it beside the checkout.

    python -m tests.versions.freeze COMMIT NAME

writes `tests/versions/NAME.tar.gz`: the package and the scripts of that commit, and nothing
else. It is done once for each layout of records, from its last commit, so that what wrote data
that may still be in somebody's Redis can be run for ever. The same commit gives the same bytes.
"""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PARTS = ("src/rediq_trio", "lua")


def freeze(commit: str, name: str) -> Path:
    """Write the archive of a commit, and give its path."""
    made = subprocess.run(
        ["git", "archive", "--format=tar", commit, "--", *PARTS],
        cwd=HERE.parents[1], capture_output=True, check=True,
    )  # fmt: skip
    path = HERE / f"{name}.tar.gz"
    # No time of day in it.
    path.write_bytes(gzip.compress(made.stdout, 9, mtime=0))
    return path


def thaw(name: str, folder: Path) -> Path:
    """Unpack a frozen version below a folder; give what to put on the Python path."""
    packed = gzip.decompress((HERE / f"{name}.tar.gz").read_bytes())
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        # Python knows filters from 3.11.4 on.
        more: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **more)
    return folder / "src"


if __name__ == "__main__":
    print(freeze(*sys.argv[1:]))
