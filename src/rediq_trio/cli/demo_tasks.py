"""The tasks of the demo: hash files, with some made to fail, and one task to be cancelled."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import trio

import rediq_trio as rediq

BACKOFF = rediq.Fixed(0.2)


class MadeToFail(Exception):
    """Raised in an attempt that the demo has chosen to fail."""


@attrs.frozen
class File:
    """A regular file, by its path in bytes, which need not be valid text."""

    path: bytes
    size: int


@attrs.define(eq=False)
class CancellationProbe:
    """Records what the cancelled handler observes. It works because handlers run in this process."""

    started: trio.Event = attrs.field(factory=trio.Event)
    asked_at: float = 0.0
    """When `cancel()` was called, on Trio's clock."""
    took: float | None = None
    """Seconds from `cancel()` to the handler's `trio.Cancelled`; None without one."""
    reason: str | None = None


def find_files(folder: Path, skip: Sequence[str]) -> list[File]:
    """Return the readable regular files below a folder, in the order of their paths.

    Must run in a thread of Trio's; it ends when its caller is cancelled.
    """
    skipped = {*map(os.fsencode, skip)}
    files: list[File] = []
    for place, folders, names in os.walk(os.fsencode(folder)):
        trio.from_thread.check_cancelled()
        folders[:] = [name for name in folders if name not in skipped]
        for path in (os.path.join(place, name) for name in names):
            with suppress(OSError):
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK):
                    files.append(File(path, found.st_size))
    return sorted(files, key=lambda file: file.path)


def failures_of(index: int) -> int:
    """Return how often the file with that index fails: always the same files, some of them twice."""
    if index % 200 == 1:
        return 2
    return 1 if index % 40 == 0 else 0


def sha256_of(path: bytes) -> str:
    """Return the SHA-256 of a file, as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class DemoTasks:
    """The demo's app with its handlers."""

    def __init__(self) -> None:
        self.app = rediq.App()
        # Of its own, on a server that may have other users.
        self.queue = queue = f"demo-{os.getpid()}-{time.time_ns() // 1_000_000:x}"
        self.probe = probe = CancellationProbe()

        # A plain def: reading files blocks, so it belongs into a thread.
        @self.app.task("demo:sha256", queue=queue, max_retry=3, backoff=BACKOFF, timeout=300)
        def sha256(path: bytes, fail_first: int = 0) -> str:
            attempt = rediq.current_task().attempt
            if attempt <= fail_first:
                raise MadeToFail(f"made to fail in attempt {attempt}")
            return sha256_of(path)

        @self.app.task("demo:wait", queue=queue, priority=0, timeout=float("inf"))
        async def wait() -> None:
            probe.started.set()
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                probe.took = trio.current_time() - probe.asked_at
                probe.reason = rediq.current_task().cancel_reason
                raise

        @self.app.task("demo:nothing", queue=queue)
        async def nothing() -> None:
            pass

        self.sha256 = sha256
        self.wait = wait
        self.nothing = nothing

    def of_files(self, files: Sequence[File], first: int) -> Iterator[rediq.Task[str]]:
        """Make a task for each file; `first` is the index of the first file among all."""
        for index, file in enumerate(files, first):
            yield self.sha256.task(path=file.path, fail_first=failures_of(index))

    def doomed(self, folder: Path) -> rediq.Task[str]:
        """Make a task that dies: its file does not exist."""
        missing = os.fsencode(folder / "a-file-that-does-not-exist")
        return self.sha256.options(max_retry=1).task(path=missing)
