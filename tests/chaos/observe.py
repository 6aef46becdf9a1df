"""What a process has seen: one line of JSON for each event, in a file of its own.

A line is one `os.write`, so a process that is killed has lost nothing that it had
noted. Times are of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rediq_trio import Unconfirmed


class Observer:
    """Notes what one client sees, in `<folder>/<client>.jsonl`."""

    def __init__(self, folder: Path, client: str) -> None:
        self.client = client
        self.folder = folder
        self._calls = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(folder / f"{client}.jsonl", flags, 0o644)

    def note(self, event: str, **fields: Any) -> None:
        """Append one line."""
        line = {"t": time.monotonic_ns(), "c": self.client, "e": event, **fields}
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def call(self, op: str, task_id: str, args: dict[str, Any] | None = None) -> int:
        """Note that an operation begins; return its number."""
        self._calls += 1
        self.note("call", n=self._calls, op=op, id=task_id, args=args or {})
        return self._calls

    def returned(self, number: int, answer: Any) -> None:
        """Note what an operation gave."""
        self.note("return", n=number, answer=answer)

    def raised(self, number: int, error: BaseException) -> None:
        """Note what an operation raised, and whether it may have been applied."""
        # What is not confirmed was applied; whether it lasts, nobody knows.
        sent = getattr(error, "sent", isinstance(error, Unconfirmed))
        self.note("raise", n=number, error=type(error).__name__, sent=sent)

    def ready(self) -> None:
        """Notify the driver, by a file, that the client is at work."""
        ready_file(self.folder, self.client).touch()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def ready_file(folder: Path, client: str) -> Path:
    """Return the path of the file that exists once a client is at work."""
    return folder / f"{client}.ready"


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Return every line of every file of a folder, file by file."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                yield json.loads(line)
