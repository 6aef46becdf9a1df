"""The environments of the peers: made once, each in a folder below one cache, and used again."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.core import PACKAGES
from benchmarks.peers.roster import Peer

DONE = "made.json"
"""The file that an environment has once all is installed: what is in it."""
WITHIN = 900.0
"""Seconds that an installation may take."""
LIST = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
)


class NotInstalled(Exception):
    """A peer's environment could not be made; the text says why."""


def default_folder() -> Path:
    """Give the folder of the environments below the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rediq-trio" / "peers"


def folder_of(peer: Peer, below: Path) -> Path:
    """Give a peer's folder: another one for other requirements, or another Python."""
    what = json.dumps([sorted(peer.requires), platform.python_version()])
    return below / f"{peer.adapter}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def make(peer: Peer, below: Path) -> Path:
    """Give the interpreter of a peer's environment, which is made when it is not there.

    Raises `NotInstalled`. The library itself runs where this does.
    """
    if not peer.requires:
        return Path(sys.executable)
    folder = folder_of(peer, below)
    python = folder / "bin" / "python"
    if (folder / DONE).exists() and python.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)  # one that was not finished
    below.mkdir(parents=True, exist_ok=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    _run(
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *peer.requires,
        ]
    )
    (folder / DONE).write_text(json.dumps(versions(peer, python), indent=1) + "\n")
    return python


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=WITHIN)
    except subprocess.CalledProcessError as error:
        lines = [
            line.strip() for line in f"{error.stdout}\n{error.stderr}".splitlines() if line.strip()
        ]
        wrong = [line for line in lines if line.startswith("ERROR")] or lines
        raise NotInstalled(" / ".join(wrong[-2:]) or f"status {error.returncode}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from None
    return done.stdout


def versions(peer: Peer, python: Path) -> dict[str, str]:
    """Give the version of every package of a peer's environment; of the library, of what it uses."""
    found: dict[str, str] = json.loads(_run([str(python), "-c", LIST]))
    if not peer.requires:
        return {name: found[name] for name in PACKAGES if name in found}
    return dict(sorted(found.items()))
