"""What the demo runs: files to hash, some of them made to fail, and a task to be cancelled."""

from __future__ import annotations

import hashlib
import os
import stat
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import trio

import rediq_trio as rediq

BACKOFF = rediq.Fixed(0.2)


class MadeToFail(Exception):
    """The demo's own doing: an attempt that was chosen to fail."""


@attrs.frozen
class File:
    """A regular file, by its path as the file system has it, which need not be text."""

    path: bytes
    size: int


@attrs.define(eq=False)
class Witness:
    """What the handler that is cancelled saw. It runs in this process, so it can tell."""

    started: trio.Event = attrs.field(factory=trio.Event)
    cancelled_at: float | None = None
    """On Trio's clock, when `trio.Cancelled` reached it."""
    reason: str | None = None


def default_folder() -> Path:
    """Give the standard library of the Python that runs."""
    return Path(sysconfig.get_paths()["stdlib"])


def find_files(folder: Path, *, skip: Sequence[str] = ()) -> list[File]:
    """Give the regular files below a folder, ordered by path; what cannot be read is left out.

    Made for a thread of Trio's: it ends when its caller is cancelled.
    """
    return sorted(_walk(os.fsencode(folder), {*map(os.fsencode, skip)}), key=lambda file: file.path)


def _walk(top: bytes, skip: set[bytes]) -> Iterator[File]:
    folders = [top]
    while folders:
        trio.from_thread.check_cancelled()
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in skip:
                            folders.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and os.access(entry.path, os.R_OK):
                        yield File(entry.path, found.st_size)
        except OSError:
            continue


def failures_of(place: int) -> int:
    """Give how often the file at that place is made to fail: always the same ones, some twice."""
    if place % 200 == 1:
        return 2
    return 1 if place % 40 == 0 else 0


def sha256_of(path: bytes) -> str:
    """Give the SHA-256 of a file, as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class DemoTasks:
    """The demo's app with its handlers."""

    def __init__(self, queue: str, witness: Witness) -> None:
        self.app = rediq.App()

        # A plain def: reading files blocks, so it belongs into a thread.
        @self.app.task("demo:sha256", queue=queue, max_retry=3, backoff=BACKOFF, timeout=300)
        def sha256(path: bytes, fail_first: int = 0) -> str:
            attempt = rediq.current_task().attempt
            if attempt <= fail_first:
                raise MadeToFail(f"made to fail in attempt {attempt}")
            return sha256_of(path)

        @self.app.task("demo:wait", queue=queue, priority=0, timeout=float("inf"))
        async def wait() -> None:
            witness.started.set()
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                witness.cancelled_at = trio.current_time()
                witness.reason = rediq.current_task().cancel_reason
                raise

        @self.app.task("demo:nothing", queue=queue)
        async def nothing() -> None:
            pass

        self.sha256 = sha256
        self.wait = wait
        self.nothing = nothing

    def of_files(self, files: Sequence[File], first: int) -> Iterator[rediq.Task[str]]:
        """Make a task for each file; `first` is the place of the first among all."""
        for place, file in enumerate(files, first):
            yield self.sha256.task(path=file.path, fail_first=failures_of(place))

    def doomed(self, folder: Path) -> rediq.Task[str]:
        """Make a task that dies: its file does not exist."""
        missing = os.fsencode(folder / "a-file-that-does-not-exist")
        return self.sha256.options(max_retry=1).task(path=missing)
