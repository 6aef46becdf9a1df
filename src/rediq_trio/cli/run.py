"""`rediq run`: serve an app until a signal.

The first SIGTERM or SIGINT stops the worker in good order, the second cancels running handlers. A
handler that blocks its thread cannot be cancelled and would keep the process alive, so some time
after the second signal the process ends regardless.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
from typing import Any, cast

import trio

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import common_flags, flag_of
from rediq_trio.cli.garbage_collection import tune_garbage_collector
from rediq_trio.cli.load_app import load_app
from rediq_trio.cli.stop_signals import Stop, ask_when_input_ends, end_process, stop_signals
from rediq_trio.cli.supervisor import ProcessSupervisor
from rediq_trio.handlers.app import App
from rediq_trio.serve import Server, serve
from rediq_trio.settings import ServeOptions, Settings, read_setting, settle_settings
from rediq_trio.store.urls import default_url, redacted, scheme_of, shows_password

log = logging.getLogger("rediq_trio")

EXIT_MARGIN = 2.0
"""Seconds after the grace periods until a worker is considered stuck."""
PROCESSES_MAX = 1024
LOG_LEVELS = ("debug", "info", "warning", "error")

_FLAG_HELP = {
    "queues": "a,b to serve a first; a=3,b=1 to serve in proportion (default: default)",
    "concurrency": "attempts that run at once in each process (10)",
    "lease": "seconds after which a silent worker's tasks are taken from it (30)",
    "heartbeat": "seconds between renewals of the leases (a third of the lease)",
    "prefetch": "tasks to claim ahead (auto)",
    "threads": "threads for plain def handlers (40)",
    "shutdown_grace": "seconds that running handlers have to finish when it stops (30)",
    "cleanup_grace": "seconds that cancelled handlers have for their clean-up (5)",
    "progress_interval": "seconds between two writes of a task's progress (0.5)",
    "max_payload": "bytes of a payload (524288)",
    "dead_retention": "seconds that dead tasks are kept (30 days)",
    "max_dead": "dead tasks that a queue keeps (100000)",
    "history": "transitions that each queue keeps, for rediq replay (0)",
    "key_prefix": "what all keys begin with (rediq)",
    "name": "the worker's name (host:pid); with --processes, .1, .2 and so on are added",
    "metrics_port": "port of /healthz, /readyz and /metrics (none); with --processes, the first of as many",
    "metrics_address": "IP address to listen at (127.0.0.1)",
}
_SWITCH_HELP = {
    "burst": "end when the queues are empty",
    "allow_eviction": "accept a server that may drop tasks when its memory is full",
}


def add_command(commands: Any) -> None:
    """Add `run` to the parser's commands."""
    parser = commands.add_parser(
        "run",
        help="serve an app until a signal",
        description="Serve an app. The first SIGTERM or SIGINT stops it in good order, "
        "the second cancels what runs.",
    )
    parser.add_argument("app", metavar="module:app", help="where the App is, like worker_app:app")
    common_flags(parser, "url")
    parser.add_argument("--processes", metavar="N", default="1", help="worker processes (1)")
    for name, text in _FLAG_HELP.items():
        parser.add_argument(flag_of(name), metavar=name.split("_")[-1].upper(), help=text)
    for name, text in _SWITCH_HELP.items():
        parser.add_argument(flag_of(name), action="store_true", help=text)
    parser.add_argument(
        "--log-level", choices=LOG_LEVELS, default="info", help="what to log (info)"
    )
    # For the supervisor's workers, which must not outlive it.
    parser.add_argument("--stop-with-stdin", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the worker, or the processes, and return the exit status."""
    given = {name: getattr(arguments, name) for name in _FLAG_HELP}
    texts = {name: text for name, text in given.items() if text is not None}
    options: dict[str, Any] = {name: read_setting(name, text) for name, text in texts.items()}
    switches = [name for name in _SWITCH_HELP if getattr(arguments, name)]
    options |= dict.fromkeys(switches, True)
    settings = settle_settings(options)
    url = arguments.url or default_url()
    scheme = scheme_of(url)
    count = _processes(arguments.processes)
    thresholds = gc.get_threshold()
    app = load_app(arguments.app)
    _log_to_stderr(arguments.log_level)
    if arguments.url and shows_password(arguments.url):
        log.warning("--url holds a password, and every user of this machine can see the command "
                    "lines of processes: set REDIQ_URL instead")  # fmt: skip
    if count == 1:
        if gc.isenabled() and gc.get_threshold() == thresholds:  # the app has not configured it
            tune_garbage_collector()
        worker = _Worker(app, url, cast("ServeOptions", options), settings)
        return trio.run(worker.run, arguments.stop_with_stdin)
    if scheme == "memory":
        raise ConfigError.of("processes", count, "1 with memory://, which is for one process")
    named = texts.pop("name", None) or os.environ.get("REDIQ_NAME")
    texts.pop("metrics_port", None)
    flags = [f"{flag_of(name)}={text}" for name, text in texts.items()] + [*map(flag_of, switches)]
    command = (arguments.app, f"--log-level={arguments.log_level}", *flags)
    graces = settings.shutdown_grace + settings.cleanup_grace
    supervisor = ProcessSupervisor(
        command, url, count, named, graces, _ports(settings.metrics_port, count)
    )
    return trio.run(supervisor.run)


def _processes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= PROCESSES_MAX:
        raise ConfigError.of("processes", text, f"a whole number from 1 to {PROCESSES_MAX:,}")
    return int(text)


def _ports(first: int | None, count: int) -> list[int] | None:
    """Return a port for each process, one after the other; with 0, each takes a free port."""
    if not first:
        return None if first is None else [0] * count
    if first + count - 1 > 65_535:
        raise ConfigError.of(
            "metrics_port", first, f"at most {65_536 - count} with {count} processes"
        )
    return [*range(first, first + count)]


def _log_to_stderr(level: str) -> None:
    # Without effect if the app's module has configured logging.
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s")
    log.setLevel(level.upper())


class _Worker:
    """One worker in this process, and the signals that end it."""

    def __init__(self, app: App, url: str, options: ServeOptions, settings: Settings) -> None:
        self._app = app
        self._url = url
        self._options = options
        self._settings = settings
        self._scope = trio.CancelScope()
        self._server: Server | None = None

    async def run(self, stop_with_stdin: bool) -> int:
        """Serve until the signals, or the end of a burst, and return the exit status."""
        async with stop_signals() as (stop, nursery):
            nursery.start_soon(self._watch_signals, stop)
            if stop_with_stdin:
                nursery.start_soon(ask_when_input_ends, stop)
            with self._scope:
                await self._serve(stop)
        log.info("stopped")
        return 0

    async def _serve(self, stop: Stop) -> None:
        settings, types = self._settings, len(self._app.types)
        async with serve(self._app, self._url, **self._options) as server:
            self._server = server
            where, queues = redacted(self._url), ", ".join(settings.queues)
            log.info("worker %s serves %s on %s: %d handlers, %d at once", server.info().id,
                     queues, where, types, settings.concurrency)  # fmt: skip
            async with trio.open_nursery() as waiting:
                waiting.start_soon(_cancel_after, server.wait_stopped, waiting.cancel_scope)
                waiting.start_soon(_cancel_after, stop.asked.wait, waiting.cancel_scope)

    async def _watch_signals(self, stop: Stop) -> None:
        settings = self._settings
        await stop.asked.wait()
        if self._server is None:
            self._scope.cancel()
        log.info("stopping: running handlers have %g s; a second signal cancels them now",
                 settings.shutdown_grace)  # fmt: skip
        with trio.move_on_after(settings.shutdown_grace + settings.cleanup_grace + EXIT_MARGIN):
            await stop.now.wait()
        if not stop.now.is_set():
            log.warning("%s; a second signal ends the process", self._stuck())
            await stop.now.wait()
        log.warning("second signal: cancelling what runs")
        self._scope.cancel()
        await trio.sleep(settings.cleanup_grace + EXIT_MARGIN)
        end_process(f"{self._stuck()}; the process ends without them")

    def _stuck(self) -> str:
        if self._server is None:
            return "the worker has not started"
        stats = self._server.stats()
        if stats.held:
            return f"{stats.held} tasks cannot be released now, their leases will lapse"
        return f"{stats.running} handlers do not end (their tasks were released)"


async def _cancel_after(wait: Any, scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()
