"""open_store: from a URL to a running store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from rediq_trio._errors import ConfigError, shown
from rediq_trio.spec.limits import NAME_BOUND, is_name
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.port import Store
from rediq_trio.store.urls import embedded_folder, redacted, scheme_of

if TYPE_CHECKING:
    from rediq_trio.store.gateway import Gateway

_SHARED: trio.lowlevel.RunVar[dict[str, MemoryStore]] = trio.lowlevel.RunVar("rediq_memory_stores")
"""The named memory stores of one `trio.run`; they end with it."""

OLDEST_SERVER = (6, 2)


@asynccontextmanager
async def open_store(
    url: str | Store, *, key_prefix: str = "rediq", allow_eviction: bool = False
) -> AsyncGenerator[Store]:
    """Open what the URL names and close it behind the block.

    A store is given back as it is and stays open. Raises `ConfigError` for a bad
    URL, a server older than 6.2 or one that may evict keys (unless
    `allow_eviction`), and `ConnectionLost` when it cannot be reached.
    """
    if not isinstance(url, str):
        if not hasattr(url, "claim"):
            raise ConfigError.of("url", url, "a URL or a store")
        yield url
        return
    scheme = scheme_of(url)
    match scheme:
        case "memory":
            yield _memory(url)
        case "embedded":
            from rediq_trio.store.embedded import open_embedded

            async with (
                open_embedded(embedded_folder(url)) as private,
                _open_server(private, key_prefix, allow_eviction) as store,
            ):
                yield store
        case _:
            async with _open_server(url, key_prefix, allow_eviction) as store:
                yield store


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
async def _open_server(url: str, key_prefix: str, allow_eviction: bool) -> AsyncGenerator[Store]:
    # Late: importing trio_asyncio patches asyncio for the whole process, which a user
    # of memory:// need not have.
    from rediq_trio.store.gateway import open_gateway, parse_address
    from rediq_trio.store.keys import Keys
    from rediq_trio.store.redis import RedisStore
    from rediq_trio.store.scripts import load_scripts

    keys = Keys(key_prefix)
    scripts = load_scripts()

    async with open_gateway(parse_address(url), keys) as gateway:
        await _check_server(gateway, url, allow_eviction)
        yield RedisStore(gateway, scripts, keys)


async def _check_server(gateway: Gateway, url: str, allow_eviction: bool) -> None:
    info = _fields(await gateway.call(b"INFO"))
    version = info.get("redis_version", "0.0")
    if tuple(map(int, version.split(".")[:2])) < OLDEST_SERVER:
        raise ConfigError(f"the server at {redacted(url)} is Redis {version}: 6.2 or later is needed")
    policy = info.get("maxmemory_policy", "noeviction")
    if policy.startswith("allkeys") and not allow_eviction:
        raise ConfigError(
            f"the server at {redacted(url)} has maxmemory-policy {shown(policy)}, which may drop "
            "tasks: set it to noeviction, or pass allow_eviction=True and accept the loss"
        )


def _fields(info: bytes) -> dict[str, str]:
    lines = info.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)
