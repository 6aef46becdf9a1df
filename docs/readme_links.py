"""The links of README.md, which is also read outside of the repository: on PyPI, in a fork, in a mail.

A link is written as `[text][path]` or `[text][path#anchor]`, and the addresses of all paths stand at
the end of the page. They are below the address of the repository, which pyproject.toml has.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LINK = re.compile(r"(!?)\[[^\]]+\]\[([^\]\s]+)\]")
"""A link, or with `!` a picture, whose address stands elsewhere."""


def repository() -> str:
    """Return the address of the repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["urls"]["Repository"])


def addresses() -> str:
    """Return the address of each file that README.md links to."""
    found = LINK.findall((ROOT / "README.md").read_text("utf-8"))
    return "\n".join(sorted({f"[{path}]: {_address(picture, path)}" for picture, path in found}))


def _address(picture: str, path: str) -> str:
    file = ROOT / path.partition("#")[0]
    if not file.exists():
        raise SystemExit(f"README.md links to {path}, which does not exist")
    view = "raw" if picture else "tree" if file.is_dir() else "blob"
    return f"{repository()}/{view}/main/{path}"
