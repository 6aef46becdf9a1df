"""open_store: opens the store that a URL names."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import attrs
import trio

from rediq_trio._errors import ConfigError, quote
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.port import Store
from rediq_trio.store.redis.connection.timeouts import RESPONSE_TIMEOUT
from rediq_trio.store.redis.durability import Durability
from rediq_trio.store.urls import embedded_folder, redacted, scheme_of
from rediq_trio.values.bounds import NAME_BOUND, is_name

_SHARED: trio.lowlevel.RunVar[dict[str, MemoryStore]] = trio.lowlevel.RunVar("rediq_memory_stores")
"""The named memory stores of one `trio.run`, which they end with."""

OLDEST_SERVER = (6, 2)
FSYNC_SERVER = (7, 2)
"""The first version with `WAITAOF`. Valkey 8 reports 7.2, the Redis it is compatible with."""
IN_MEMORY = Durability()


@asynccontextmanager
async def open_store(
    url: str | Store,
    *,
    key_prefix: str = "rediq",
    allow_eviction: bool = False,
    durability: Durability = IN_MEMORY,
    response_timeout: float = RESPONSE_TIMEOUT,
) -> AsyncGenerator[Store]:
    """Open the store that the URL names, and close it after the block.

    A store in place of the URL is yielded unchanged and stays open. `response_timeout` is the time
    in seconds that Redis may take to answer before the connection is closed. Raises `ConfigError`
    for a bad URL, for a server that is older than 6.2, may evict keys (unless `allow_eviction`)
    or cannot confirm writes as `durability` asks, and `ConnectionLost` if the server cannot be
    reached.
    """
    if not isinstance(url, str):
        if not hasattr(url, "claim"):
            raise ConfigError.of("url", url, "a URL or a store")
        yield url
        return
    scheme = scheme_of(url)
    options = _Options(key_prefix, allow_eviction, durability, response_timeout)
    match scheme:
        case "memory":
            if durability.command:
                raise ConfigError.of(
                    "durability", durability.level, "memory: memory:// ends with its process"
                )
            yield _memory(url)
        case "embedded":
            from rediq_trio.store.embedded import open_embedded

            async with (
                open_embedded(embedded_folder(url)) as private,
                _open_server(private, options) as store,
            ):
                yield store
        case _:
            async with _open_server(url, options) as store:
                yield store


@attrs.frozen
class _Options:
    key_prefix: str
    allow_eviction: bool
    durability: Durability
    response_timeout: float


def _memory(url: str) -> MemoryStore:
    name = url.partition("://")[2]
    if not name:
        return MemoryStore()
    if not is_name(name):
        raise ConfigError.of("url", redacted(url), f"memory:// and, if any, a name, {NAME_BOUND}")
    try:
        _SHARED.get()
    except LookupError:
        _SHARED.set({})
    return _SHARED.get().setdefault(name, MemoryStore())


@asynccontextmanager
async def _open_server(url: str, options: _Options) -> AsyncGenerator[Store]:
    # Imported late: trio_asyncio patches asyncio for the whole process, for which a user of
    # memory:// has no need.
    from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
    from rediq_trio.store.redis.keys import Keys
    from rediq_trio.store.redis.scripts import load_scripts
    from rediq_trio.store.redis.store import RedisStore

    keys = Keys(options.key_prefix)
    scripts = load_scripts()
    opened = open_gateway(parse_address(url), keys, options.durability, options.response_timeout)
    async with opened as gateway:
        for node, info in (await gateway.call_each(b"INFO")).items():
            where = str(redacted(url)) if len(gateway.nodes) == 1 else str(node)
            _check_server(where, _fields(info), options)
        yield RedisStore(gateway, scripts, keys)


def _check_server(where: str, info: dict[str, str], options: _Options) -> None:
    version = info.get("redis_version", "0.0")
    if _parts(version) < OLDEST_SERVER:
        raise ConfigError(f"the server at {where} is Redis {version}: 6.2 or later is needed")
    if info.get("redis_mode") == "sentinel":
        raise ConfigError(
            f"the server at {where} is a Sentinel: connect as redis+sentinel://host:port/service"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys") and not options.allow_eviction:
        raise ConfigError(
            f"the server at {where} has maxmemory-policy {quote(policy)}, which may drop "
            "tasks: set it to noeviction, or pass allow_eviction=True and accept the loss"
        )
    if options.durability.level == "fsynced":
        _check_fsync(where, version, info)


def _check_fsync(where: str, version: str, info: dict[str, str]) -> None:
    if _parts(version) < FSYNC_SERVER:
        raise ConfigError(
            f"durability='fsynced': the server at {where} is Redis {version}; WAITAOF needs 7.2 or "
            "Valkey. Use durability='replicated', or 'memory' with appendfsync always"
        )
    if info.get("aof_enabled") != "1":
        raise ConfigError(
            f"durability='fsynced': the server at {where} keeps no append-only file: set appendonly yes"
        )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))


def _fields(info: bytes) -> dict[str, str]:
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
