"""App: the registry of handlers and middleware; TaskType: one of its handlers.

Long, because four kinds of things are registered, each with its typed decorator.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType
from typing import Any, Generic, ParamSpec, TypeVar, Unpack, cast, overload

import attrs

from rediq_trio._errors import ConfigError, PayloadError, UnknownTaskType, quote
from rediq_trio.handlers.aggregators import (
    Aggregator,
    AggregatorFunction,
    check_not_registered,
    make_aggregator,
    make_rule,
)
from rediq_trio.handlers.context import CurrentTask
from rediq_trio.handlers.retry_rules import ExceptionTypes, RetryFunction, RetryRules, retry_rules
from rediq_trio.schedules.declare import ScheduleDeclaration, pack_schedule
from rediq_trio.spec.groups import matching
from rediq_trio.values.bounds import check_name
from rediq_trio.values.schedule import Cron, Every
from rediq_trio.values.task import Task, TaskOptions
from rediq_trio.wire.structuring import make_structurer

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
"""What the function returns when it is called: a coroutine, or the result itself."""

Middleware = Callable[[CurrentTask], AbstractAsyncContextManager[Any]]
_Generator = Callable[[CurrentTask], AsyncGenerator[None, None]]
M = TypeVar("M", bound="Middleware | _Generator")
G = TypeVar("G", bound=AggregatorFunction)

PAYLOAD_BOUND = 512 * 1024 * 1024
"""The highest `max_payload`, in bytes; the worker's own bound is checked when it starts."""

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
    rules: RetryRules = attrs.field(repr=False)
    """Rules that decide which of its exceptions are retried."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> C:
        """Call the function itself, here and now, without a queue."""
        return self.function(*args, **kwargs)

    def task(self, *args: P.args, **kwargs: P.kwargs) -> Task[R]:
        """Return a task that calls the function with these arguments.

        Raises `PayloadError` when they do not fit its signature. Nothing is sent: pass
        the task to `Client.enqueue`.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise PayloadError(f"{self.name}: {error}") from None
        payload: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                payload |= value
            else:
                payload[name] = value
        return Task(self.name, payload, returns=self.returns, **self.defaults)

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
            unknown = next(name for name in names if name not in self.accepted)
            raise PayloadError(
                f"{self.name}: the payload has {quote(unknown)}, which it does not take"
            )
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
        name = next(iter(bound.arguments))
        structure = self.structurers.get(name)
        return (payload if structure is None else structure(payload),), {}


def _checked(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    allowed = {*TaskOptions.__optional_keys__}
    if unknown := sorted(options.keys() - allowed):
        raise ConfigError(
            f"{name}: unknown option {unknown[0]!r}; there are {', '.join(sorted(allowed))}"
        )
    task: Task[Any] = Task(name, **options)  # its validators raise
    # The values of the task: an iterator of dependencies would be empty the next time.
    return {option: getattr(task, option) for option in options}


def _task_type(
    function: Callable[..., Any], name: str | None, rules: RetryRules, options: Mapping[str, Any]
) -> Any:
    if not callable(function):
        raise ConfigError.of("task", function, "an async def or a def")
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise ConfigError.of("task", function, "an async def or a def that does not yield")
    if name is None:
        name = f"{function.__module__}:{function.__qualname__}"
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind in _POSITIONAL:
            raise ConfigError.of(name, str(parameter), "a parameter that can be passed by name")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ConfigError(f"{name}: an annotation cannot be read: {error}") from error
    found = {n: make_structurer(hint) for n, hint in hints.items() if n != "return"}
    named = {n: p for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    task_type: TaskType[..., Any, Any] = TaskType(
        name=name,
        function=function,
        defaults=_checked(name, options),
        signature=signature,
        structurers={n: structure for n, structure in found.items() if structure is not None},
        returns=hints.get("return"),
        is_async=inspect.iscoroutinefunction(function),
        required=frozenset(n for n, p in named.items() if p.default is p.empty),
        accepted=frozenset(named) if len(named) == len(signature.parameters) else None,
        rules=rules,
    )
    return task_type


class App:
    """A registry of handlers, middleware and schedules. Nothing runs until `serve`.

    `name` is the owner of the schedules that the app declares: 1 to 128 of
    a-z A-Z 0-9 . _ : -.
    """

    def __init__(self, name: str = "app") -> None:
        self.name = check_name("name", name)
        self._schedules: dict[str, ScheduleDeclaration] = {}
        self._types: dict[str, TaskType[..., Any, Any]] = {}
        self._middleware: list[Middleware] = []
        self._aggregators: dict[str, Aggregator] = {}

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

    def task(
        self,
        function: Any = None,
        /,
        *,
        retry_on: ExceptionTypes | None = None,
        give_up_on: ExceptionTypes | None = None,
        retry: RetryFunction | None = None,
        **options: Any,
    ) -> Any:
        """Register a handler: `@app.task`, or `@app.task("name", queue=..., timeout=...)`.

        An `async def` runs on Trio. A plain `def` runs in a worker thread, which cannot be
        stopped, so a long one should call `trio.from_thread.check_cancelled()`. The name
        defaults to `module:function`.

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
        if callable(function):
            return self._register(_task_type(function, None, rules, options))
        if function is not None and not isinstance(function, str):
            raise ConfigError.of("name", function, "text")
        return _Decorator(self, function, rules, options)

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

    def schedule(
        self, name: str, when: Every | Cron, task: Task[Any], *, keep: bool = False
    ) -> None:
        """Enqueue such a task at each tick of `when`, while any worker of the app runs.

        Each worker declares the app's schedules when it starts, in the queues of their
        tasks. In these queues, and in those that it serves, it also removes schedules that
        an app of this name declared before and no longer declares, unless they have
        `keep`. `name` is 1 to 128 of a-z A-Z 0-9 . _ : -, and unique within the app.

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
        grace_period: float = 30.0,
        max_delay: float = 300.0,
    ) -> Callable[[G], G]:
        """Register the function for the batches of a group, `async def f(tasks) -> Task | None`.

        `group` is a name, or a prefix that ends in `*` (`"user:*"`). A name takes
        precedence over a prefix, and a longer prefix over a shorter one. A group becomes a
        batch when it has `max_size` members (1 to 1,000), `grace_period` seconds after its
        last member came, or `max_delay` seconds after its first, whichever is earliest.

        The function receives the members as `Task` values. The task that it returns is
        enqueued in the step that completes the batch, and its id is the batch's result. A
        plain `def` runs in a worker thread. An error fails the batch, which is retried
        like any task. Raises `ConfigError` for a bad option or a name that is taken.
        """
        rule = make_rule(group, max_size, grace_period, max_delay)
        check_not_registered(self._aggregators, [group])

        def register(function: G) -> G:
            aggregator = make_aggregator(group, function, rule)
            check_not_registered(self._aggregators, [group])
            self._aggregators[group] = aggregator
            return function

        return register

    def include(self, other: App) -> None:
        """Add everything that another app has registered; raise `ConfigError` for a name in both."""
        taken = sorted(self._types.keys() & other._types.keys())
        if taken:
            raise ConfigError(f"both apps have a handler named {quote(taken[0])}")
        check_not_registered(self._aggregators, other._aggregators)
        if twice := sorted(self._schedules.keys() & other._schedules.keys()):
            raise ConfigError(f"both apps have a schedule named {quote(twice[0])}")
        self._types |= other._types
        self._aggregators |= other._aggregators
        self._schedules |= other._schedules
        self._middleware += other._middleware

    @property
    def types(self) -> tuple[TaskType[..., Any, Any], ...]:
        """The registered handlers, ordered by name."""
        return tuple(self._types[name] for name in sorted(self._types))

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

    def handler(self, name: str) -> TaskType[..., Any, Any]:
        """Return the handler of that name; raise `UnknownTaskType` if there is none."""
        try:
            return self._types[name]
        except KeyError:
            raise UnknownTaskType(
                f"no handler is named {quote(name)}: register it, or serve the app that has it"
            ) from None


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
        return self._app._register(_task_type(function, self._name, self._rules, self._options))
