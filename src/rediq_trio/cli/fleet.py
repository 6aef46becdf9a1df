"""Fleet: the parent of several worker processes.

Each child is a `rediq run` of its own, in a session of its own, so that Ctrl-C in a
terminal reaches the parent only, which passes it on. Each watches a pipe that only
the parent holds open: when the parent ends, however it ends, the child stops.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

from rediq_trio.cli.stopping import Stop, stop_signals
from rediq_trio.store.urls import embedded_folder, scheme_of

log = logging.getLogger("rediq_trio")

FIRST_WAIT = 0.5
"""Seconds before a crashed worker starts again; doubled with each crash that follows."""
LONGEST_WAIT = 30.0
STEADY = 30.0
"""Seconds after which a worker counts as having worked: its next crash is a first one."""
MOST_CRASHES = 6
"""Crashes in a row after which a worker is given up, and the others stopped."""
SPARE = 5.0
"""Seconds beyond the graces after which a child is killed, once a second signal came."""


_STOPPED = (0, 130, -signal.SIGTERM, -signal.SIGINT)
"""How a worker that was told to stop may end; 130 is what Python makes of a late SIGINT."""


class Fleet:
    """Some workers. Owns their processes."""

    def __init__(
        self,
        command: Sequence[str],
        url: str,
        count: int,
        name: str | None,
        graces: float,
        ports: Sequence[int] | None = None,
    ) -> None:
        self._command = command
        """The app and the flags, as for `rediq run`."""
        self._url = url
        self._count = count
        self._name = name
        self._graces = graces
        self._ports = ports
        """Of the workers' HTTP endpoints, in their order."""
        self._children: dict[int, trio.Process] = {}
        self._stopping = trio.Event()
        self._failed = False

    async def run(self) -> int:
        """Keep the workers running until the signals, or all have ended; give the exit status."""
        async with stop_signals() as (stop, nursery):
            nursery.start_soon(self._obey, stop)
            async with _shared(self._url) as url, trio.open_nursery() as keeping:
                environment = {**os.environ, "REDIQ_URL": url}
                for place in range(1, self._count + 1):
                    keeping.start_soon(self._keep, place, environment)
        log.info("all workers have ended")
        return 1 if self._failed else 0

    async def _obey(self, stop: Stop) -> None:
        await stop.asked.wait()
        log.info("stopping %d workers; a second signal stops them now", len(self._children))
        self._stop()
        await stop.now.wait()
        # Another number than the first: a signal that still waits swallows its like.
        self._tell(signal.SIGINT)
        await trio.sleep(self._graces + SPARE)
        log.error("killing workers that do not end")
        self._tell(signal.SIGKILL)

    def _stop(self) -> None:
        self._stopping.set()
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for child in self._children.values():
            child.send_signal(number)

    async def _keep(self, place: int, environment: dict[str, str]) -> None:
        """Run one worker, again after each crash."""
        crashes = 0
        while not self._stopping.is_set():
            begun = trio.current_time()
            code = await self._one_life(place, environment)
            if code == 0 or self._stopping.is_set():
                # A child that a signal met before it could listen had claimed nothing, and
                # one that it met on its last steps has given everything back.
                self._failed = self._failed or code not in _STOPPED
                return
            crashes = 1 if trio.current_time() - begun > STEADY else crashes + 1
            if crashes > MOST_CRASHES or code == 2:
                log.error("worker %d ended %s: giving up", place, _how(code))
                self._failed = True
                self._stop()
                return
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (crashes - 1))
            log.warning("worker %d ended %s; it starts again in %g s", place, _how(code), wait)
            with trio.move_on_after(wait):
                await self._stopping.wait()

    async def _one_life(self, place: int, environment: dict[str, str]) -> int:
        named = [f"--name={self._name}.{place}"] if self._name else []
        if self._ports is not None:
            named.append(f"--metrics-port={self._ports[place - 1]}")
        command = [sys.executable, "-m", "rediq_trio", "run", *self._command, *named]
        child = await trio.lowlevel.open_process(
            [*command, "--stop-with-stdin"],
            stdin=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        self._children[place] = child
        log.info("worker %d has pid %d", place, child.pid)
        try:
            if self._stopping.is_set():
                child.terminate()
            return await child.wait()
        finally:
            del self._children[place]
            assert child.stdin is not None
            await trio.aclose_forcefully(child.stdin)


@asynccontextmanager
async def _shared(url: str) -> AsyncGenerator[str]:
    """Give a URL that other processes can use; start the server of an embedded one."""
    if scheme_of(url) != "embedded":
        yield url
        return
    from rediq_trio.store.embedded import open_embedded

    async with open_embedded(embedded_folder(url)) as shared:
        yield shared


def _how(code: int) -> str:
    if code >= 0:
        return f"with status {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
