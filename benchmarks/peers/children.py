"""Adapters at work: started in sessions of their own, spoken to in lines, killed with all they started."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.peers.roster import OWN, Peer
from benchmarks.processes import running

INSIDE = Path(__file__).parent / "inside"
"""The folder of what every adapter imports."""
LAST_LINES = 6
"""Lines of standard error that tell why an adapter failed."""


class AdapterFailed(Exception):
    """An adapter ended, said nothing in time, or did not do its work; the text says which."""


@attrs.define(eq=False)
class Child:
    """A running adapter."""

    process: subprocess.Popen[bytes]
    said: Any
    """The file with its standard error."""
    _pending: bytes = b""

    def listen(self, within: float) -> dict[str, Any]:
        """Give the next line it says; raise `AdapterFailed` when there is none in time."""
        assert self.process.stdout is not None
        give_up = time.monotonic() + within
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                left = give_up - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise AdapterFailed(f"said nothing for {within:g} s{self.last_words()}")
                got = os.read(self.process.stdout.fileno(), 1 << 16)
                if not got:
                    raise AdapterFailed(f"ended too early{self.last_words()}")
                self._pending += got
        line, _, self._pending = self._pending.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        return said

    def let_go(self) -> None:
        """Let it begin; it has said that it is ready."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(b"go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise AdapterFailed(f"ended too early{self.last_words()}") from None

    def check(self) -> None:
        """Raise `AdapterFailed` when it has ended."""
        if self.process.poll() is not None:
            raise AdapterFailed(f"ended with status {self.process.returncode}{self.last_words()}")

    def last_words(self) -> str:
        """Give the last lines of its standard error, for an error's text."""
        self.said.seek(0)
        lines = [line.strip() for line in self.said.read().decode(errors="replace").splitlines()]
        last = " / ".join([line for line in lines if line][-LAST_LINES:])
        return f": {last}" if last else ""


@contextmanager
def run_adapter(python: Path, peer: Peer, *arguments: str) -> Iterator[Child]:
    """Run a peer's adapter while the block lasts; then kill it and whatever it started."""
    paths = [str(INSIDE)]
    if peer.name == OWN:
        paths += [path for path in sys.path if path]  # from the checkout as well
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONWARNINGS": "ignore"}
    flags = ["--bulk-callers", str(peer.bulk_callers)]
    if peer.variant:
        flags += ["--variant", peer.variant]
    with (
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryDirectory(prefix="peer-") as folder,
        running(
            [str(python), "-P", str(peer.program), *arguments, *flags], end,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said,
            start_new_session=True, env=environment, cwd=folder,
        ) as process,
    ):  # fmt: skip
        yield Child(process, said)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process's group, and wait for the process."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # all of it has ended
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # what was not read any more
    process.wait()
