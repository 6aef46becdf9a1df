"""Background tasks for Trio programs, on Redis, with a specification that is checked.

__main__             `python -m rediq_trio`
cli  testing         the command line; checks that other projects can run
asyncio              `async with rediq.asyncio.connect(...)`, for asyncio programs
clients              blocking and asyncio clients, made from the Trio one
serve                `async with rediq.serve(...)`: a worker and its client
web                  health and metrics of a worker, over HTTP
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
_version             the version of the package
_errors  _nursery    the exceptions; how errors leave a nursery

A package or module imports only from the lines below its own.
"""

from typing import TYPE_CHECKING, Any

from rediq_trio._version import __version__ as __version__

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
