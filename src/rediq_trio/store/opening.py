"""open_store: opens the store that a URL names."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial

import trio

from rediq_trio._errors import ConfigError, ConnectionLost, quote
from rediq_trio.store.call_meter import CallMeter
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.named_memory import named_store, opened
from rediq_trio.store.port import Store
from rediq_trio.store.redis.connection.timeouts import RESPONSE_TIMEOUT
from rediq_trio.store.redis.durability import Durability
from rediq_trio.store.retrying import until_answered
from rediq_trio.store.urls import embedded_folder, redacted, scheme_of
from rediq_trio.values.bounds import NAME_BOUND, is_name

OLDEST_SERVER = (6, 2)
FSYNC_SERVER = (7, 2)
"""The first version with `WAITAOF`. Valkey 8 reports 7.2, the Redis it is compatible with."""
IN_MEMORY = Durability()
CONNECT_LOG_INTERVAL = 10.0
"""Seconds between two log lines about a server that is waited for."""

log = logging.getLogger("rediq_trio")


@asynccontextmanager
async def open_store(
    url: str | Store,
    *,
    key_prefix: str = "rediq",
    allow_eviction: bool = False,
    durability: Durability = IN_MEMORY,
    response_timeout: float = RESPONSE_TIMEOUT,
    connect_patience: float = 0.0,
    meter: CallMeter | None = None,
) -> AsyncGenerator[Store]:
    """Open the store that the URL names, and close it after the block.

    A store in place of the URL is yielded unchanged and stays open. `response_timeout` is the time
    in seconds that Redis may take to answer before the connection is closed. A server that cannot be
    reached is tried again for `connect_patience` seconds. `meter` counts the calls of a server.
    Raises `ConfigError` for a bad URL, for a server that is older than 6.2, may evict keys (unless
    `allow_eviction`) or cannot confirm writes as `durability` asks, and `ConnectionLost` if the
    server cannot be reached.
    """
    if not isinstance(url, str):
        if not hasattr(url, "claim"):
            raise ConfigError.of("url", url, "a URL or a store")
        yield url
        return
    scheme = scheme_of(url)
    if scheme == "memory":
        if durability.command:
            raise ConfigError.of(
                "durability", durability.level, "memory: memory:// ends with its process"
            )
        with opened(_memory(url)) as store:
            yield store
        return
    async with AsyncExitStack() as stack:
        if scheme == "embedded":
            from rediq_trio.store.embedded import open_embedded

            url = await stack.enter_async_context(open_embedded(embedded_folder(url)))
        server = partial(
            _open_server, url, key_prefix, allow_eviction, durability, response_timeout, meter
        )
        yield await _wait_open(stack, server, connect_patience)


async def _wait_open(
    stack: AsyncExitStack,
    server: Callable[[], AbstractAsyncContextManager[Store]],
    patience: float,
) -> Store:
    """Open a server's store, and try again for `patience` seconds while it cannot be reached."""
    begun, logged_at = trio.current_time(), -math.inf

    def log_failure(lost: ConnectionLost) -> None:
        nonlocal logged_at
        now = trio.current_time()
        left = begun + patience - now
        if (
            left > 0
            and now - logged_at >= CONNECT_LOG_INTERVAL
            and not isinstance(lost, ConfigError)
        ):
            logged_at = now
            end = "" if str(lost).endswith("?") else "."
            log.warning("%s%s Trying again for up to %.0f s", lost, end, left)

    store = await until_answered(
        lambda: stack.enter_async_context(server()), give_up_after=patience, on_failure=log_failure
    )
    if logged_at >= begun:
        log.warning("Redis was reached after %.0f s", trio.current_time() - begun)
    return store


def _memory(url: str) -> MemoryStore:
    name = url.partition("://")[2]
    if not name:
        return MemoryStore()
    if not is_name(name):
        raise ConfigError.of("url", redacted(url), f"memory:// and, if any, a name, {NAME_BOUND}")
    return named_store(name)


@asynccontextmanager
async def _open_server(
    url: str,
    key_prefix: str,
    allow_eviction: bool,
    durability: Durability,
    response_timeout: float,
    meter: CallMeter | None,
) -> AsyncGenerator[Store]:
    # Imported late: redis-py and trio-asyncio take a while, and memory:// has no need of them.
    from rediq_trio.store.redis.connection.gateway import open_gateway, parse_address
    from rediq_trio.store.redis.keys import Keys
    from rediq_trio.store.redis.scripts import open_scripts
    from rediq_trio.store.redis.store import RedisStore

    keys = Keys(key_prefix)
    scripts = open_scripts()
    opened = open_gateway(parse_address(url), keys, durability, response_timeout)
    async with opened as gateway:
        product = ""
        for node, info in (await gateway.call_each(b"INFO")).items():
            product = product or product_of(info_fields(info))
            where = str(redacted(url)) if len(gateway.nodes) == 1 else str(node)
            _check_server(where, info_fields(info), allow_eviction=allow_eviction)
            if durability.level == "fsynced":
                _check_fsync(where, info_fields(info))
        yield RedisStore(gateway, scripts, keys, meter=meter, product=product)


def _check_server(where: str, info: dict[str, str], *, allow_eviction: bool) -> None:
    version = info.get("redis_version", "0.0")
    if version_parts(version) < OLDEST_SERVER:
        raise ConfigError(f"the server at {where} is Redis {version}: 6.2 or later is needed")
    if info.get("redis_mode") == "sentinel":
        raise ConfigError(
            f"the server at {where} is a Sentinel: connect as redis+sentinel://host:port/service"
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys") and not allow_eviction:
        raise ConfigError(
            f"the server at {where} has maxmemory-policy {quote(policy)}, which may drop "
            "tasks: set it to noeviction, or pass allow_eviction=True and accept the loss"
        )


def _check_fsync(where: str, info: dict[str, str]) -> None:
    version = info.get("redis_version", "0.0")
    if version_parts(version) < FSYNC_SERVER:
        raise ConfigError(
            f"durability='fsynced': the server at {where} is Redis {version}; WAITAOF needs 7.2 or "
            "Valkey. Use durability='replicated', or 'memory' with appendfsync always"
        )
    if info.get("aof_enabled") != "1":
        raise ConfigError(
            f"durability='fsynced': the server at {where} keeps no append-only file: set appendonly yes"
        )


def product_of(info: Mapping[str, str]) -> str:
    """Return what a server is, with its version: "Redis 7.2.4", "Valkey 8.1.1"."""
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', '')}".rstrip()


def version_parts(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a server's version."""
    return tuple(map(int, version.split(".")[:2]))


def info_fields(info: bytes) -> dict[str, str]:
    """Return what a server says of itself, by its names."""
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
