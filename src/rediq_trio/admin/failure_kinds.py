"""The kinds of failure of a queue, of all its partitions."""

from __future__ import annotations

from collections.abc import Sequence

from rediq_trio._errors import ConfigError, did_you_mean
from rediq_trio.spec.history.kinds import StoredKind
from rediq_trio.store.port import Store
from rediq_trio.tasks.failure_kinds import make_failure_kind
from rediq_trio.tasks.for_each import call_each
from rediq_trio.values.observed.failure_kind import FailureKind


async def read_failures(store: Store, partitions: Sequence[str]) -> tuple[FailureKind, ...]:
    """Read the kinds of failure of a queue; see `Queue.failures`."""
    found: dict[str, list[tuple[str, StoredKind]]] = {}
    reads = await call_each(partitions, store.failure_kinds)
    for partition, kinds in zip(partitions, reads, strict=True):
        for name, stored in kinds.items():
            found.setdefault(name, []).append((partition, stored))
    made = (make_failure_kind(name, each) for name, each in found.items())
    # Kinds of one millisecond keep the order in which their queue has them.
    return tuple(sorted(made, key=lambda kind: kind.last_seen, reverse=True))


async def check_kind(store: Store, queue: str, partitions: Sequence[str], kind: object) -> str:
    """Return the kind; raise `ConfigError` if the queue has none of this name."""
    known = {each for kinds in await call_each(partitions, store.failure_kinds) for each in kinds}
    if isinstance(kind, str) and kind in known:
        return kind
    like = did_you_mean(kind, sorted(known)) if isinstance(kind, str) else ""
    expected = f"a kind that failures() of the queue {queue} returns"
    raise ConfigError(f"{ConfigError.of('kind', kind, expected)}{like}")
