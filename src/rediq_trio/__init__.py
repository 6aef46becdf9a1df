"""Background tasks for Trio programs, on Redis, with a specification that is checked.

__main__             `python -m rediq_trio`
cli                  the command line
testing              fleets in simulated time, for tests of handlers; checks that other projects can run
dash                 the screen of `rediq dash`: lines, pages, keys, and Textual
asyncio              `async with rediq.asyncio.connect(...)`, for asyncio programs
clients              blocking and asyncio clients, made from the Trio one
sentry  telemetry    failures and schedules for Sentry; traces and metrics of OpenTelemetry
serve                `async with rediq.serve(...)`: a worker and its client
web                  the web page; health and metrics of a worker, over HTTP
worker               the actors that claim tasks, run them and settle their outcomes
handlers             what handlers are written with: App, current_task, once
observe              what tools show: views of all queues, alerts, words
client               how tasks are enqueued and looked up
admin                one queue, for its operator: pause, limit, check, dead letters
workflow  schedules  graphs of tasks; tasks at the ticks of a schedule
tasks                one task, for its producer: preparation, handle, partitions
settings             the settings of a worker
store                where tasks are kept: in memory or in Redis, behind one interface
wire                 how payloads, envelopes and results are packed
values               what users write and read, checked when it is built
spec                 the rules of the queue: pure functions over immutable values
_errors              the exceptions; how they leave a nursery

A package or module imports only from the lines below its own.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
"""The version of the package, which the build reads here."""

if TYPE_CHECKING:
    from rediq_trio import asyncio as asyncio
    from rediq_trio.clients.public import *  # noqa: F403
    from rediq_trio.clients.public import __all__ as __all__
else:

    def __getattr__(name: str) -> Any:
        """Import the public names when the first is used, so that the command line starts at once;
        and `rediq.asyncio` when it is used: other programs do without asyncio."""
        import importlib

        if name == "asyncio":
            return importlib.import_module("rediq_trio.asyncio")
        public = importlib.import_module("rediq_trio.clients.public")
        globals().update({each: getattr(public, each) for each in (*public.__all__, "__all__")})
        if name not in globals():
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return globals()[name]

    def __dir__() -> list[str]:
        from rediq_trio.clients import public

        return sorted({*globals(), *public.__all__, "asyncio"})
