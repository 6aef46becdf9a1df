"""The supervisor: the parent of several worker processes.

Each child is a `rediq run`, in a session of its own, so that Ctrl-C in a terminal reaches only the
parent, which passes it on. Each child watches a pipe that only the parent holds open: when the
parent ends, however it ends, the child stops.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from rediq_trio.cli.process.children_reports import ChildrenReports, hear_children
from rediq_trio.cli.process.service_manager import ServiceManager
from rediq_trio.cli.statuses import INTERRUPTED
from rediq_trio.cli.stop_signals import Stop, stop_signals
from rediq_trio.store.urls import embedded_folder, scheme_of

log = logging.getLogger("rediq_trio")

FIRST_RESTART_DELAY = 0.5
"""Seconds until a crashed worker is started again; doubled by each further crash."""
RESTART_DELAY_MAX = 30.0
"""Seconds until a crashed worker is started again, at most."""
CRASH_RESET_AFTER = 30.0
"""Seconds that a worker must run for its next crash to count as the first one."""
CRASHES_MAX = 6
"""Crashes in a row after which the supervisor gives up and stops all workers."""
KILL_MARGIN = 5.0
"""Seconds after the grace periods until a child is killed, once a second signal has come."""
_STOPPED = (0, INTERRUPTED, -signal.SIGTERM, -signal.SIGINT)
"""Exit statuses of a worker that was stopped. Python exits with 130 after a late SIGINT."""


@attrs.define(eq=False)
class ProcessSupervisor:
    """Starts worker processes, restarts them after a crash, and stops them."""

    _command: Sequence[str]
    """The app and the flags of `rediq run`."""
    _url: str
    _count: int
    _name: str | None
    _graces: float
    _ports: Sequence[int] | None
    """The ports of the workers' health servers, in the order of the workers."""
    _manager: ServiceManager
    _children: dict[int, trio.Process] = attrs.field(factory=dict[int, trio.Process])
    _stopping: trio.Event = attrs.field(factory=trio.Event)
    _failed: bool = False

    async def run(self) -> int:
        """Keep the workers running until a signal comes or all have ended; return the exit status."""
        async with stop_signals() as (stop, nursery):
            nursery.start_soon(self._watch_signals, stop)
            async with (
                shared_server(self._url) as url,
                hear_children(self._manager, self._count) as reports,
                trio.open_nursery() as supervising,
            ):
                environment = {**os.environ, "REDIQ_URL": url}
                for number in range(1, self._count + 1):
                    supervising.start_soon(self._supervise, number, environment, reports)
        log.info("all workers have ended")
        return 1 if self._failed else 0

    async def _watch_signals(self, stop: Stop) -> None:
        await stop.asked.wait()
        log.info("stopping %d workers; a second signal stops them now", len(self._children))
        self._manager.stopping("stopping", self._graces + KILL_MARGIN)
        self._stop()
        await stop.now.wait()
        self._manager.stopping("stopping now", self._graces + 2 * KILL_MARGIN)
        # Not SIGTERM again: a pending signal absorbs another of the same number.
        self._signal_all(signal.SIGINT)
        await trio.sleep(self._graces + KILL_MARGIN)
        log.error("killing workers that do not end")
        self._signal_all(signal.SIGKILL)

    def _stop(self) -> None:
        self._stopping.set()
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        for child in self._children.values():
            child.send_signal(number)

    async def _supervise(
        self, number: int, environment: dict[str, str], reports: ChildrenReports
    ) -> None:
        """Run one worker, and start it again after each crash."""
        crashes = 0
        while not self._stopping.is_set():
            begun = trio.current_time()
            async with reports.child(number) as variables:
                code = await self._run_once(number, environment | variables)
            if code == 0 or self._stopping.is_set():
                # A child that the signal killed before it listened had claimed nothing, and one
                # that it killed at the very end had given everything back.
                self._failed = self._failed or code not in _STOPPED
                return
            crashes = 1 if trio.current_time() - begun > CRASH_RESET_AFTER else crashes + 1
            if crashes > CRASHES_MAX or code == 2:
                log.error("worker %d ended %s: giving up", number, _exit_text(code))
                self._failed = True
                self._stop()
                return
            wait = min(RESTART_DELAY_MAX, FIRST_RESTART_DELAY * 2 ** (crashes - 1))
            ended = "worker %d ended %s; it starts again in %g s"
            log.warning(ended, number, _exit_text(code), wait)
            with trio.move_on_after(wait):
                await self._stopping.wait()

    async def _run_once(self, number: int, environment: dict[str, str]) -> int:
        named = [f"--name={self._name}.{number}"] if self._name else []
        if self._ports is not None:
            named.append(f"--metrics-port={self._ports[number - 1]}")
        flags = [*self._command, *named, "--stop-with-stdin"]
        child = await trio.lowlevel.open_process(
            [sys.executable, "-m", "rediq_trio", "run", *flags],
            stdin=subprocess.PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        self._children[number] = child
        log.info("worker %d has pid %d", number, child.pid)
        try:
            if self._stopping.is_set():
                child.terminate()
            return await child.wait()
        finally:
            del self._children[number]
            assert child.stdin is not None
            await trio.aclose_forcefully(child.stdin)


@asynccontextmanager
async def shared_server(url: str) -> AsyncGenerator[str]:
    """Yield a URL that other processes can use; start the server of an embedded one."""
    if scheme_of(url) != "embedded":
        yield url
        return
    from rediq_trio.store.embedded import open_embedded

    async with open_embedded(embedded_folder(url)) as shared_url:
        yield shared_url


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"with status {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
