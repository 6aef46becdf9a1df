"""Lifespans: what an app opens before its worker claims tasks, and closes after the last outcome.

Each app has at most one. Those of included apps are entered inside it, in the order of
`include()`. A handler sees the state of the app that registered it; if that app has no lifespan,
the state of the app that includes it, and so on upwards. So a module of handlers can share the
pool of the program that includes it, and a library can bring its own.

The app itself holds no state, because several workers of one process may serve it, each with a
state of its own.
"""

from __future__ import annotations

import contextlib
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import MappingProxyType, TracebackType, UnionType
from typing import Any, cast

import attrs

from rediq_trio._errors import ConfigError, quote
from rediq_trio.spec.groups import matching

LifespanFunction = Callable[[], AbstractAsyncContextManager[Any]] | Callable[[], AsyncIterator[Any]]

_BOUND = (
    "an async generator function without parameters that yields the state once, or a function "
    "without parameters that returns an async context manager"
)
_UNCHECKED = (float, complex, UnionType)
"""Types for which `isinstance` refuses what type checkers accept."""

_MISUSES = {
    "generator didn't yield": "it did not yield: yield the state once, or None",
    "generator didn't stop": "it yielded twice: yield the state once, then close what was opened",
}
"""What `contextlib` says of a generator, and what is said of a lifespan."""


@attrs.frozen(eq=False)
class Lifespan:
    """The lifespan of one app. Made by `make_lifespan`, which checks the function."""

    app: str
    """The name of the app."""
    name: str
    """The name of the function."""
    _factory: Callable[[], AbstractAsyncContextManager[Any]] = attrs.field(repr=False)
    _state_type: type | None = None
    """The class of the state, if it is known at run time."""

    def __str__(self) -> str:
        return f"the lifespan {self.name} of the app {quote(self.app)}"

    def open(self) -> OpenLifespan:
        """Return what enters and leaves the lifespan, once."""
        made = self._factory()
        if not (hasattr(type(made), "__aenter__") and hasattr(type(made), "__aexit__")):
            raise ConfigError(
                f"{self} returned {quote(made)}: must be {_BOUND}, so write async def and yield, "
                "or put @contextlib.asynccontextmanager above it"
            )
        return OpenLifespan(self, made)

    def check_state(self, state: object) -> None:
        """Raise `ConfigError` for a state of another class than the app declares."""
        expected = self._state_type
        if expected is None:
            return
        try:
            fits = isinstance(state, expected)
        except TypeError:
            return  # of a TypedDict, say, there are no instances
        if not fits:
            raise ConfigError(
                f"{self} yielded {quote(state)}: must be {expected.__name__}, because the app is "
                f"App[{expected.__name__}]"
            )


class OpenLifespan:
    """The context manager of a lifespan, with the errors of a wrong generator put into words."""

    def __init__(self, lifespan: Lifespan, manager: AbstractAsyncContextManager[Any]) -> None:
        self.lifespan = lifespan
        self._manager = manager

    async def enter(self) -> Any:
        """Enter the lifespan and return its state."""
        try:
            return await self._manager.__aenter__()
        except RuntimeError as error:
            await self._explain(error)
            raise

    async def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Leave the lifespan; return whether it suppressed the error."""
        try:
            return bool(await self._manager.__aexit__(kind, error, trace))
        except RuntimeError as raised:
            await self._explain(raised)
            raise

    async def _explain(self, error: RuntimeError) -> None:
        text = next((say for said, say in _MISUSES.items() if str(error).startswith(said)), None)
        if text is None or not _raised_by_contextlib(error):
            return
        generator = getattr(self._manager, "gen", None)
        if generator is not None:
            await generator.aclose()  # Python 3.11 leaves it as it is
        raise ConfigError(f"{self.lifespan}: {text}") from None


def _raised_by_contextlib(error: BaseException) -> bool:
    """Return whether `contextlib` itself raised an error that was caught one frame above it."""
    trace = error.__traceback__
    below = None if trace is None else trace.tb_next
    if below is None or below.tb_next is not None:
        return False
    return below.tb_frame.f_code.co_filename == contextlib.__file__


def make_lifespan(app: str, function: object, state_type: type | None = None) -> Lifespan:
    """Check the function of a lifespan and return the lifespan; raise `ConfigError` for a bad one."""
    if (
        not callable(function)
        or inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
    ):
        raise ConfigError.of("lifespan", function, _BOUND)
    try:
        inspect.signature(function).bind()
    except TypeError:
        raise ConfigError.of("lifespan", function, _BOUND) from None
    except ValueError:
        pass  # some functions written in C have no signature
    is_generator = inspect.isasyncgenfunction(function)
    factory = asynccontextmanager(cast("Any", function)) if is_generator else function
    name = str(getattr(function, "__qualname__", type(function).__name__))
    return Lifespan(app, name, cast("Any", factory), state_type)


def declared_state_type(app: object) -> type | None:
    """Return the class `State` of an `App[State]()`; None if it is not known at run time."""
    found = typing.get_args(getattr(app, "__orig_class__", None))
    if len(found) != 1:
        return None
    kind = typing.get_origin(found[0]) or found[0]
    return kind if isinstance(kind, type) and kind not in _UNCHECKED else None


_NONE: Mapping[str, Lifespan | None] = MappingProxyType({})


@attrs.frozen(eq=False)
class Lifespans:
    """The lifespans of a served app, and what they yielded. Owned by the worker that enters them."""

    by_app: Mapping[object, Lifespan | None] = attrs.field(factory=dict[object, Lifespan | None])
    """The apps, each before those that it includes, with the lifespan whose state its handlers see."""
    by_type: Mapping[str, Lifespan | None] = _NONE
    """The same by the names of handlers."""
    by_aggregator: Mapping[str, Lifespan | None] = _NONE
    """The same by the groups of aggregators."""
    states: dict[Lifespan, Any] = attrs.field(factory=dict[Lifespan, Any], repr=False)

    @property
    def ordered(self) -> tuple[Lifespan, ...]:
        """The lifespans in the order in which they are entered."""
        return tuple(dict.fromkeys(one for one in self.by_app.values() if one is not None))

    def state_of_task(self, type_name: str, group: str | None) -> Any:
        """Return the state that a task's handler sees, or the aggregator of its group.

        Raises `ConfigError` without a lifespan.
        """
        name = None if group is None else matching(self.by_aggregator, group)
        lifespan = self.by_type.get(type_name) if name is None else self.by_aggregator[name]
        if lifespan is None:
            what = f"the handler {quote(type_name)}" if name is None else f"the group {quote(name)}"
            raise ConfigError(
                f"state: neither the app that registers {what} nor an app that includes it has a "
                "lifespan: write @app.lifespan above an async generator function that yields it"
            )
        return self.states[lifespan]

    def state_of_app(self, app: object, name: str) -> Any:
        """Return the state that the handlers of an app see; raise `ConfigError` without one."""
        if app not in self.by_app:
            raise ConfigError(
                f"state: the app {quote(name)} is not served here: serve it, or include() it in the "
                "app that is served"
            )
        lifespan = self.by_app[app]
        if lifespan is None:
            raise ConfigError(
                f"state: neither the app {quote(name)} nor an app that includes it has a lifespan: "
                "write @app.lifespan above an async generator function that yields it"
            )
        return self.states[lifespan]
