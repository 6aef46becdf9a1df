"""Real worker processes, a real server that can be restarted, and the log they leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import attrs
import trio

import rediq_trio as rediq
from tests.servers import IN_MEMORY, require_any_server, require_server, wait_ready

HERE = Path(__file__).parent
LIBRARY = Path(rediq.__file__).parents[1]
"""The folder of the library under test."""
WITHIN = 90.0
"""Seconds that anything awaited may take on a busy machine."""
LEASE = 2.0


@attrs.define
class DurableServer:
    """A redis-server with an append-only file, on a unix socket."""

    program: Path
    folder: Path
    child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/s"

    def start(self) -> None:
        arguments = [
            str(self.program), "--port", "0", "--unixsocket", f"{self.folder}/s",
            "--dir", str(self.folder), "--save", "", "--appendonly", "yes",
            "--appendfsync", "always", "--logfile", f"{self.folder}/log",
        ]  # fmt: skip
        self.child = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        wait_ready(self.child, f"{self.folder}/s")

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child.wait()


@attrs.define
class Crew:
    """The processes of one test."""

    server: DurableServer
    log: Path
    workers: list[subprocess.Popen[bytes]] = attrs.field(factory=list)

    def hire(
        self,
        app: str = "laborer:app",
        *,
        queues: str = "default",
        concurrency: int = 50,
        lease: float = LEASE,
        grace: float = 5.0,
        stderr: IO[bytes] | None = None,
        library: Path = LIBRARY,
    ) -> subprocess.Popen[bytes]:
        """Start a worker process, of the library that is in that folder; its log goes to
        `stderr`, or to the tests' own."""
        environment = self.environment(library)
        worker = subprocess.Popen(
            [
                sys.executable, "-m", "rediq_trio", "run", app, "--url", self.server.url,
                "--queues", queues, "--concurrency", str(concurrency), "--lease", str(lease),
                "--shutdown-grace", str(grace), "--cleanup-grace", "1",
                "--log-level", "error" if stderr is None else "info",
            ],
            cwd=HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def environment(self, library: Path = LIBRARY) -> dict[str, str]:
        """Give the environment of a process that uses the library in that folder."""
        # Lines of another version are none of the checkout's to count.
        left_out = ("REDIQ",) if library == LIBRARY else ("REDIQ", "COV")
        found = {
            n: text for n, text in os.environ.items() if not any(part in n for part in left_out)
        }
        found["PYTHONPATH"] = os.pathsep.join([str(library), str(HERE)])
        found["LABOR_LOG"] = str(self.log)
        return found

    def lines(self, word: str) -> list[list[str]]:
        """Give the noted beginnings or ends: task, fence, pid."""
        if not self.log.exists():
            return []
        lines = (line.split() for line in self.log.read_text("utf-8").splitlines())
        return [rest for first, *rest in lines if first == word]

    def counted(self, word: str) -> Counter[str]:
        """Count the beginnings or ends by task."""
        return Counter(line[0] for line in self.lines(word))


@contextmanager
def crew() -> Iterator[Crew]:
    """Give a crew with its server; end every process of it behind the block."""
    folder = Path(tempfile.mkdtemp(prefix="rediq-faults-", dir=IN_MEMORY))
    server = DurableServer(require_server(require_any_server()), folder)
    server.start()
    made = Crew(server, folder / "labor.log")
    try:
        yield made
    finally:
        for worker in made.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def until(condition: Callable[[], Awaitable[bool]]) -> float:
    """Wait for a condition; give the seconds that took."""
    begun = time.monotonic()
    with trio.fail_after(WITHIN):
        while not await condition():
            await trio.sleep(0.02)
    return time.monotonic() - begun


async def completed(queue: rediq.Queue, count: int) -> bool:
    return (await queue.stats()).completed_total >= count


async def check_sound(queue: rediq.Queue) -> None:
    """Check every invariant that can be seen."""
    violated = await queue.check()
    assert violated == []
