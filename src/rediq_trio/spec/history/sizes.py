"""How much all statistics of a key prefix take together, and which queue loses some of its own.

The worker that begins a chunk of a queue's series notes the bytes that the queue has by then. If all
are more than they may be, it is answered which queues lose how much: first those that were longest not
used. So a size is as old as the chunk in progress, up to 10 minutes, and an idle queue costs no
command.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

STATISTICS_BYTES = 60_000_000
"""What all noted sizes together may be. It is less than 64 MB by what queues in use add unnoted."""
TRIMMED_AT_ONCE = 8
"""Queues that one call asks to be trimmed, at most."""


@attrs.frozen
class Excess:
    """What a queue is to lose."""

    queue: str
    shed: int
    """Bytes."""


@attrs.frozen
class StatisticsSizes:
    """The noted sizes."""

    sizes: Mapping[str, int] = MappingProxyType({})
    """Queue -> its bytes."""
    used: Mapping[str, int] = MappingProxyType({})
    """Queue -> when it was last used, or could lose no more; who is first loses first."""


def note_size(
    kept: StatisticsSizes, now: int, queue: str, size: int, *, last: bool, most: int
) -> tuple[StatisticsSizes, tuple[Excess, ...]]:
    """Note the bytes of a queue, 0 to forget it; return what is to be removed if all have more than `most`.

    `last` puts off its turn until those of all others. `most` 0 asks for nothing.
    """
    sizes = {name: of for name, of in kept.sizes.items() if name != queue}
    used = {name: at for name, at in kept.used.items() if name != queue}
    if size:
        sizes[queue] = size
        used[queue] = now if last else kept.used.get(queue, now)
    excess = sum(sizes.values()) - most
    found: list[Excess] = []
    first = sorted(used, key=lambda name: (used[name], name.encode()))
    for name in first[:TRIMMED_AT_ONCE] if most else ():
        if excess > 0:
            found.append(Excess(name, min(excess, sizes[name])))
            excess -= sizes[name]
    return StatisticsSizes(MappingProxyType(sizes), MappingProxyType(used)), tuple(found)
