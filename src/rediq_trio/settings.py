"""Settings: all options of `serve`, checked before a connection is opened.

Each can be a keyword, a command line flag or an environment variable (`REDIQ_<NAME>`), in
this order of precedence.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.spec.history.entry import MAX_HISTORY
from rediq_trio.store.redis.durability import Durability, Level
from rediq_trio.values import bounds
from rediq_trio.values.task import DEFAULT_QUEUE

DAY = 86_400.0
MAX_CONCURRENCY = 100_000


class ServeOptions(TypedDict, total=False):
    """The keywords of `serve`; see `Settings`."""

    queues: Sequence[str] | Mapping[str, float]
    concurrency: int
    lease: float
    heartbeat: float | None
    prefetch: int | Literal["auto"]
    shutdown_grace: float
    cleanup_grace: float
    progress_interval: float
    max_payload: int
    key_prefix: str
    name: str
    burst: bool
    threads: int
    dead_retention: float
    max_dead: int
    allow_eviction: bool
    durability: Level
    replicas: int | None
    metrics_port: int | None
    metrics_address: str
    history: int


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


def _check_worker(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= 256 or not value.isprintable():
        raise ConfigError.of("name", value, "1 to 256 printable characters")


def _check_address(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        raise ConfigError.of(
            "metrics_address", value, "an IP address, such as 127.0.0.1 or ::"
        ) from None


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
    lease: float = attrs.field(default=30.0, validator=bounds.number(0.1, 3600))
    """Seconds after which the tasks of a silent worker go to others, 0.1 to 3,600."""
    heartbeat: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(bounds.number(0.01, 1800))
    )
    """Seconds between renewals, at most half the lease; None for a third of it."""
    prefetch: int | Literal["auto"] = attrs.field(default="auto", validator=_check_prefetch)
    """Tasks to claim beyond those that run, 0 to 1,000; "auto" adapts to their duration."""
    shutdown_grace: float = attrs.field(default=30.0, validator=bounds.number(0, DAY))
    """Seconds that running handlers have when the worker stops, 0 to 1 day."""
    cleanup_grace: float = attrs.field(default=5.0, validator=bounds.number(0.1, 3600))
    """Seconds that cancelled handlers have for their clean-up, 0.1 to 3,600."""
    progress_interval: float = attrs.field(default=0.5, validator=bounds.number(0.01, 3600))
    """Seconds between two writes of a task's progress, 0.01 to 3,600."""
    max_payload: int = attrs.field(
        default=bounds.MAX_PAYLOAD, validator=bounds.number(1, 512 * 1024 * 1024, integer=True)
    )
    """Bytes of a packed payload, 1 to 512 MiB."""
    key_prefix: str = attrs.field(default="rediq", validator=bounds.name)
    """The prefix of all keys."""
    name: str = attrs.field(
        factory=lambda: f"{socket.gethostname()}:{os.getpid()}", validator=_check_worker
    )
    """The worker's id."""
    burst: bool = attrs.field(default=False, validator=bounds.one_of(bool))
    """Stop when the queues are empty."""
    threads: int = attrs.field(default=40, validator=bounds.number(1, 10_000, integer=True))
    """Threads for plain `def` handlers, 1 to 10,000."""
    dead_retention: float = attrs.field(
        default=30 * DAY, validator=bounds.number(0, bounds.MAX_RETENTION)
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

    def __attrs_post_init__(self) -> None:
        if self.heartbeat is not None and self.heartbeat > self.lease / 2:
            raise ConfigError.of(
                "heartbeat", self.heartbeat, f"at most half the lease, {self.lease / 2:g}"
            )
        Durability.of(self.durability, self.replicas)

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
    try:
        return _SETTING_READERS[name](text)
    except ValueError:
        raise ConfigError.of(
            name, text, "readable: " + _READABLE_AS.get(name, "a number")
        ) from None


def _parse_prefetch(text: str) -> int | str:
    return text if text == "auto" else int(text)


_SETTING_READERS: Mapping[str, Callable[[str], Any]] = {
    "queues": _parse_queues,
    "concurrency": int,
    "lease": float,
    "heartbeat": float,
    "prefetch": _parse_prefetch,
    "shutdown_grace": float,
    "cleanup_grace": float,
    "progress_interval": float,
    "max_payload": int,
    "key_prefix": str,
    "name": str,
    "burst": _parse_flag,
    "threads": int,
    "dead_retention": float,
    "max_dead": int,
    "allow_eviction": _parse_flag,
    "durability": str,
    "replicas": int,
    "metrics_port": int,
    "metrics_address": str,
    "history": int,
}

_READABLE_AS = {
    "queues": "names as a,b or weights as a=3,b=1",
    "prefetch": "auto or a whole number",
    "burst": "true or false",
    "allow_eviction": "true or false",
}


def settle_settings(options: Mapping[str, Any]) -> Settings:
    """Return settings from keywords and, for the others, from `REDIQ_*` variables."""
    allowed = [field.name for field in attrs.fields(Settings)]
    if unknown := sorted(options.keys() - set(allowed)):
        raise ConfigError(f"unknown setting {unknown[0]!r}; there are {', '.join(allowed)}")
    found = dict(options)
    for name in allowed:
        text = os.environ.get(f"REDIQ_{name.upper()}")
        if name not in found and text:
            found[name] = read_setting(name, text)
    return Settings(**found)
