"""`rediq run --reload`: a worker that starts again when a file of its app changes.

The parent imports nothing of the app, so no error in it ends the parent. The worker is a child, a
`rediq run` like that of the supervisor: it is stopped by SIGTERM, running handlers have their grace,
and only then the next one starts. Files are compared every half second by time and size, which works
on every file system, also on those of other machines that notify of nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

import attrs
import trio

from rediq_trio.cli.stop_signals import Stop, stop_signals
from rediq_trio.cli.supervisor import KILL_MARGIN, shared_server

log = logging.getLogger("rediq_trio")

CHANGE_POLL_INTERVAL = 0.5
"""Seconds between two looks at the files."""
SETTLED_AFTER = 0.2
"""Seconds without a further change after which a restart begins: editors and git write many files."""
SHOWN_CHANGES = 3
"""Changed files that a line of the log names."""
_IGNORED = frozenset({"__pycache__", "node_modules", "site-packages"})

Files = Mapping[str, tuple[int, int]]
"""The time and the size of each file, by its path."""


def watched_folder(target: str, here: str) -> Path:
    """Return the folder of the app `module:attribute`: the current one, if the module is in it.

    Else the one that has the module, without importing anything; else the current one.
    """
    top = target.partition(":")[0].partition(".")[0]
    folder = Path(here)
    if not top or (folder / top).is_dir() or (folder / f"{top}.py").exists():
        return folder
    spec = PathFinder.find_spec(top)
    origin = None if spec is None else spec.origin
    return folder if origin is None else Path(origin).parent


def find_files(folder: Path) -> Files:
    """Return the Python files below a folder; hidden folders and virtual environments are left out."""
    return dict(_files(str(folder)))


def _files(folder: str) -> Iterator[tuple[str, tuple[int, int]]]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:  # it is gone, or another user's
        return
    for entry in found:
        try:
            if entry.is_dir(follow_symlinks=False):
                if not _is_ignored(entry):
                    yield from _files(entry.path)
            elif entry.name.endswith(".py"):
                stat = entry.stat()
                yield entry.path, (stat.st_mtime_ns, stat.st_size)
        except OSError:  # removed meanwhile
            continue


def _is_ignored(entry: os.DirEntry[str]) -> bool:
    name = entry.name
    return (
        name.startswith(".")
        or name in _IGNORED
        or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))
    )


def changes(before: Files, after: Files) -> list[str]:
    """Return the paths that were added, changed or removed, sorted."""
    paths = before.keys() | after.keys()
    return sorted(path for path in paths if before.get(path) != after.get(path))


@attrs.define(eq=False)
class Reloader:
    """Runs a worker process, and runs it anew after each change."""

    _command: Sequence[str]
    """The app and the flags of `rediq run`."""
    _url: str
    _folder: Path
    _graces: float
    """Seconds that a graceful stop may take."""
    _seen: Files = attrs.field(factory=dict[str, tuple[int, int]])
    """The files as the worker found them."""
    _child: trio.Process | None = None

    async def run(self) -> int:
        """Run until a signal; return the exit status."""
        async with stop_signals() as (stop, nursery), shared_server(self._url) as url:
            nursery.start_soon(self._watch_signals, stop)
            log.info("watching the Python files in %s", self._folder)
            environment = {**os.environ, "REDIQ_URL": url}
            # Bytecode is compared by whole seconds: two changes in one second would look the same.
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
            while not stop.asked.is_set():
                self._seen = await self._look()
                await self._run_once(environment, stop)
        log.info("stopped")
        return 0

    async def _look(self) -> Files:
        return await trio.to_thread.run_sync(find_files, self._folder)

    async def _watch_signals(self, stop: Stop) -> None:
        await stop.now.wait()
        # Not SIGTERM again: a pending signal absorbs another of the same number.
        self._signal(signal.SIGINT)
        await trio.sleep(self._graces + KILL_MARGIN)
        log.error("killing the worker, which does not end")
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None:
            self._child.send_signal(number)

    async def _run_once(self, environment: dict[str, str], stop: Stop) -> None:
        """Run a worker until a change, or a signal, and until it has ended."""
        self._child = child = await trio.lowlevel.open_process(
            [sys.executable, "-m", "rediq_trio", "run", *self._command, "--stop-with-stdin"],
            stdin=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._report_end, child, stop)
                nursery.start_soon(_cancel_when_asked, stop, nursery.cancel_scope)
                await self._wait_change()
                nursery.cancel_scope.cancel()
            child.terminate()
            # A kill by the second signal is that of `_watch_signals`.
            with trio.move_on_after(self._graces + KILL_MARGIN):
                await child.wait()
            if child.returncode is None and not stop.asked.is_set():
                log.error("killing the worker, which does not end")
                child.kill()
            await child.wait()
        finally:
            self._child = None
            assert child.stdin is not None
            await trio.aclose_forcefully(child.stdin)

    async def _report_end(self, child: trio.Process, stop: Stop) -> None:
        status = await child.wait()
        if not stop.asked.is_set():
            how = "has ended" if status == 0 else f"ended with status {status}"
            log.warning("the worker %s; it starts again when a file changes", how)

    async def _wait_change(self) -> None:
        """Wait until a file differs from what the worker found, and nothing changes any more."""
        while True:
            await trio.sleep(CHANGE_POLL_INTERVAL)
            found = await self._look()
            if not (changed := changes(self._seen, found)):
                continue
            while True:
                await trio.sleep(SETTLED_AFTER)
                now = await self._look()
                if now == found:
                    break
                found = now
            # Changed and changed back: what runs is what is there.
            if changed := changes(self._seen, found):
                log.info("%s: restarting the worker", self._named(changed))
                return

    def _named(self, changed: Sequence[str]) -> str:
        names = [os.path.relpath(path, self._folder) for path in changed[:SHOWN_CHANGES]]
        more = len(changed) - len(names)
        return ", ".join(names) + (f" and {more:,} more" if more else "") + " changed"


async def _cancel_when_asked(stop: Stop, scope: trio.CancelScope) -> None:
    await stop.asked.wait()
    scope.cancel()
