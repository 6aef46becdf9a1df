"""Plans: all that happens to a simulated fleet, as a value.

A plan says what clients do (`Work`) and what breaks (`Fault`), and holds the seed of all other
chance. Equal plans of one program have equal histories, so a failure is kept as its plan, and made
smaller by making its plan smaller (`shrink`).

A fault has a time, or it is aimed at an effect: the nth time that a host does something. An aimed
fault is still at its place when other parts of the plan are removed, and it finds more than one at
any time: most instants of a program are alike.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

import attrs
from attrs.validators import optional

from rediq_trio._errors import ConfigError
from rediq_trio.values import bounds
from rediq_trio.values.task import Task

MAX_SERVERS = 100
MAX_CLIENTS = 100
MAX_SECONDS = 7 * 86_400.0
"""Maximum length of a storm, and of a fault."""
MAX_PARTS = 100_000
MAX_NTH = 1_000_000
STEP_EFFECT = "step"
"""The effect of a handler that goes on after a checkpoint."""


class FaultKind(enum.StrEnum):
    """What can befall a host."""

    KILL = "kill"
    """Its process ends at once, without any `finally`; another one starts after `seconds`."""
    FREEZE = "freeze"
    """It stands still for `seconds`, while time goes on."""
    CUT = "cut"
    """Its connection breaks, and none can be opened for `seconds`."""
    DEPLOY = "deploy"
    """It stops gracefully, and another one starts in its place."""
    FAILOVER = "failover"
    """The store forgets what happened in the last `seconds`, and all connections break."""
    LOSE_BEFORE = "lose_before"
    """A call is lost on its way: it has no effect, and its caller gets `ConnectionLost`."""
    LOSE_AFTER = "lose_after"
    """An answer is lost: the call has its effect, and its caller gets `ConnectionLost`."""
    LATE = "late"
    """The caller gets `ConnectionLost`, and the call has its effect `seconds` later."""
    SLOW = "slow"
    """The call, and all behind it on the connection, arrives `seconds` later."""


class StepOrder(enum.StrEnum):
    """How the scheduler of a fleet with noise chooses which of the ready tasks goes on."""

    UNIFORM = "uniform"
    """Each order is as likely as any other, each time."""
    PRIORITIES = "priorities"
    """By random priorities that hardly change, so that some tasks are late all the time."""


ALL_KINDS = frozenset(FaultKind)
CALL_KINDS = frozenset(
    {FaultKind.LOSE_BEFORE, FaultKind.LOSE_AFTER, FaultKind.LATE, FaultKind.SLOW}
)
"""Those that befall one call, and so need an effect."""


def _kind(value: str) -> FaultKind:
    try:
        return FaultKind(value)
    except ValueError:
        raise ConfigError.of("kind", value, "one of " + ", ".join(FaultKind)) from None


def _order(value: str) -> StepOrder:
    try:
        return StepOrder(value)
    except ValueError:
        raise ConfigError.of("order", value, "one of " + ", ".join(StepOrder)) from None


def _check_host(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    bounds.check_name(attribute.name, value)


def _check_effect(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value.isidentifier():
        bound = f"the name of a call to the store, such as 'claim', or {STEP_EFFECT!r}"
        raise ConfigError.of(attribute.name, value, bound)


def _check_flag(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    bounds.check_flag(attribute.name, value)


@attrs.frozen(kw_only=True)
class Fault:
    """Something that befalls a host: at a time, or at the nth effect of some kind."""

    kind: FaultKind = attrs.field(converter=_kind)
    host: str = attrs.field(validator=_check_host)
    """A server, `"w0"` or one of the next, or a client, `"c0"` or one of the next."""
    at: float | None = attrs.field(
        default=None, converter=bounds.to_seconds_or_none,
        validator=optional(bounds.seconds(0, MAX_SECONDS)),
    )  # fmt: skip
    """Seconds after the beginning; None for a fault that is aimed at an effect."""
    effect: str | None = attrs.field(default=None, validator=optional(_check_effect))
    """The name of a call to the store, or `"step"`: a handler goes on after a checkpoint."""
    nth: int = attrs.field(default=1, validator=bounds.number(1, MAX_NTH, integer=True))
    """Which effect of that name of that host, counted from 1."""
    seconds: float = attrs.field(
        default=0.0, converter=bounds.to_seconds, validator=bounds.seconds(0, MAX_SECONDS)
    )
    hangs: bool = attrs.field(default=False, validator=_check_flag)
    """For `cut`: calls wait for an answer, instead of being refused at once."""

    def __attrs_post_init__(self) -> None:
        if (self.at is None) == (self.effect is None):
            raise ConfigError.of("at", self.at, "given, or `effect` is, and not both")
        if self.effect is None and self.kind in CALL_KINDS:
            raise ConfigError.of("effect", None, f"a call of the host, for the fault {self.kind}")
        if self.effect == STEP_EFFECT and self.kind in CALL_KINDS:
            raise ConfigError.of("effect", STEP_EFFECT, f"a call of the host, for the fault {self.kind}")

    def __str__(self) -> str:
        where = f"at {self.at:g} s" if self.effect is None else f"at its {self.effect} no. {self.nth}"
        how_long = f", {self.seconds:g} s" if self.seconds else ""
        return f"{self.kind} {self.host} {where}{how_long}{', hanging' if self.hangs else ''}"


def _plain(field: str, value: Any, depth: int = 0) -> Any:
    """Return a copy of a value that JSON can hold; raise `ConfigError` for any other."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and depth < 64:
        many = cast("Mapping[Any, Any]", value)
        if all(isinstance(key, str) for key in many):
            return MappingProxyType({key: _plain(field, one, depth + 1) for key, one in many.items()})
    if isinstance(value, list | tuple) and depth < 64:
        return tuple(_plain(field, one, depth + 1) for one in cast("list[Any]", value))
    raise ConfigError.of(field, cast("object", value), "what JSON can hold, because plans are kept in files")


def _mapping(field: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError.of(field, value, "a mapping of names to values")
    plain: Mapping[str, Any] = _plain(field, value)
    return plain


def _arguments(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping("arguments", value)


def _options(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return _mapping("options", value)


class ActionKind(enum.StrEnum):
    """What a client can do about a task that it has enqueued, or about the task's queue."""

    CANCEL = "cancel"
    RETRY = "retry"
    RESCHEDULE = "reschedule"
    UPDATE = "update"
    REQUEUE = "requeue"
    DELETE = "delete"
    PAUSE = "pause"
    """Pauses the queue of the task."""
    RESUME = "resume"
    FLUSH = "flush"


def _action_kind(value: str) -> ActionKind:
    try:
        return ActionKind(value)
    except ValueError:
        raise ConfigError.of("kind", value, "one of " + ", ".join(ActionKind)) from None


@attrs.frozen
class ClientAction:
    """Something that a client does about a task after its enqueue: a method of the task's handle."""

    kind: ActionKind = attrs.field(converter=_action_kind)
    after: float = attrs.field(
        default=0.0, converter=bounds.to_seconds, validator=bounds.seconds(0, MAX_SECONDS)
    )
    """Seconds after the enqueue, or after the action before it."""
    options: Mapping[str, Any] = attrs.field(
        default=MappingProxyType({}), converter=_options, hash=False
    )
    """The keywords of the method, such as `delay` for `reschedule`."""

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.kind}({said}) after {self.after:g} s"


def _actions(value: Iterable[ClientAction | Mapping[str, Any]]) -> tuple[ClientAction, ...]:
    found = list[ClientAction]()
    for one in value:
        if isinstance(one, Mapping):  # as a file has it
            known = attrs.fields_dict(ClientAction)
            if unknown := [name for name in one if name not in known]:
                raise ConfigError.of("actions", unknown[0], "of " + ", ".join(known))
            if "kind" not in one:
                raise ConfigError.of("actions", dict(one), "actions with a kind")
            one = ClientAction(**one)
        if not isinstance(one, ClientAction):
            raise ConfigError.of("actions", one, "values of the type ClientAction")
        found.append(one)
    return tuple(found)


@attrs.frozen
class Work:
    """A task that a client enqueues, and waits for."""

    type: str = attrs.field(validator=bounds.text)
    arguments: Mapping[str, Any] = attrs.field(
        default=MappingProxyType({}), converter=_arguments, hash=False
    )
    """The handler's arguments, by name."""
    options: Mapping[str, Any] = attrs.field(
        default=MappingProxyType({}), converter=_options, hash=False
    )
    """Options of the task, such as `queue` and `timeout`."""
    at: float = attrs.field(
        default=0.0, converter=bounds.to_seconds, validator=bounds.seconds(0, MAX_SECONDS)
    )
    """Seconds after the beginning."""
    client: int = attrs.field(
        default=0, validator=bounds.number(0, MAX_CLIENTS - 1, integer=True)
    )
    """Which client enqueues it, counted from 0."""
    actions: tuple[ClientAction, ...] = attrs.field(default=(), converter=_actions)
    """What the client does about it, one after the other, before it waits for its end."""

    def __attrs_post_init__(self) -> None:
        self.task()

    def task(self) -> Task[Any]:
        """Return the task that it enqueues; raise `ConfigError` for options that no task has."""
        return Task(self.type, _thawed(self.arguments), **_known_options(self.options))

    def __str__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        actions = "".join(f", {action}" for action in self.actions)
        return f"{self.type}({arguments}) of client c{self.client} at {self.at:g} s{actions}"


def _known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    known = attrs.fields_dict(Task)
    for name in options:
        if name not in known or name in ("type", "payload"):
            raise ConfigError.of("options", name, "options of a task")
    thawed: dict[str, Any] = _thawed(options)
    return thawed


def _thawed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _thawed(one) for key, one in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, tuple):
        return [_thawed(one) for one in cast("tuple[Any, ...]", value)]
    return value


def _works(value: Iterable[Work]) -> tuple[Work, ...]:
    return tuple(value)


def _faults(value: Iterable[Fault]) -> tuple[Fault, ...]:
    return tuple(value)


def _only(kind: type) -> bounds.Validator:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not all(isinstance(one, kind) for one in value):
            raise ConfigError.of(attribute.name, value, f"values of the type {kind.__name__}")
        if len(value) > MAX_PARTS:
            raise ConfigError.of(attribute.name, f"<{len(value)}>", f"at most {MAX_PARTS:,}")

    return check


@attrs.frozen(kw_only=True)
class FaultPlan:
    """All that happens to a fleet."""

    seed: int = attrs.field(default=0, validator=bounds.number(0, 2**63 - 1, integer=True))
    """The seed of the noise: delays of calls, the scheduler's choices, the library's own chance."""
    servers: int = attrs.field(default=1, validator=bounds.number(1, MAX_SERVERS, integer=True))
    seconds: float = attrs.field(
        default=60.0, converter=bounds.to_seconds,
        validator=bounds.seconds(0, MAX_SECONDS, above=True),
    )  # fmt: skip
    """How long faults happen. Then all is healed, and the fleet has to come to rest."""
    noise: bool = attrs.field(default=True, validator=_check_flag)
    """Draw delays and the order in which tasks run; else calls are fast, and the first is first."""
    order: StepOrder = attrs.field(default=StepOrder.UNIFORM, converter=_order)
    """How that order is drawn."""
    works: tuple[Work, ...] = attrs.field(default=(), converter=_works, validator=_only(Work))
    faults: tuple[Fault, ...] = attrs.field(default=(), converter=_faults, validator=_only(Fault))

    @property
    def size(self) -> int:
        """The number of its parts: works and faults."""
        return len(self.works) + len(self.faults)

    @property
    def clients(self) -> int:
        """The number of clients that its works need, at least 1."""
        return 1 + max((work.client for work in self.works), default=0)

    def lines(self) -> Iterator[str]:
        """Return lines that describe it to a reader."""
        noise = f"noise of seed {self.seed}, {self.order} order" if self.noise else "no noise"
        servers = "1 server" if self.servers == 1 else f"{self.servers} servers"
        yield f"{servers}, {self.seconds:g} s, {noise}"
        yield from (f"  {work}" for work in self.works)
        yield from (f"  {fault}" for fault in self.faults)

    def __str__(self) -> str:
        return "\n".join(self.lines())
