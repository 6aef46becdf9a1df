"""The programs that pages show: each is a file that the tests run, and is written into the page."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LANGUAGES = {
    ".out": "text",
    ".py": "python",
    ".service": "ini",
    ".yaml": "yaml",
    "Dockerfile": "dockerfile",
}
"""How the code of a file is highlighted, by the file's suffix or name."""


def program(name: str) -> str:
    """Return a file of the repository as a block of code, with its name as the title of the block."""
    path = ROOT / name
    if not path.is_file():
        raise SystemExit(f"there is no file {name}: write the path from the root of the repository")
    language = LANGUAGES.get(path.suffix or path.name)
    if language is None:
        raise SystemExit(f"{name}: add {path.suffix or path.name} to LANGUAGES in docs/programs.py")
    text = path.read_text("utf-8").strip("\n")
    if "```" in text or "<!--" in text:
        raise SystemExit(f"{name}: a block of code ends at ```, and <!-- is a mark of a page")
    title = "" if language == "text" else f' title="{path.name}"'
    return f"```{language}{title}\n{text}\n```"
