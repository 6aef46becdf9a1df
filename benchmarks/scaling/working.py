"""A worker process, as a part sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import attrs
import trio

LOOK = 0.1
"""Seconds between looks."""
STALLED = 120.0
"""Seconds without any progress after which a part gives up."""


@attrs.frozen
class Working:
    """A running worker."""

    _input: IO[str]
    _output: IO[str]

    def look(self) -> dict[str, Any]:
        """Ask what it did since it was asked so before."""
        return self._ask("\n")

    def _ask(self, line: str) -> dict[str, Any]:
        self._input.write(line)
        self._input.flush()
        said: dict[str, Any] = json.loads(self._output.readline())
        return said

    async def until(self, completed: int) -> dict[str, Any]:
        """Wait until it has completed so many in all; give what it did since it was last asked."""
        before, moved = -1, trio.current_time()
        while True:
            seen = await trio.to_thread.run_sync(self._ask, "peek\n")
            if seen["completed"] >= completed:
                return seen
            if seen["completed"] != before:
                before, moved = seen["completed"], trio.current_time()
            elif trio.current_time() - moved > STALLED:
                raise SystemExit(f"the worker has stalled: {seen}")
            await trio.sleep(LOOK)


@contextmanager
def working(url: str, queues: Sequence[str], *flags: str) -> Generator[Working]:
    """Run a worker process that is ready, while the block lasts."""
    command = [sys.executable, "-m", "benchmarks.scaling.worker", url, "--queues", ",".join(queues)]
    child = subprocess.Popen(
        [*command, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        if child.stdout.readline() != "ready\n":
            raise SystemExit("the worker did not start")
        yield Working(child.stdin, child.stdout)
    finally:
        child.stdin.close()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.terminate()
            child.wait()
