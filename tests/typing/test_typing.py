from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MARKED = {
    number
    for number, line in enumerate((HERE / "bad.py").read_text("utf-8").splitlines(), start=1)
    if line.endswith("# error")
}


def mypy(name: str) -> set[int]:
    call = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(HERE / name)]
    said = subprocess.run(call, capture_output=True, text=True, check=False).stdout
    return {int(line) for line in re.findall(rf"{name}:(\d+): error", said)}


def pyright(name: str) -> set[int]:
    call = [
        sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson",
        str(HERE / name),
    ]  # fmt: skip
    said = subprocess.run(call, capture_output=True, text=True, check=False, cwd=HERE)
    found = json.loads(said.stdout)["generalDiagnostics"]
    return {d["range"]["start"]["line"] + 1 for d in found if d["severity"] == "error"}


def test_mypy_accepts_what_is_right_and_refuses_what_is_wrong() -> None:
    assert mypy("good.py") == set()
    assert mypy("bad.py") == MARKED


def test_pyright_accepts_what_is_right_and_refuses_what_is_wrong() -> None:
    assert pyright("good.py") == set()
    assert pyright("bad.py") == MARKED
