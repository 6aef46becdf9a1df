"""`rediq run`: serve an app until a signal.

The first SIGTERM, SIGINT or SIGHUP stops the worker in good order, the second cancels running handlers
(`stop_signals` says which signal is a second one). A handler that blocks its thread cannot be
cancelled and would keep the process alive, so some time after the second signal the process ends
regardless.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, cast

import attrs
import trio

from rediq_trio._errors import ConfigError
from rediq_trio.cli.flags import REPEATED_FLAGS, AddParser, common_flags, flag_of
from rediq_trio.cli.load_app import load_app
from rediq_trio.cli.process.log_format import FORMATTERS, log_to_stderr
from rediq_trio.cli.process.reload import Reloader, watched_folder
from rediq_trio.cli.process.service_manager import SelfReport, ServiceManager
from rediq_trio.cli.stop_signals import Stop, ask_when_input_ends, end_process, stop_signals
from rediq_trio.cli.supervisor import ProcessSupervisor
from rediq_trio.handlers.app import App
from rediq_trio.serve import Server, serve
from rediq_trio.settings import (
    ServeOptions,
    Settings,
    read_setting,
    setting_texts,
    settle_settings,
)
from rediq_trio.store.urls import default_url, redacted, scheme_of, shows_password

log = logging.getLogger("rediq_trio")

EXIT_MARGIN = 2.0
"""Seconds after the grace periods until a worker is considered stuck."""
START_MARGIN = 30.0
"""Seconds after `connect_patience` until the first claim, for the service manager."""
PROCESSES_MAX = 1024
CONNECT_PATIENCE = 60.0
"""The default of `connect_patience` here, where Redis may start later than its workers."""
GC_THRESHOLDS = (2_000, 10, 1_000)
"""As for `gc.set_threshold`: see benchmarks/scaling/sleepers.py.

A full collection visits every container of the process, and nothing else runs meanwhile. With the
default thresholds it happens every few seconds under load, and with ten thousand running attempts
it takes some hundred milliseconds. With these thresholds it is hundreds of times as rare. Cycles of
young objects are found as usual.
"""

_MORE_HELP = {
    "queues": "a,b to serve a first; a=3,b=1 to serve in proportion",
    "name": "with --processes, .1, .2 and so on are added",
    "metrics_port": "with --processes, the first of as many",
    "labels": "may be given several times",
}
"""What the help of `rediq run` says of a setting beside what it is."""
_FLAGS = [field for field in attrs.fields(Settings) if str(field.type) != "bool"]
_SWITCHES = [field for field in attrs.fields(Settings) if str(field.type) == "bool"]


def add_command(add_parser: AddParser) -> argparse.ArgumentParser:
    parser = add_parser(
        description="Serve an app. The first SIGTERM or SIGINT stops it in good order, "
        "the second cancels what runs.",
    )
    parser.add_argument("app", metavar="module:app", help="where the App is, like worker_app:app")
    common_flags(parser, "url")
    parser.add_argument("--processes", metavar="N", default="1", help="worker processes (1)")
    texts = setting_texts()
    for field in _FLAGS:
        more = filter(None, (texts.get(field.name, ""), _MORE_HELP.get(field.name)))
        metavar = field.name.split("_")[-1].upper()
        repeated = field.name in REPEATED_FLAGS
        parser.add_argument(
            flag_of(field.name), dest=field.name, metavar="NAME=TEXT" if repeated else metavar,
            action="append" if repeated else "store", help=" ".join(more).replace("%", "%%"),
        )  # fmt: skip
    for field in _SWITCHES:
        parser.add_argument(
            flag_of(field.name), action="store_true", help=texts.get(field.name, "")
        )
    parser.add_argument(
        "--reload", action="store_true",
        help="start again when a Python file of the app's folder changes",
    )  # fmt: skip
    levels = ("debug", "info", "warning", "error")
    parser.add_argument("--log-level", choices=levels, default="info", help="what to log (info)")
    parser.add_argument("--log-format", choices=[*FORMATTERS], help="how to log it (text)")
    # For the supervisor's workers, which must not outlive it.
    parser.add_argument("--stop-with-stdin", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(execute=execute)
    return parser


def given_options(arguments: argparse.Namespace) -> tuple[dict[str, str], list[str]]:
    """Return the texts of the settings that were given as flags, and the names of switches."""
    texts = {f.name: getattr(arguments, f.name) for f in _FLAGS}
    texts |= {name: ",".join(texts[name]) for name in REPEATED_FLAGS if texts[name] is not None}
    switches = [f.name for f in _SWITCHES if getattr(arguments, f.name)]
    return {name: text for name, text in texts.items() if text is not None}, switches


def read_options(texts: Mapping[str, str], switches: Iterable[str]) -> dict[str, Any]:
    """Return the keywords of `serve` for these flags; raise `ConfigError`."""
    options: dict[str, Any] = {name: read_setting(name, text) for name, text in texts.items()}
    return options | dict.fromkeys(switches, True)


def execute(arguments: argparse.Namespace) -> int:
    texts, switches = given_options(arguments)
    options = read_options(texts, switches)
    if not os.environ.get("REDIQ_CONNECT_PATIENCE"):
        options.setdefault("connect_patience", CONNECT_PATIENCE)
    settings = settle_settings(options)
    url = arguments.url or default_url()
    scheme = scheme_of(url)
    count = read_processes(arguments.processes)
    manager = ServiceManager.of(os.environ)
    if arguments.reload:
        if count > 1:
            raise ConfigError.of("processes", count, "1 with --reload")
        log_to_stderr(arguments.log_level, arguments.log_format)
        manager.send("READY=1")
        command = _command(arguments, texts, switches)
        folder = watched_folder(arguments.app, os.getcwd())
        # The app, which would tell whether it has lifespans, is not imported here.
        graces = settings.shutdown_grace + 2 * settings.cleanup_grace
        return trio.run(Reloader(command, url, folder, graces).run)
    thresholds = gc.get_threshold()
    app = load_app(arguments.app)
    if "queues" not in options and not os.environ.get("REDIQ_QUEUES"):
        options["queues"] = dict.fromkeys(app.queues, 1.0)
        settings = attrs.evolve(settings, queues=options["queues"])
    log_to_stderr(arguments.log_level, arguments.log_format)
    if arguments.url and shows_password(arguments.url):
        log.warning("--url holds a password, and every user of this machine can see the command "
                    "lines of processes: set REDIQ_URL instead")  # fmt: skip
    if count == 1:
        if gc.isenabled() and gc.get_threshold() == thresholds:  # the app has not configured it
            tune_garbage_collector()
        worker = _Worker(app, url, cast("ServeOptions", options), settings, manager)
        return trio.run(worker.run, arguments.stop_with_stdin)
    if scheme == "memory":
        raise ConfigError.of("processes", count, "1 with memory://, which is for one process")
    named = texts.pop("name", None) or os.environ.get("REDIQ_NAME")
    texts.pop("metrics_port", None)
    command = _command(arguments, texts, switches)
    graces = _graces(app, settings)
    ports = _ports(settings.metrics_port, count)
    return trio.run(ProcessSupervisor(command, url, count, named, graces, ports, manager).run)


def _command(
    arguments: argparse.Namespace, texts: Mapping[str, str], switches: Iterable[str]
) -> tuple[str, ...]:
    """Return the arguments of a `rediq run` that is a child of this one."""
    flags = [f"{flag_of(name)}={text}" for name, text in texts.items()] + [*map(flag_of, switches)]
    if arguments.log_format is not None:
        flags.append(f"--log-format={arguments.log_format}")
    return (arguments.app, f"--log-level={arguments.log_level}", *flags)


def tune_garbage_collector() -> None:
    """Configure the garbage collector for many short-lived attempts."""
    gc.collect()
    gc.freeze()  # full collections skip the objects of the app's modules
    gc.set_threshold(*GC_THRESHOLDS)


def _graces(app: App, settings: Settings) -> float:
    """Return the seconds that a graceful stop may take."""
    # Lifespans are left after the last outcome is settled.
    cleanups = 2 if app._lifespans().ordered else 1
    return settings.shutdown_grace + cleanups * settings.cleanup_grace


def read_processes(text: str, platform: str = sys.platform) -> int:
    """Return the number of worker processes; raise `ConfigError`."""
    if not text.isdecimal() or not 1 <= int(text) <= PROCESSES_MAX:
        raise ConfigError.of("processes", text, f"a whole number from 1 to {PROCESSES_MAX:,}")
    if int(text) > 1 and platform == "win32":
        reason = "processes are stopped by signals there. Start `rediq run` several times"
        raise ConfigError.of("processes", text, f"1 on Windows: no {reason}")
    return int(text)


def _ports(first: int | None, count: int) -> list[int] | None:
    """Return a port for each process, one after the other; with 0, each takes a free port."""
    if not first:
        return None if first is None else [0] * count
    if first + count - 1 > 65_535:
        bound = f"at most {65_536 - count} with {count} processes"
        raise ConfigError.of("metrics_port", first, bound)
    return [*range(first, first + count)]


@attrs.define(eq=False)
class _Worker:
    """One worker in this process, and the signals that end it."""

    _app: App
    _url: str
    _options: ServeOptions
    _settings: Settings
    _manager: ServiceManager
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _server: Server | None = None

    async def run(self, stop_with_stdin: bool) -> int:
        """Serve until the signals, or the end of a burst, and return the exit status."""
        async with stop_signals() as (stop, nursery):
            nursery.start_soon(self._watch_signals, stop)
            if stop_with_stdin:
                nursery.start_soon(ask_when_input_ends, stop)
            with self._scope, ExitStack() as reporting:
                await self._serve(stop, reporting)
        log.info("stopped")
        return 0

    async def _serve(self, stop: Stop, reporting: ExitStack) -> None:
        settings, types = self._settings, len(self._app.types)
        self._manager.starting("connecting", settings.connect_patience + START_MARGIN)
        async with serve(self._app, self._url, **self._options) as server:
            self._server = server
            where, queues = redacted(self._url), ", ".join(settings.queues)
            log.info("worker %s serves %s on %s: %d handlers, %d at once", server.info().id,
                     queues, where, types, settings.concurrency)  # fmt: skip
            # Until after the stop, in which the worker is still to be watched.
            reporting.enter_context(self._manager.reporting(self._report))
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
        graces = _graces(self._app, settings)
        self._manager.stopping("stopping", graces + EXIT_MARGIN)
        with trio.move_on_after(graces + EXIT_MARGIN):
            await stop.now.wait()
        if not stop.now.is_set():
            log.warning("%s; a second signal ends the process", self._stuck())
            await stop.now.wait()
        log.warning("second signal: cancelling what runs")
        self._scope.cancel()
        left = graces - settings.shutdown_grace + EXIT_MARGIN
        self._manager.stopping("stopping now", left)
        await trio.sleep(left)
        end_process(f"{self._stuck()}; the process ends without them")

    def _report(self) -> SelfReport:
        """Return what the worker says of itself; called from another thread too."""
        assert self._server is not None
        stats, health = self._server.stats(), self._server.health()
        numbers = (
            f"{stats.running:,} running, {stats.completed:,} completed, {stats.failed:,} failed"
        )
        reasons = "; ".join(health.reasons)
        return SelfReport(health.alive, f"{reasons}: {numbers}" if reasons else numbers)

    def _stuck(self) -> str:
        if self._server is None:
            return "the worker has not started"
        stats = self._server.stats()
        if stats.held:
            return f"{stats.held} tasks cannot be released now, their leases will lapse"
        if stats.running:
            return f"{stats.running} handlers do not end (their tasks were released)"
        return "the lifespan of the app does not end"


async def _cancel_after(wait: Any, scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()
