"""The bench's own Redis: what it acknowledged is in its append-only file, and its clock can jump."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import attrs
import redis
import trio

from benchmarks.server import choose_program, free_port

STARTS_WITHIN = 60.0
"""Seconds a server has to read its file and answer."""
ENDS_WITHIN = 30.0
LOOK = 0.02
"""Seconds until a server that is not ready is asked again."""
ROOM = 2 * 1024**3
"""Bytes that a server's files may take."""
FAKETIME = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")
"""Where Debian's package `libfaketime` puts it."""


def server_folder() -> Path:
    """Make a folder for a server that syncs each write: in memory where there is room.

    On a disk that others keep busy a sync takes seconds, in which the server answers nobody: what
    would be measured is the disk. What a killed process has written outlives it on either.
    """
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= ROOM
    return Path(tempfile.mkdtemp(prefix="chaos-redis-", dir=memory if roomy else None))


def find_faketime() -> Path | None:
    """Return the library that makes clocks jump; None when it is not installed."""
    for pattern in FAKETIME:
        found = sorted(Path("/").glob(pattern.removeprefix("/")))
        if found:
            return found[0]
    return None


@attrs.define(eq=False)
class Redis:
    """One redis-server on a loopback port, ended by the pid that started it."""

    folder: Path
    program: str = attrs.field(factory=lambda: choose_program(None))
    port: int = attrs.field(factory=free_port)
    jumps: bool = False
    """Run it under libfaketime."""
    child: subprocess.Popen[bytes] | None = None

    @property
    def _clock(self) -> Path:
        return self.folder / "clock"

    def launch(self) -> None:
        """Start the process; `wait_ready` waits until it answers."""
        said = subprocess.run(
            [self.program, "--version"], capture_output=True, text=True, check=True
        )
        debug = [] if "v=6." in said.stdout else ["--enable-debug-command", "yes"]
        arguments = [
            self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--save", "", "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no",
            "--maxmemory-policy", "noeviction", "--logfile", str(self.folder / "redis.log"), *debug,
        ]  # fmt: skip
        environment = dict(os.environ)
        if self.jumps:
            if not self._clock.exists():
                self._clock.write_text("+0s\n")
            environment |= {
                "LD_PRELOAD": str(find_faketime()),
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        self.child = subprocess.Popen(
            arguments, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    async def start(self) -> None:
        """Start it and wait until it answers, its file read."""
        self.launch()
        await self.wait_ready()

    async def start_able_to_jump(self) -> None:
        """Start it under libfaketime, where that is installed and the program bears it."""
        self.jumps = find_faketime() is not None
        try:
            await self.start()
        except RuntimeError:
            # Where its malloc is jemalloc, each asks the other for the time before it is ready.
            if not self.jumps:
                raise
            await self.kill()
            self.jumps = False
            await self.start()

    async def wait_ready(self) -> None:
        """Wait until it answers; raise `RuntimeError` when it does not in time."""
        with trio.move_on_after(STARTS_WITHIN):
            while self.child is not None and self.child.poll() is None:
                try:
                    await self.ask_once("PING")
                except redis.RedisError:
                    await trio.sleep(LOOK)
                else:
                    return
        raise RuntimeError(f"redis-server on port {self.port} did not start: {self.log_end()}")

    def log_end(self) -> str:
        """Return the last lines of its log."""
        log = self.folder / "redis.log"
        return log.read_text("utf-8", "replace")[-2000:] if log.exists() else "it has no log"

    def ask_now(self, *command: Any) -> Any:
        """Send one command on a connection of its own and return the reply. Blocks."""
        with redis.Redis(
            port=self.port, socket_timeout=30, decode_responses=True, single_connection_client=True
        ) as client:
            return client.execute_command(*command)

    async def ask_once(self, *command: Any) -> Any:
        """Send one command as `ask_now` does, in a thread."""
        return await trio.to_thread.run_sync(lambda: self.ask_now(*command))

    async def ask(self, *command: Any) -> Any:
        """Return the reply to one command, once the server is there and its file is read.

        Two faults may come at once: one asks while another has it killed, restarted or let go of
        its clients. What was asked may then be done twice.
        """
        with trio.fail_after(STARTS_WITHIN):
            while True:
                try:
                    return await self.ask_once(*command)
                except (redis.ConnectionError, redis.TimeoutError):
                    await trio.sleep(LOOK)
                except redis.ResponseError as error:
                    # redis-py itself waits for the rest of what a server refuses while it loads.
                    if "during loading" not in str(error):
                        raise
                    await trio.sleep(LOOK)

    def jump(self, seconds: float) -> None:
        """Set its clock so many seconds before or behind the machine's."""
        # Written beside and moved: the server reads it whenever it looks at the time.
        fresh = self.folder / "clock.new"
        fresh.write_text(f"{seconds:+.3f}s\n")
        fresh.replace(self._clock)

    async def kill(self) -> None:
        """End it at once, as a power cut would."""
        if self.child is not None:
            self.child.kill()
            await self._wait_ended()

    async def stop(self) -> None:
        """End it in good order."""
        # Not SIGTERM: its handler asks for the time, and under libfaketime may wait for ever
        # for the lock of the very call that it has interrupted.
        while self.child is not None and self.child.poll() is None:
            try:
                await self.ask_once("SHUTDOWN")
            except redis.ConnectionError:
                # It goes, as it was told; or another fault had it close this connection before.
                await trio.sleep(LOOK)
        await self._wait_ended()

    async def _wait_ended(self) -> None:
        child = self.child
        assert child is not None
        await trio.to_thread.run_sync(child.wait, ENDS_WITHIN)
        self.child = None

    def discard(self) -> None:
        """End it, whatever it does, and remove its folder."""
        if self.child is not None:
            self.child.send_signal(signal.SIGCONT)
            self.child.kill()
            self.child.wait()
            self.child = None
        shutil.rmtree(self.folder, ignore_errors=True)
