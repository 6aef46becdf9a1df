"""named_store: the store of `memory://name`, which all that open it in one process share.

It lives as long as a `trio.run` that has opened it: the next one begins with an empty store, so a
test that leaves tasks behind does not disturb another one. Clients for blocking code and for asyncio
are a `trio.run` each, which ends when they are closed.
"""

from __future__ import annotations

import os
import threading

import attrs
import trio

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
