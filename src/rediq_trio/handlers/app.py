"""App: the registry of handlers and middleware; TaskType: one of its handlers.

Long, because four kinds of things are registered, each with its typed decorator.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

import attrs

from rediq_trio._errors import ConfigError, PayloadError, UnknownTaskType, did_you_mean, quote
from rediq_trio.handlers.aggregators import (
    Aggregator,
    AggregatorFunction,
    check_handler,
    make_aggregator,
    make_rule,
)
from rediq_trio.handlers.context import CURRENT, CurrentTask
from rediq_trio.handlers.failed_attempt import FailureReporter
from rediq_trio.handlers.lifespan import Lifespan, Lifespans, declared_state_type, make_lifespan
from rediq_trio.handlers.module_names import module_name, module_of
from rediq_trio.handlers.options import HandlerOptions, handler_options
from rediq_trio.handlers.retry_rules import ExceptionTypes, RetryFunction, RetryRules, retry_rules
from rediq_trio.schedules.declare import ScheduleDeclaration, pack_schedule
from rediq_trio.spec.groups import matching
from rediq_trio.values.bounds import Duration, check_name
from rediq_trio.values.observed.attempt import ErrorText
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.task import DEFAULT_QUEUE, Task, TaskOptions
from rediq_trio.values.telemetry.port import Telemetry, check_telemetry
from rediq_trio.values.telemetry.sending import Sender, Sending, make_sender
from rediq_trio.wire.converter import Converter
from rediq_trio.wire.envelope import pack_value
from rediq_trio.wire.structuring import Conversions, Converted, make_structurer, to_plain

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
"""What the function returns when it is called: a coroutine, or the result itself."""

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    S = TypeVarWithDefault("S", default=Any)
else:
    S = TypeVar("S")

Middleware = Callable[[CurrentTask], AbstractAsyncContextManager[Any]]
_Generator = Callable[[CurrentTask], AsyncGenerator[None, None]]
M = TypeVar("M", bound="Middleware | _Generator")
G = TypeVar("G", bound=AggregatorFunction)
N = TypeVar("N", bound="Sender | Callable[[Sending], Generator[None, None, None]]")

PAYLOAD_BOUND = 512 * 1024 * 1024
"""The highest `max_payload`, in bytes; the worker's own bound is checked when it starts."""

_OF_OTHERS = frozenset(
    ("delay", "send", "apply_async", "enqueue", "kiq", "send_with_options", "s", "si", "signature",
     "defer", "schedule", "submit", "queue_task", "perform_async")
)  # fmt: skip
"""How tasks are enqueued with Celery, dramatiq, taskiq, RQ, huey and others."""

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


@attrs.frozen(eq=False)
class TaskType(Generic[P, R, C]):
    """A registered handler. Calling it calls the function itself."""

    name: str
    function: Callable[P, C] = attrs.field(repr=False)
    defaults: Mapping[str, Any] = attrs.field(repr=False)
    """Options of the tasks that it makes."""
    signature: inspect.Signature = attrs.field(repr=False)
    structurers: Mapping[str, Callable[[Any], Any]] = attrs.field(repr=False)
    """Functions that restore the values of parameters that msgpack cannot carry as they are."""
    returns: Any = attrs.field(repr=False)
    """The return annotation."""
    is_async: bool
    """Whether the handler runs on Trio; otherwise it runs in a worker thread."""
    required: frozenset[str] = attrs.field(repr=False)
    """Names of the parameters without a default."""
    accepted: frozenset[str] | None = attrs.field(repr=False)
    """Names of its parameters; None if it takes any."""
    left_out: Mapping[str, Any] = attrs.field(repr=False)
    """Default values of its parameters, as plain data; those that msgpack cannot carry are not in it."""
    rules: RetryRules = attrs.field(repr=False)
    """Rules that decide which of its exceptions are retried."""
    conversions: Conversions = attrs.field(repr=False)
    """Those of the app that it was registered with."""
    own_options: HandlerOptions | None = attrs.field(repr=False)
    """Options for tasks whose producers left them unset; None for the defaults."""

    @property
    def queue(self) -> str:
        """The queue of its tasks, unless their options name another."""
        return str(self.defaults.get("queue", DEFAULT_QUEUE))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function itself, here and now, without a queue."""
        return self.function(*args, **kwargs)

    if not typing.TYPE_CHECKING:  # it would hide misspelt names from type checkers

        def __getattr__(self, name: str) -> Any:
            if name in _OF_OTHERS:
                raise AttributeError(
                    f"{name}() is of another library: write await client.enqueue("
                    f"{self.function.__name__}.task(...)), with options as "
                    f"{self.function.__name__}.options(delay=60).task(...)"
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def task(self, *args: P.args, **kwargs: P.kwargs) -> Task[R]:
        """Return a task that calls the function with these arguments.

        Raises `PayloadError` when they do not fit its signature, or when a converter of the
        app fails. Nothing is sent: pass the task to `Client.enqueue`.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise PayloadError(f"{self.name}: {error}") from None
        payload: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            variable = self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            payload |= value if variable else {name: value}
        returns = self.returns
        if self.conversions:
            payload = to_plain(payload, f"{self.name}: payload", self.conversions)
            returns = Converted(returns, self.conversions)
        return Task(self.name, payload, left_out=self.left_out, returns=returns, **self.defaults)

    def options(self, **overrides: Unpack[TaskOptions]) -> TaskType[P, R, C]:
        """Return the same type with other options; raise `ConfigError` for a bad one."""
        return attrs.evolve(self, defaults=_checked(self.name, {**self.defaults, **overrides}))

    def arguments(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments for a payload that came from the queue.

        Raises `PayloadError` when it does not fit the signature or an annotation.
        """
        if not isinstance(payload, dict):
            return self._one_argument(payload)
        payload = cast("dict[Any, Any]", payload)
        # Set operations: `signature.bind` costs more than everything else for a short task.
        names = payload.keys()
        if not names >= self.required:
            missing = min(self.required - names)
            raise PayloadError(f"{self.name}: the payload has no {quote(missing)}")
        if self.accepted is None:
            if not all(isinstance(name, str) for name in names):
                raise PayloadError(f"{self.name}: keyword arguments must be named by text")
        elif not names <= self.accepted:
            unknown = quote(next(name for name in names if name not in self.accepted))
            raise PayloadError(f"{self.name}: the payload has {unknown}, which it does not take")
        if not self.structurers:
            return (), payload
        found = {
            name: self.structurers[name](value) if name in self.structurers else value
            for name, value in payload.items()
        }
        return (), found

    def _one_argument(self, payload: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            bound = self.signature.bind(payload)
        except TypeError as error:
            raise PayloadError(f"{self.name}: the payload does not fit: {error}") from None
        structure = self.structurers.get(next(iter(bound.arguments)))
        return (payload if structure is None else structure(payload),), {}


def _checked(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {*TaskOptions.__optional_keys__}
    if unknown := sorted(options.keys() - allowed):
        hint = did_you_mean(unknown[0], allowed) or f"; there are {', '.join(sorted(allowed))}"
        raise ConfigError(f"{name}: unknown option {unknown[0]!r}{hint}")
    task: Task[Any] = Task(name, **options)  # its validators raise
    # The values of the task: an iterator of dependencies would be empty the next time.
    return {option: getattr(task, option) for option in options}


def _task_type(
    function: Callable[..., Any],
    name: str | None,
    rules: RetryRules,
    options: Mapping[str, Any],
    conversions: Conversions,
) -> Any:
    check_handler(function)
    if name is None:
        name = f"{module_of(function)}:{function.__qualname__}"
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind in _POSITIONAL:
            raise ConfigError.of(name, str(parameter), "a parameter that can be passed by name")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ConfigError(f"{name}: an annotation cannot be read: {error}") from error
    found = {
        n: make_structurer(hint, f"{name}: {n}=", conversions)
        for n, hint in hints.items()
        if n != "return"
    }
    named = {n: p for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    defaults = _checked(name, options)
    task_type: TaskType[..., Any, Any] = TaskType(
        name=name,
        function=function,
        defaults=defaults,
        signature=signature,
        structurers={n: structure for n, structure in found.items() if structure is not None},
        returns=hints.get("return"),
        is_async=inspect.iscoroutinefunction(function),
        required=frozenset(n for n, p in named.items() if p.default is p.empty),
        accepted=frozenset(named) if len(named) == len(signature.parameters) else None,
        left_out=_plain_defaults(named.values(), conversions),
        rules=rules,
        own_options=handler_options(defaults),
        conversions=conversions,
    )
    return task_type


def _name_of_caller() -> str:
    """Return the name of the module that makes an app, as the name of the app."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") == "typing":
        frame = frame.f_back  # of `App[State]()`
    name = "" if frame is None else module_name(frame.f_globals)
    name = "app" if name == "__main__" else name.removesuffix(".__main__")
    return re.sub(r"[^a-zA-Z0-9._:-]", "-", name)[-128:] or "app"


def _plain_defaults(
    parameters: Iterable[inspect.Parameter], conversions: Conversions
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.default is not parameter.empty:
            with suppress(PayloadError):  # such a default, a marker for example, is in no payload
                plain = to_plain(parameter.default, "default", conversions)
                pack_value(plain)
                found[parameter.name] = plain
    return found


class App(Generic[S]):
    """A registry of handlers, middleware and schedules. Nothing runs until `serve`.

    `App[State]` is an app whose lifespan yields a `State`; a plain `App` takes any.

    `name` is the owner of the schedules that the app declares: 1 to 128 of
    a-z A-Z 0-9 . _ : -. It defaults to the name of the module that makes the app; of a
    script, to the name of its file. Name the app where another program may have a module of
    that name and share a queue.

    `converters` say how types of your own become plain data and come back, in the tasks and
    results of the app's handlers. One type has one converter; raises `ConfigError` for two.

    `redact` is called by the workers of this app with each error of an attempt, before anything of it
    is kept, and returns what is kept instead. If it raises, only the name of the error's type is kept.
    It does not change what is logged.

    `telemetry`, such as `rediq_trio.telemetry.OpenTelemetry()`, sees what workers of this app and its
    producers do.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        converters: Iterable[Converter[Any]] = (),
        redact: Callable[[ErrorText], ErrorText] | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        check_telemetry(telemetry)
        self.telemetry = telemetry
        if redact is not None and not callable(redact):
            raise ConfigError.of("redact", redact, "a function, or None")
        self.redact = redact
        self.name = _name_of_caller() if name is None else check_name("name", name)
        self.conversions = Conversions(converters)
        self._schedules: dict[str, ScheduleDeclaration] = {}
        self._types: dict[str, TaskType[..., Any, Any]] = {}
        self._middleware: list[Middleware] = []
        self._sending: list[Sender] = []
        self._failure_reporters: list[FailureReporter] = []
        """What is called with each failed attempt, such as that of `rediq_trio.sentry`."""
        self._aggregators: dict[str, Aggregator] = {}
        self._lifespan: Lifespan | None = None
        self._included: list[App[Any]] = []

    @overload
    def task(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskType[P, R, Coroutine[Any, Any, R]]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> TaskType[P, R, R]: ...

    @overload
    def task(
        self,
        name: str | None = None,
        /,
        *,
        retry_on: ExceptionTypes | None = None,
        give_up_on: ExceptionTypes | None = None,
        retry: RetryFunction | None = None,
        **options: Unpack[TaskOptions],
    ) -> _Decorator: ...

    @overload
    def task(
        self,
        *,
        name: str | None,
        retry_on: ExceptionTypes | None = None,
        give_up_on: ExceptionTypes | None = None,
        retry: RetryFunction | None = None,
        **options: Unpack[TaskOptions],
    ) -> _Decorator: ...

    def task(  # type: ignore[misc]  # mypy compares `name` with the keywords of the options
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        retry_on: ExceptionTypes | None = None,
        give_up_on: ExceptionTypes | None = None,
        retry: RetryFunction | None = None,
        **options: Any,
    ) -> Any:
        """Register a handler: `@app.task`, or `@app.task("name", queue=..., timeout=...)`.

        An `async def` runs on Trio. A plain `def` runs in a worker thread, which cannot be
        stopped, so a long one should call `trio.from_thread.check_cancelled()`. The name,
        which may be given as `name=` too, defaults to `module:function`; of a script, the
        module is the file by whose name a worker imports it.

        Every exception is retried unless one of three rules says otherwise. The rules
        belong to the handler and are not stored with tasks. `give_up_on`: exception
        classes that make the task dead at once. `retry_on`: the only classes that are
        retried. `retry`: a fast plain function `(exception, attempt) -> seconds | None`,
        called for exceptions that the other two rules allow; it returns 0 to 1 year, or
        None to make the task dead. A timeout is not an exception of the handler: it is
        always retried.

        Raises `ConfigError` for a bad option or rule, for a name that is taken, and for a
        parameter that cannot be passed by name.
        """
        rules = retry_rules(retry_on, give_up_on, retry)
        if not callable(function) and not isinstance(function, str | None):
            bound = "text, or a function below this decorator (a classmethod is none)"
            raise ConfigError.of("name", function, bound)
        if callable(function):
            return self._register(_task_type(function, name, rules, options, self.conversions))
        if function is not None and name is not None:
            raise ConfigError.of("name", name, f"left out: {quote(function)} names the handler")
        name = function if name is None else name
        if name is not None and not isinstance(name, str):
            raise ConfigError.of("name", name, "text")
        return _Decorator(self, name, rules, options)

    def _register(self, task_type: TaskType[P, R, C]) -> TaskType[P, R, C]:
        if task_type.name in self._types:
            raise ConfigError(f"a handler named {quote(task_type.name)} is registered already")
        self._types[task_type.name] = task_type
        return task_type

    def middleware(self, factory: M) -> M:
        """Register middleware around each attempt; the first registered is the outermost.

        `factory` is an async generator function, `async def m(task): ...; yield; ...`, or
        a function that takes a `CurrentTask` and returns an async context manager. An
        error in it fails the attempt like an error of the handler.
        """
        if not callable(factory):
            raise ConfigError.of("middleware", factory, "a function of the current task")
        generator = inspect.isasyncgenfunction(factory)
        wrapped: Any = asynccontextmanager(cast("Any", factory)) if generator else factory
        self._middleware.append(wrapped)
        return factory

    def sending(self, factory: N) -> N:
        """Register middleware around what is sent; the first registered is the outermost.

        `factory` is a plain generator function, `def m(sending): ...; yield; ...`, or a function that
        takes a `Sending` and returns a context manager. It cannot wait, as `enqueue_after` cannot. It may
        change the `metadata` of each task before it yields. Afterwards it sees how that went: an error,
        a cancellation too, is raised at the `yield` and cannot be swallowed. An error of its own before
        the `yield` keeps the tasks from being sent.

        It is called by the clients of workers that serve the app, by clients of `connect(..., app=app)`,
        for tasks of `enqueue_after` and of aggregators, when a schedule is triggered, and by the worker
        that fires a tick; there an error is logged, and the task is enqueued without it. A batch
        is made in Redis of tasks that passed it before.

        Raises `ConfigError` for anything else, an `async def` too.
        """
        self._sending.append(make_sender(factory))
        return factory

    def schedule(
        self, name: str, when: Every | Cron, task: Task[Any], *, keep: bool = False
    ) -> None:
        """Enqueue such a task at each tick of `when`, while any worker of the app runs.

        Each worker declares the app's schedules when it starts, in the queues of their
        tasks, and again when it finds one gone or changed, unless an operator removed,
        replaced or paused it. In these queues, and in those that it serves, a schedule that an app of this name
        declared before, and that no live worker declares for five minutes, is removed unless
        it has `keep`. `name` is 1 to 128 of a-z A-Z 0-9 . _ : -, and unique within the app.

        Raises `ConfigError` for a bad or taken name, and for a task that cannot be
        repeated: one with `id`, `delay`, `run_at` or `depends_on`, or with a datetime as
        `expires` or `deadline`. Raises `PayloadError` for a payload that msgpack cannot
        carry.
        """
        if not isinstance(keep, bool):
            raise ConfigError.of("keep", keep, "True or False")
        pack_schedule(name, when, task, PAYLOAD_BOUND)
        if name in self._schedules:
            raise ConfigError(f"a schedule named {quote(name)} is declared already")
        self._schedules[name] = ScheduleDeclaration(name, when, task, keep)

    def aggregator(
        self,
        group: str,
        /,
        *,
        max_size: int = 10,
        grace_period: Duration = 30.0,
        max_delay: Duration = 300.0,
    ) -> Callable[[G], G]:
        """Register the function for the batches of a group, `async def f(tasks) -> Task | None`.

        `group` is a name, or a prefix that ends in `*` (`"user:*"`). A name takes
        precedence over a prefix, and a longer prefix over a shorter one. A group becomes a
        batch when it has `max_size` members (1 to 1,000), `grace_period` seconds after its
        last member came, or `max_delay` seconds after its first, whichever is earliest.

        The function receives the members as `Task` values. The task that it returns is
        enqueued in the step that completes the batch, and its id is the batch's result. It
        never receives more than `max_size`: a larger batch, of a worker with other options,
        is passed in parts, and the result is the list of the ids. A
        plain `def` runs in a worker thread. An error fails the batch, which is retried
        like any task. Raises `ConfigError` for a bad option or a name that is taken.
        """
        rule = make_rule(group, max_size, grace_period, max_delay)
        self._check_aggregators(group)

        def register(function: G) -> G:
            aggregator = make_aggregator(group, function, rule)
            self._check_aggregators(group)
            self._aggregators[group] = aggregator
            return function

        return register

    def _check_aggregators(self, *groups: str) -> None:
        if taken := sorted(self._aggregators.keys() & {*groups}):
            raise ConfigError.of("aggregator", taken[0], "registered once for each group or prefix")

    @overload
    def lifespan(
        self, function: Callable[[], AbstractAsyncContextManager[S]], /
    ) -> Callable[[], AbstractAsyncContextManager[S]]: ...

    @overload
    def lifespan(
        self, function: Callable[[], AsyncIterator[S]], /
    ) -> Callable[[], AsyncIterator[S]]: ...

    def lifespan(self, function: Any, /) -> Any:
        """Register what each worker opens before its first claim and closes after its last outcome.

        `function` has no parameters. It is an async generator function, `async def f(): ...;
        yield state; ...`, or returns an async context manager. What it yields is
        `current_task().state`, in threads too, and `App.state`. It may open nurseries. The
        lifespans of included apps are entered inside this one, in the order of `include`.

        When `serve` is cancelled while a lifespan is entered, so is the lifespan. It is left
        within the worker's `cleanup_grace` after the last outcome is settled; then what still
        runs in it is cancelled. An error in it ends `serve` and is raised unwrapped. If it is
        cancelled from inside, for example because a task of its nursery failed, the worker
        first stops as when `serve` is cancelled.

        Raises `ConfigError` for anything else, and for a second lifespan.
        """
        if self._lifespan is not None:
            bound = (
                f"registered once for each app, and {self.name} has {self._lifespan.name}: open both "
                "in one, or put this one in an app of its own and include() that"
            )
            raise ConfigError.of("lifespan", function, bound)
        self._lifespan = make_lifespan(self.name, function, declared_state_type(self))
        return function

    @property
    def state(self) -> S:
        """What the lifespan of this app yielded in the worker that runs here; for handlers.

        For an app without a lifespan it is the state of the app that includes it. Raises
        `ConfigError` without a lifespan, outside of a handler, and if the worker does not serve
        this app.
        """
        task = CURRENT.get(None)
        if task is None:
            raise ConfigError(
                "state was read outside of a handler: it exists while a worker serves the app, so read "
                "it in a handler, in a middleware or in an aggregator"
            )
        state: S = task._services.lifespans.state_of_app(self, self.name)
        return state

    def _lifespans(self) -> Lifespans:
        """Return the lifespans of this app and of those that it includes, for one worker."""
        by_app: dict[object, Lifespan | None] = {}
        by_type: dict[str, Lifespan | None] = {}
        by_aggregator: dict[str, Lifespan | None] = {}

        def add(app: App[Any], inherited: Lifespan | None) -> None:
            if app in by_app:
                return
            by_app[app] = seen = app._lifespan or inherited
            # What an app registered after it was included is not served.
            for name, task_type in app._types.items():
                if self._types.get(name) is task_type:
                    by_type[name] = seen
            for name, aggregator in app._aggregators.items():
                if self._aggregators.get(name) is aggregator:
                    by_aggregator[name] = seen
            for each in app._included:
                add(each, seen)

        add(self, None)
        return Lifespans(by_app, by_type, by_aggregator)

    def include(self, other: App[Any]) -> None:
        """Add everything that another app has registered; raise `ConfigError` for a name in both.

        The lifespan of the other app is entered inside that of this one. The handlers keep the
        converters of the app that they were registered with. Telemetry is that of this app only.
        """
        if twice := sorted(self._types.keys() & other._types.keys()):
            raise ConfigError(f"both apps have a handler named {quote(twice[0])}")
        self._check_aggregators(*other._aggregators)
        if twice := sorted(self._schedules.keys() & other._schedules.keys()):
            raise ConfigError(f"both apps have a schedule named {quote(twice[0])}")
        self._types |= other._types
        self._aggregators |= other._aggregators
        self._schedules |= other._schedules
        self._middleware += other._middleware
        self._sending += other._sending
        self._failure_reporters += other._failure_reporters
        self._included.append(other)

    @property
    def types(self) -> tuple[TaskType[..., Any, Any], ...]:
        """The registered handlers, ordered by name."""
        return tuple(self._types[name] for name in sorted(self._types))

    @property
    def queues(self) -> tuple[str, ...]:
        """The queue `default`, and those of the handlers and schedules, ordered by name."""
        found = {one.queue for one in self._types.values()}
        found |= {one.queue for one in self._schedules.values()}
        return DEFAULT_QUEUE, *sorted(found - {DEFAULT_QUEUE})

    @property
    def schedules(self) -> tuple[ScheduleDeclaration, ...]:
        """The schedules, ordered by name."""
        return tuple(self._schedules[name] for name in sorted(self._schedules))

    @property
    def aggregators(self) -> Mapping[str, Aggregator]:
        """The aggregators, by the group's name or prefix."""
        return MappingProxyType(self._aggregators)

    def aggregator_of(self, group: str) -> Aggregator | None:
        """Return the aggregator for a group's batches; None without one."""
        name = matching(self._aggregators, group)
        return None if name is None else self._aggregators[name]

    @property
    def layers(self) -> tuple[Middleware, ...]:
        """The middleware, outermost first."""
        return tuple(self._middleware)

    @property
    def sending_layers(self) -> tuple[Sender, ...]:
        """The middleware around what is sent, outermost first, without telemetry."""
        return tuple(self._sending)

    def handler(self, name: str) -> TaskType[..., Any, Any]:
        """Return the handler of that name; raise `UnknownTaskType` if there is none."""
        try:
            return self._types[name]
        except KeyError:
            text = f"no handler is named {quote(name)}: "
            if name.startswith("__main__:"):
                text += "its producer is a script that no worker can import by name: give the "
                text += f"handler a name, @app.task({quote(name.partition(':')[2])})"
            else:
                text += "register it, or serve the app that has it"
            raise UnknownTaskType(text) from None


@attrs.frozen
class _Decorator:
    """The decorator that `@app.task(...)` with arguments returns."""

    _app: App
    _name: str | None
    _rules: RetryRules
    _options: Mapping[str, Any]

    @overload
    def __call__(
        self, function: Callable[P, Coroutine[Any, Any, R]], /
    ) -> TaskType[P, R, Coroutine[Any, Any, R]]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> TaskType[P, R, R]: ...

    def __call__(self, function: Callable[..., Any], /) -> Any:
        app = self._app
        return app._register(
            _task_type(function, self._name, self._rules, self._options, app.conversions)
        )
