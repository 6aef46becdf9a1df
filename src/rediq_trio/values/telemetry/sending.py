"""Sending: what middleware of producers sees of tasks that are about to be sent.

Middleware is synchronous, because `enqueue_after` cannot wait, and so that sending waits for nothing but the
store. Whoever sends without middleware has no `Senders` at all and pays for nothing.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Literal, cast

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.values.bounds import MAX_METADATA
from rediq_trio.values.chance import host_and_pid

SENT_METADATA_MAX = MAX_METADATA + 16
"""Maximum entries of metadata that a task has when it is sent: those of its user and of middleware."""
SENT_TEXT_MAX = 8192
"""Maximum characters of a key or a value of metadata that middleware added."""

Route = Literal[
    "enqueue", "enqueue_many", "workflow", "enqueue_after", "enqueue_again", "tick", "trigger"
]
"""The ways on which tasks are sent."""
ServerAddress = tuple[str, int | None]
"""Where the store is: host and port, or the path of a socket and None."""

CALLER: contextvars.ContextVar[contextvars.Context | None] = contextvars.ContextVar(
    "caller", default=None
)
"""The context of the thread, or asyncio task, for which the Trio thread of a client makes a call."""


@attrs.define(eq=False)
class SentTask:
    """One task that is about to be sent. Its metadata may be changed until the middleware yields."""

    id: str = attrs.field(on_setattr=attrs.setters.frozen)
    """`"<queue>/<id>"`."""
    type: str = attrs.field(on_setattr=attrs.setters.frozen)
    """The name of its type."""
    queue: str = attrs.field(on_setattr=attrs.setters.frozen)
    """The name of its queue."""
    metadata: dict[str, str] = attrs.field(repr=False, on_setattr=attrs.setters.frozen)
    """What is stored with the task: at most 80 entries, each key and value of at most 8,192 characters."""
    created: bool | None = attrs.field(default=None, init=False)
    """After it was sent: False if another task has its id or unique key, or is replaced by it. None while
    it is not known, which stays so for `enqueue_after`."""

    @property
    def local_id(self) -> str:
        """Its id within its queue."""
        return self.id.partition("/")[2]


@attrs.define(eq=False)
class Sending:
    """Tasks that are sent together, as middleware of `App.sending` sees them."""

    route: Route = attrs.field(on_setattr=attrs.setters.frozen)
    """How they are sent: `"enqueue"`, `"enqueue_many"`, `"workflow"`, `"enqueue_after"`, `"enqueue_again"`,
    `"tick"` or `"trigger"`, the latter two by a schedule."""
    tasks: tuple[SentTask, ...] = attrs.field(on_setattr=attrs.setters.frozen)
    name: str | None = attrs.field(default=None, on_setattr=attrs.setters.frozen)
    """The name of the workflow or of the schedule; None for others, and for a workflow without."""
    client_id: str = attrs.field(default="", on_setattr=attrs.setters.frozen)
    """The name of the worker that sends them; of other programs `"<host>:<pid>"`."""
    server: ServerAddress | None = attrs.field(default=None, on_setattr=attrs.setters.frozen)
    """Host and port of Redis, or the path of its socket and None; None where there is no server."""
    workflow: str | None = attrs.field(default=None, kw_only=True, on_setattr=attrs.setters.frozen)
    """The id of the workflow that is sent; None for others."""
    dropped: bool = attrs.field(default=False, init=False)
    """Whether nothing was sent and nothing is wrong: another worker was faster at this tick."""


Sender = Callable[[Sending], AbstractContextManager[Any]]
"""Middleware around sending."""


@attrs.define(eq=False)
class OpenSending:
    """Middleware that was entered, and is left by `end`."""

    sending: Sending
    _stack: ExitStack
    _context: contextvars.Context | None

    def end(self, error: BaseException | None = None) -> None:
        """Leave the middleware. An error that it swallows is raised by the caller all the same."""
        about = (None, None, None) if error is None else (type(error), error, error.__traceback__)
        if self._context is None:
            self._stack.__exit__(*about)
        else:
            self._context.run(self._stack.__exit__, *about)

    def end_sent(self, created: Iterable[bool]) -> None:
        """Leave the middleware after the tasks were sent, each of which was created or not."""
        for task, was_created in zip(self.sending.tasks, created, strict=True):
            task.created = was_created
        self.end()


@attrs.frozen
class Senders:
    """The middleware of a client, outermost first, and what it says of the client."""

    layers: tuple[Sender, ...]
    client_id: str = ""
    server: ServerAddress | None = None

    def begin(
        self,
        route: Route,
        tasks: Sequence[SentTask],
        name: str | None = None,
        workflow: str | None = None,
    ) -> OpenSending:
        """Enter the middleware; raise what it raises, and `ConfigError` for metadata out of bounds."""
        host, pid = host_and_pid()
        client_id = self.client_id or f"{host}:{pid}"
        sending = Sending(route, tuple(tasks), name, client_id, self.server, workflow=workflow)
        caller = CALLER.get()
        opened = OpenSending(sending, ExitStack(), caller)
        try:
            for layer in self.layers:
                if caller is None:
                    opened._stack.enter_context(layer(sending))
                else:
                    caller.run(_enter, opened._stack, layer, sending)
            for task in sending.tasks:
                _check_metadata(task.metadata)
        except BaseException as error:
            opened.end(error)
            raise
        return opened

    @contextmanager
    def around(
        self,
        route: Route,
        tasks: Sequence[SentTask],
        name: str | None = None,
        workflow: str | None = None,
    ) -> Generator[Sending]:
        """Do what the block does inside the middleware, which sees the error of the block."""
        opened = self.begin(route, tasks, name, workflow)
        try:
            yield opened.sending
        except BaseException as error:
            opened.end(error)
            raise
        opened.end()


def make_sender(function: object) -> Sender:
    """Return middleware of a generator function, or of one that returns a context manager."""
    bound = "a plain generator function of the Sending, or one that returns a context manager"
    if not callable(function):
        raise ConfigError.of("sending", function, bound)
    if inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function):
        raise ConfigError.of("sending", function, f"{bound}: `def`, as enqueue_after cannot wait")
    if inspect.isgeneratorfunction(function):
        return cast("Sender", contextmanager(function))
    return cast("Sender", function)


def make_senders(
    layers: Sequence[Sender], client_id: str = "", server: ServerAddress | None = None
) -> Senders | None:
    """Return the senders of a client; None without middleware."""
    return Senders(tuple(layers), client_id, server) if layers else None


def _enter(stack: ExitStack, layer: Sender, sending: Sending) -> None:
    stack.enter_context(layer(sending))


def _check_metadata(metadata: dict[Any, Any]) -> None:
    if len(metadata) > SENT_METADATA_MAX:
        bound = f"at most {SENT_METADATA_MAX} entries after the middleware of `sending`"
        raise ConfigError.of("metadata", f"<{len(metadata)} entries>", bound)
    for item in metadata.items():
        for text in item:
            if not isinstance(text, str) or len(text) > SENT_TEXT_MAX:
                bound = f"str to str after the middleware of `sending`, each at most {SENT_TEXT_MAX:,} characters"
                raise ConfigError.of("metadata", text, bound)
