"""How many partitions a queue has, and what shows that the number was lost.

The number is noted in two places: as itself, and in the names of the queues that were ever
used, where a partition is `<queue>~<number>`. The higher of the two holds, so that no task
lies where nobody looks when one of them is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import attrs

from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation

_PARTITION_NAME = re.compile(r"[a-zA-Z0-9._:-]{1,128}~([0-9]|[1-9][0-9])")
ABOUT = Target(TargetType.QUEUE, "partitions")
ACTIONS = frozenset({Action.PARTITIONS})


@attrs.frozen
class PartitionCount:
    """How many partitions a queue has; 1 where it is not partitioned."""

    recorded: int = 1
    named: int = 1
    """What the names of the queues say."""

    @property
    def count(self) -> int:
        """The number that holds."""
        return max(self.recorded, self.named)


def partition_number(name: str) -> int | None:
    """Return the number of the partition that a name stands for; None for any other name."""
    found = _PARTITION_NAME.fullmatch(name)
    return None if found is None else int(found[1])


def count_partitions(
    recorded: Mapping[str, int], names: Iterable[str]
) -> dict[str, PartitionCount]:
    """Return the counts of all partitioned queues, from what is noted and from the names."""
    found = {queue: PartitionCount(count) for queue, count in recorded.items()}
    for name in names:
        number = partition_number(name)
        if number is None:
            continue
        queue = name.partition("~")[0]
        known = found.get(queue, PartitionCount())
        # A queue of one partition has no name with a number: `~0` alone says that there are two.
        found[queue] = attrs.evolve(known, named=max(known.named, number + 1, 2))
    return found


def lapsed_names(queue: str, count: int, names: Iterable[str]) -> list[str]:
    """Return the names of the partitions that a queue of `count` does not have."""
    return [
        name
        for name in names
        if name.partition("~")[0] == queue
        and (number := partition_number(name)) is not None
        and (count == 1 or number >= count)
    ]


def partition_violations(counted: PartitionCount) -> Iterator[Violation]:
    """Check that the noted number is not lower than what the names say."""
    if counted.recorded < counted.named:
        recorded_as = f"{counted.recorded} {'is' if counted.recorded == 1 else 'are'} noted"
        text = f"has {counted.named} partitions by the names of queues, and {recorded_as}"
        yield Violation(2, "", text, ABOUT)


def partition_repairs(counted: PartitionCount) -> Iterator[Repair]:
    """Return how a number that was lost is put right."""
    if counted.recorded < counted.named:
        yield Repair(Action.PARTITIONS, ABOUT, f"{counted.recorded}", f"{counted.named}",
                     "the highest partition that has a name is the last one")  # fmt: skip
