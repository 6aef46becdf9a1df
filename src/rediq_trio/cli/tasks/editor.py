"""The editor of whoever types the commands, and the file in which they edit."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import trio

from rediq_trio._errors import ConfigError, RediqError
from rediq_trio.cli.operate.stdin import is_asked
from rediq_trio.observe.words import shown


class EditorFailed(RediqError):
    """The editor ended with an error, or cannot be run."""


@attrs.frozen
class EditedFile:
    """A file that only its owner can read, in a folder of its own."""

    path: Path
    text: str
    """What was written to it at first."""

    @classmethod
    def of(cls, text: str) -> EditedFile:
        """Write a new one."""
        path = Path(tempfile.mkdtemp(prefix="rediq-edit-")) / "task.json"
        path.touch(mode=0o600)
        path.write_text(text, "utf-8")
        return cls(path, text)

    def was_changed(self) -> bool:
        """Return whether it is there, with another text."""
        return self.path.exists() and self.path.read_bytes() != self.text.encode()

    def read(self) -> str:
        """Return its text; raise `ConfigError` if it is gone, or no text."""
        try:
            return self.path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigError(f"the text is not UTF-8 at byte {error.start + 1}") from None
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {error.strerror or error}") from None

    def remove(self) -> None:
        """Remove it with its folder, where editors may have left copies."""
        for each in self.path.parent.iterdir():
            each.unlink()
        self.path.parent.rmdir()


def editor_words() -> list[str]:
    """Return the command of the editor; raise `ConfigError` if there is none, or it is no command."""
    for name in ("VISUAL", "EDITOR"):
        text = os.environ.get(name, "").strip()
        if not text:
            continue
        try:
            return shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"{name}={shown(text, 80)}: {error}") from None
    if not is_asked():
        raise ConfigError("there is no editor: set VISUAL or EDITOR to a command that edits a file")
    return ["vi"]


async def open_editor(words: list[str], path: Path) -> None:
    """Open a file in the editor, and wait until that has ended. Raises `EditorFailed`.

    Meanwhile Ctrl-C is the editor's. A wait that is cancelled ends when the editor does.
    """
    before = signal.signal(signal.SIGINT, _leave_to_editor)
    try:
        status = await trio.to_thread.run_sync(_run, [*words, str(path)])
    except OSError as error:
        why = f"cannot run the editor {shown(words[0], 80)}: {error.strerror or error}"
        raise EditorFailed(f"{why}; set VISUAL or EDITOR to another one") from None
    finally:
        signal.signal(signal.SIGINT, before)
    if status:
        raise EditorFailed(f"the editor {shown(words[0], 80)} ended with status {status}")


def _leave_to_editor(number: int, frame: object) -> None:
    """Do nothing. Unlike an ignored signal, this is not passed on to the editor."""


def _run(words: list[str]) -> int:
    # What is printed may go to a file; the editor is for the terminal.
    output = None if sys.stdout.isatty() else 2
    return subprocess.call(words, stdout=output)
