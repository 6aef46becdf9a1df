"""Settings: all options of `serve`, checked before a connection is opened.

Each can be a keyword, a command line flag or an environment variable (`REDIQ_<NAME>`), in
this order of precedence.
"""

from __future__ import annotations

import ast
import datetime as dt
import inspect
import ipaddress
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import attrs

from rediq_trio._errors import ConfigError, did_you_mean
from rediq_trio.spec.history.entry import MAX_HISTORY
from rediq_trio.store.redis.durability import Durability, Level
from rediq_trio.values import bounds
from rediq_trio.values.chance import entropy, host_and_pid
from rediq_trio.values.labels import NO_LABELS, check_labels, parse_labels, to_labels
from rediq_trio.values.task import DEFAULT_QUEUE

log = logging.getLogger("rediq_trio")

DAY = 86_400.0
MAX_CONCURRENCY = 100_000
MAX_WORKER_NAME = 256


class ServeOptions(TypedDict, total=False):
    """The keywords of `serve`; see `Settings`."""

    queues: Sequence[str] | Mapping[str, float]
    concurrency: int
    lease: float | dt.timedelta
    heartbeat: float | dt.timedelta | None
    prefetch: int | Literal["auto"]
    shutdown_grace: float | dt.timedelta
    cleanup_grace: float | dt.timedelta
    progress_interval: float | dt.timedelta
    unknown_type_patience: float | dt.timedelta
    max_payload: int
    max_result: int | None
    key_prefix: str
    name: str
    burst: bool
    threads: int
    dead_retention: float | dt.timedelta
    max_dead: int
    allow_eviction: bool
    durability: Level
    replicas: int | None
    metrics_port: int | None
    metrics_address: str
    history: int
    patience: float | dt.timedelta
    connect_patience: float | dt.timedelta
    labels: Mapping[str, str]


_QUEUES_BOUND = "a list of names, or a mapping of names to weights"


def _queues(value: Sequence[str] | Mapping[str, float]) -> tuple[str, ...] | dict[str, float]:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ConfigError.of("queues", value, _QUEUES_BOUND)
    return tuple(value)


def _check_queues(
    _: object, attribute: attrs.Attribute[Any], value: tuple[str, ...] | dict[str, float]
) -> None:
    if not value:
        raise ConfigError.of("queues", value, _QUEUES_BOUND)
    for name in value:
        bounds.check_name("queues", name)
    if isinstance(value, dict):
        for weight in value.values():
            bounds.check_number("queues", weight, 0, 1e6, above=True)
    elif len(set(value)) != len(value):
        raise ConfigError.of("queues", value, "each named once")


def _check_prefetch(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value != "auto":
        bounds.check_number("prefetch", value, 0, 1000, integer=True)


def _make_worker_name() -> str:
    # Hosts of two containers may have the same name, and their workers the same pid.
    host, pid = host_and_pid()
    suffix = f":{pid}:{entropy(4).hex()}"
    return host[: MAX_WORKER_NAME - len(suffix)] + suffix


def _check_worker(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= MAX_WORKER_NAME
        or not value.isprintable()
    ):
        raise ConfigError.of("name", value, "1 to 256 printable characters")


def _check_address(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        bound = "an IP address, such as 127.0.0.1 or ::"
        raise ConfigError.of("metrics_address", value, bound) from None


@attrs.frozen(kw_only=True)
class Settings:
    """The options of a worker. Raises `ConfigError` for a bad value."""

    queues: tuple[str, ...] | dict[str, float] = attrs.field(
        default=(DEFAULT_QUEUE,), converter=_queues, validator=_check_queues
    )
    """A list is strict order, the first queue first. A mapping has weights: claims in proportion."""
    concurrency: int = attrs.field(
        default=10, validator=bounds.number(1, MAX_CONCURRENCY, integer=True)
    )
    """Attempts that run at once, 1 to 100,000."""
    lease: float = attrs.field(
        default=30.0, converter=bounds.to_seconds, validator=bounds.seconds(0.1, 3600)
    )
    """Seconds after which the tasks of a silent worker go to others, 0.1 to 3,600."""
    heartbeat: float | None = attrs.field(
        default=None,
        converter=bounds.to_seconds_or_none,
        validator=attrs.validators.optional(bounds.seconds(0.01, 1800)),
    )
    """Seconds between renewals, at most half the lease; None for a third of it."""
    prefetch: int | Literal["auto"] = attrs.field(default="auto", validator=_check_prefetch)
    """Tasks to claim beyond those that run, 0 to 1,000; "auto" adapts to their duration."""
    shutdown_grace: float = attrs.field(
        default=30.0, converter=bounds.to_seconds, validator=bounds.seconds(0, DAY)
    )
    """Seconds that running handlers have when the worker stops, 0 to 1 day."""
    cleanup_grace: float = attrs.field(
        default=5.0, converter=bounds.to_seconds, validator=bounds.seconds(0.1, 3600)
    )
    """Seconds that cancelled handlers have for their clean-up, 0.1 to 3,600."""
    progress_interval: float = attrs.field(
        default=0.5, converter=bounds.to_seconds, validator=bounds.seconds(0.01, 3600)
    )
    """Seconds between two writes of a task's progress, 0.01 to 3,600."""
    unknown_type_patience: float = attrs.field(
        default=600.0, converter=bounds.to_seconds, validator=bounds.seconds(0, DAY)
    )
    """Seconds for which a task whose type has no handler here is left to other workers, without a
    charge, 0 to 1 day; then it is dead. 0 for dead at once."""
    max_payload: int = attrs.field(
        default=bounds.MAX_PAYLOAD, validator=bounds.number(1, 512 * 1024 * 1024, integer=True)
    )
    """Bytes of a packed payload, 1 to 512 MiB."""
    max_result: int | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(bounds.number(1, 512 * 1024 * 1024, integer=True)),
    )
    """Bytes of a packed result, of a handler or of a `once` step, 1 to 512 MiB; None for
    `max_payload`."""
    key_prefix: str = attrs.field(default="rediq", validator=bounds.name)
    """The prefix of all keys."""
    name: str = attrs.field(factory=_make_worker_name, validator=_check_worker)
    """The worker's id; by default `host:pid:` and 8 random hex digits, which no other worker has."""
    burst: bool = attrs.field(default=False, validator=bounds.one_of(bool))
    """Stop when the queues are empty."""
    threads: int = attrs.field(default=40, validator=bounds.number(1, 10_000, integer=True))
    """Threads for plain `def` handlers, 1 to 10,000."""
    dead_retention: float = attrs.field(
        default=30 * DAY,
        converter=bounds.to_seconds,
        validator=bounds.seconds(0, bounds.MAX_RETENTION),
    )
    """Seconds that dead tasks are kept, 0 to 10 years."""
    max_dead: int = attrs.field(default=100_000, validator=bounds.number(0, 10**9, integer=True))
    """Dead tasks that a queue keeps; the oldest are deleted first."""
    allow_eviction: bool = attrs.field(default=False, validator=bounds.one_of(bool))
    """Accept a server that may evict tasks when its memory is full."""
    durability: Level = "memory"
    """"memory" (Redis answered), "replicated" (replicas have it) or "fsynced" (it is on disk)."""
    replicas: int | None = None
    """Replicas that must have each write, 1 to 100; None for 1, or 0 with "fsynced"."""
    metrics_port: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(bounds.number(0, 65_535, integer=True))
    )
    """The port of `/healthz`, `/readyz` and `/metrics`, 0 to 65,535; 0 for any free port, None for
    no endpoint. Needs the extra `web`."""
    metrics_address: str = attrs.field(default="127.0.0.1", validator=_check_address)
    """The IP address to listen at; `0.0.0.0` for all of IPv4. The endpoint has no password."""
    history: int = attrs.field(default=0, validator=bounds.number(0, MAX_HISTORY, integer=True))
    """Transitions that each served queue keeps in its history, 0 to 1,000,000; 0 leaves the
    queues as they are."""
    patience: float = attrs.field(
        default=bounds.PATIENCE,
        converter=bounds.to_seconds,
        validator=bounds.seconds(0, bounds.MAX_PATIENCE),
    )
    """Seconds for which the calls of its client are repeated while Redis is away, 0 to 3,600; 0 for
    one try."""
    connect_patience: float = attrs.field(
        default=0.0, converter=bounds.to_seconds, validator=bounds.seconds(0, bounds.MAX_PATIENCE)
    )
    """Seconds for which the worker waits for Redis at its start, 0 to 3,600. The default of
    `rediq run` is 60."""
    labels: Mapping[str, str] = attrs.field(
        default=NO_LABELS, converter=to_labels, validator=check_labels
    )
    """Names and texts that `WorkerInfo` shows, such as `{"zone": "b"}`: at most 16, names of 1 to 128 of
    `a-z A-Z 0-9 . _ : -`, texts of at most 128 characters."""

    def __attrs_post_init__(self) -> None:
        if self.heartbeat is not None and self.heartbeat > self.lease / 2:
            raise ConfigError.of(
                "heartbeat", self.heartbeat, f"at most half the lease, {self.lease / 2:g}"
            )
        Durability.of(self.durability, self.replicas)

    @property
    def result_bound(self) -> int:
        """Maximum bytes of a packed result."""
        return self.max_payload if self.max_result is None else self.max_result

    @property
    def beat(self) -> float:
        """Seconds between renewals."""
        return self.lease / 3 if self.heartbeat is None else self.heartbeat


def _parse_flag(text: str) -> bool:
    lowered = text.lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _parse_queues(text: str) -> object:
    parts = [part.strip() for part in text.split(",")]
    if any("=" in part for part in parts):
        weights = (part.partition("=") for part in parts)
        return {name.strip(): float(weight or "nan") for name, _, weight in weights}
    return parts


def read_setting(name: str, text: str) -> Any:
    """Read a setting from text, as in the environment or on the command line.

    Queues: `a,b` for strict order, `a=3,b=1` for weights. Raises `ConfigError`.
    """
    kind = str(getattr(attrs.fields(Settings), name).type).removesuffix(" | None")
    read, readable_as = _READERS[name if name in _READERS else kind]
    try:
        return read(text)
    except ValueError:
        raise ConfigError.of(name, text, f"readable: {readable_as}") from None


def _parse_prefetch(text: str) -> int | str:
    return text if text == "auto" else int(text)


_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "int": (int, "a number"),
    "float": (float, "a number"),
    "str": (str, "text"),
    "Level": (str, "text"),
    "bool": (_parse_flag, "true or false"),
    "queues": (_parse_queues, "names as a,b or weights as a=3,b=1"),
    "prefetch": (_parse_prefetch, "auto or a whole number"),
    "labels": (parse_labels, "labels as zone=b,rack=4"),
}
"""How the text of a setting is read, and what it must be: by its name, or by its type."""


def setting_texts() -> dict[str, str]:
    """Return what each setting is, with its default; nothing where the source is not installed."""
    try:
        (tree,) = ast.parse(inspect.getsource(Settings)).body
    except OSError:
        return {}
    assert isinstance(tree, ast.ClassDef)
    fields = attrs.fields_dict(Settings)
    texts: dict[str, str] = {}
    for named, said in itertools.pairwise(tree.body):
        if isinstance(named, ast.AnnAssign) and isinstance(named.target, ast.Name):
            assert isinstance(said, ast.Expr)
            assert isinstance(said.value, ast.Constant)
            assert isinstance(said.value.value, str)
            default = fields[named.target.id].default
            shown = "" if isinstance(default, attrs.Factory) else f" ({default})"  # type: ignore[arg-type]  # a class to attrs, a function to its stubs
            texts[named.target.id] = inspect.cleandoc(said.value.value).replace("\n", " ") + shown
    return texts


def settle_patience(patience: bounds.Duration | None) -> float:
    """Return the patience of a client: as given, or else by `REDIQ_PATIENCE`, or the default."""
    text = os.environ.get("REDIQ_PATIENCE")
    found: bounds.Duration = bounds.PATIENCE
    if patience is not None:
        found = patience
    elif text:
        found = read_setting("patience", text)
    seconds = bounds.to_seconds(found)
    bounds.check_seconds("patience", seconds, 0, bounds.MAX_PATIENCE)
    return seconds


_PREFIX = "REDIQ_"
_OTHER_VARIABLES = ("URL", "ENCRYPTION_KEYS", "ENCRYPTION_ALLOW_CLEAR")


def warn_misspelt_variables() -> None:
    """Log a warning for each environment variable that is almost the name of one that is read."""
    known = [*(field.name.upper() for field in attrs.fields(Settings)), *_OTHER_VARIABLES]
    for variable in sorted(os.environ):
        name = variable.removeprefix(_PREFIX)
        if name == variable or name in known:
            continue
        # Compared without the prefix: with it, each would be like each.
        if hint := did_you_mean(name, known):
            hint = hint.replace("did you mean ", f"did you mean {_PREFIX}")
            log.warning("the environment variable %s is not read%s", variable, hint)


def settle_settings(options: Mapping[str, Any]) -> Settings:
    """Return settings from keywords and, for the others, from `REDIQ_*` variables."""
    allowed = [field.name for field in attrs.fields(Settings)]
    if unknown := sorted(options.keys() - set(allowed)):
        hint = did_you_mean(unknown[0], allowed)
        raise ConfigError(
            f"unknown setting {unknown[0]!r}{hint or '; there are ' + ', '.join(allowed)}"
        )
    found = dict(options)
    for name in allowed:
        text = os.environ.get(f"REDIQ_{name.upper()}")
        if name not in found and text:
            found[name] = read_setting(name, text)
    return Settings(**found)
