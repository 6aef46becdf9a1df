"""How many partitions a queue has, and how a lost number is noticed.

The number is stored twice: by itself, and in the set of queues that were ever used, which has the
name `<queue>~<number>` for each partition. The higher of the two applies, so if one is lost, every
partition with tasks is still served.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import attrs

from rediq_trio.spec.check.findings import Action, Repair, Target, TargetType, Violation

_PARTITION_NAME = re.compile(r"[a-zA-Z0-9._:-]{1,128}~([0-9]|[1-9][0-9])")
ABOUT = Target(TargetType.QUEUE, "partitions")


@attrs.frozen
class PartitionCount:
    """How many partitions a queue has; 1 where it is not partitioned."""

    recorded: int = 1
    named: int = 1
    """The number that the names of the queues imply."""

    @property
    def count(self) -> int:
        """The number that applies."""
        return max(self.recorded, self.named)


def partition_number(name: str) -> int | None:
    """Return the number of the partition that a name is for; None for any other name."""
    found = _PARTITION_NAME.fullmatch(name)
    return None if found is None else int(found[1])


def count_partitions(
    recorded: Mapping[str, int], names: Iterable[str]
) -> dict[str, PartitionCount]:
    """Return the counts of all partitioned queues, from the recorded numbers and the names."""
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
    """Check that the recorded number is not lower than what the names imply."""
    if counted.recorded < counted.named:
        recorded_as = f"{counted.recorded} {'is' if counted.recorded == 1 else 'are'} noted"
        text = f"has {counted.named} partitions by the names of queues, and {recorded_as}"
        yield Violation(2, "", text, ABOUT)


def partition_repairs(counted: PartitionCount) -> Iterator[Repair]:
    if counted.recorded < counted.named:
        yield Repair(Action.PARTITIONS, ABOUT, f"{counted.recorded}", f"{counted.named}",
                     "the highest partition that has a name is the last one")  # fmt: skip
