"""The stores of `memory://` and `memory://name`: the latter is shared by all that open it in one process.

It lives as long as a `trio.run` that has opened it: the next one begins with an empty store, so a
test that leaves tasks behind does not disturb another one. Clients for blocking code and for asyncio
are a `trio.run` each, which ends when they are closed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any

import attrs
import trio

from rediq_trio._errors import ClientClosed
from rediq_trio.store.memory import MemoryStore


@attrs.frozen
class _NamedStore:
    store: MemoryStore
    runs: set[trio.lowlevel.TrioToken]


_NAMED: dict[tuple[int, str], _NamedStore] = {}
"""By process, because a fork copies the dictionary, and by name. Changed under `_LOCK` only."""
_LOCK = threading.Lock()


def named_store(name: str) -> MemoryStore:
    """Return the store of this name, which lives as long as a run that has opened it."""
    here, key = trio.lowlevel.current_trio_token(), (os.getpid(), name)
    with _LOCK:
        for other, named in tuple(_NAMED.items()):
            if other[0] != key[0] or not any(token is here or _runs(token) for token in named.runs):
                del _NAMED[other]
        named = _NAMED.setdefault(key, _NamedStore(MemoryStore(), set()))
        named.runs.add(here)
        return named.store


def _runs(token: trio.lowlevel.TrioToken) -> bool:
    try:
        token.run_sync_soon(bool)  # does nothing, but fails when the run has ended
    except trio.RunFinishedError:
        return False
    return True


class _OpenedStore(MemoryStore):
    """A store as one client has opened it. All that have opened it share the attributes."""

    __slots__ = ("_checkpoint",)  # its own, because each is closed by itself
    _checkpoint: Callable[[], Coroutine[Any, Any, None]]


async def _refuse() -> None:
    await trio.lowlevel.checkpoint()
    raise ClientClosed("rediq.connect()")


@contextmanager
def opened(store: MemoryStore) -> Generator[MemoryStore]:
    """Yield a store for one client, whose calls are refused after the block."""
    mine = _OpenedStore.__new__(_OpenedStore)
    mine.__dict__ = store.__dict__
    mine._checkpoint = trio.lowlevel.checkpoint
    try:
        yield mine
    finally:
        mine._checkpoint = _refuse
