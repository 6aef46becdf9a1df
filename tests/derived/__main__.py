"""Write the kept patch anew from the changes of a checkout: `python -m tests.derived`.

All that differs from the last commit goes into `a_new_outcome.patch`, except for this folder.
How to get there is said in `test_a_new_outcome.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATCH = Path(__file__).with_name("a_new_outcome.patch")


def changes(root: Path) -> str:
    """Return what differs from the last commit, without the hashes of the files."""
    subprocess.run(["git", "add", "--all", "--intent-to-add"], cwd=root, check=True)
    options = ("-U2", "--no-color", "--no-ext-diff", "--no-renames")
    said = subprocess.run(
        ["git", "diff", *options, "HEAD", "--", ".", ":!tests/derived", ":!*.rej"],
        cwd=root,
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    return re.sub(r"^index .*\n", "", said.stdout, flags=re.MULTILINE)


def main() -> int:
    """Write the patch; fail when nothing differs, so that it is not emptied by mistake."""
    text = changes(ROOT)
    if not text:
        print("nothing differs from the last commit: see test_a_new_outcome.py", file=sys.stderr)
        return 1
    PATCH.write_text(text, "utf-8")
    print(f"wrote {PATCH.relative_to(ROOT)}: {text.count('diff --git ')} files")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
