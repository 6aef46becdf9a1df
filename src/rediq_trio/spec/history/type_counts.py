"""What a queue keeps of its attempts by type: counts by outcome, and how long they waited and ran.

A worker adds up what it has seen, and passes it on now and then. The step in progress is exact. When
it is over, the counts of its buckets are kept as codes of one byte: up to 15 as they are, above
within 1 part in 16. Outcomes stay exact. So 200 types of a day take less than 2 MB.

A type has an index. When there are more types than are kept apart, a busier one takes the index of
the one with the least weight, and what that one did is of the other types from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import attrs

TYPE_OUTCOMES = (
    "completed", "failed", "timed_out", "snoozed", "cancelled", "released", "lost", "ended_otherwise",
)  # fmt: skip
"""How attempts end, in the order of their counts; the last is for what a newer version adds."""
BUCKETS = 24
"""Buckets of durations: those of `values.histogram.DURATION_BOUNDS`, and one beyond."""
WAITS_AT = len(TYPE_OUTCOMES)
RUNS_AT = WAITS_AT + BUCKETS
COUNTS = RUNS_AT + BUCKETS
"""Numbers of a type: its outcomes, the buckets of waiting, then those of running."""

TYPES_FORMAT = 1
"""The format of what is stored; a newer one is left alone."""
TYPES_STEP_MS = 300_000
TYPES_STEPS = 288
"""Steps that are kept before the one in progress: a day."""
TYPES_KEPT = 200
"""Types that are kept apart; index 0 is for all others."""
TYPES_BYTES = 1_450_000
"""Bytes of ended steps that are kept at most, as `step_size` counts them; the oldest go first."""
TYPE_STEP_BYTES = 64
"""What a stored step takes beside its cells."""
TALLY_FORGOTTEN = 12
"""Steps after which the last tally of a worker is forgotten."""
STEPS_READ = 72
"""Steps that are read in one call."""
WEIGHT = 1024
"""What one attempt adds to the weight of its type."""
WEIGHT_KEPT, WEIGHT_OF = 31, 32
"""Of each weight, so many parts of so many are left after a step: half of it after two hours."""
WEIGHT_MAX = 2**45
TYPE_COUNT_MAX = 2**24 - 1
"""The highest number of a count; what is higher is kept as this."""

TypeCounts = tuple[int, ...]
"""The numbers of one type; `COUNTS` of them."""
NO_COUNTS: TypeCounts = (0,) * COUNTS


@attrs.frozen
class KeptType:
    """A type that is kept apart. Its index is its place among them, from 1 on."""

    name: str
    since: int
    """The first step in which its index is its own."""
    weight: int
    """How busy it was, the last steps most."""


@attrs.frozen
class LastTally:
    """The last that a worker passed on."""

    number: int
    step: int


@attrs.frozen
class QueueTypes:
    """The attempts of a queue by type."""

    step: int = -1
    """The step in progress; -1 before the first."""
    kept: tuple[KeptType, ...] = ()
    current: Mapping[int, TypeCounts] = MappingProxyType({})
    """Index -> its counts in that step, exact."""
    ended: Mapping[int, Mapping[int, TypeCounts]] = MappingProxyType({})
    """Step -> index -> its outcomes, and the codes of its buckets."""
    tallies: Mapping[bytes, LastTally] = MappingProxyType({})
    """Key of a worker -> its last tally."""


NO_TYPES = QueueTypes()


@attrs.frozen
class Tallied:
    """The answer to `tally`."""

    counted: bool
    """False if it was counted before, or cannot be kept."""
    ended: bool = False
    """Whether this call ended a step."""


@attrs.frozen
class TypesRead:
    """Some steps, read at one instant."""

    now_ms: int
    types: QueueTypes
    """With these steps only, and without the tallies of the workers."""
    following_ms: int
    """From when on to read the next steps; 0 if there are none."""


def code_of(count: int) -> int:
    """Return the byte that a count of a bucket is kept as; a higher count has no lower one."""
    halved = 0
    while count > 15:
        count //= 2
        halved += 1
    return 8 * halved + count


def count_of(code: int) -> int:
    """Return the middle of the counts that are kept as a code."""
    halved = max(0, code // 8 - 1)
    return ((code - 8 * halved) << halved) + ((1 << halved) >> 1)


def as_codes(counts: TypeCounts) -> TypeCounts:
    """Return what is kept of the counts of an ended step."""
    return (*counts[:WAITS_AT], *map(code_of, counts[WAITS_AT:]))


def as_counts(codes: TypeCounts) -> TypeCounts:
    """Return the counts of an ended step, as far as they are known."""
    return (*codes[:WAITS_AT], *map(count_of, codes[WAITS_AT:]))


def step_size(cells: Mapping[int, TypeCounts]) -> int:
    """Return the bytes that an ended step takes."""
    return TYPE_STEP_BYTES + sum(
        6
        + 3 * sum(map(bool, cell[:WAITS_AT]))
        + _span(cell[WAITS_AT:RUNS_AT])
        + _span(cell[RUNS_AT:])
        for cell in cells.values()
    )


def _span(buckets: TypeCounts) -> int:
    """Return how many buckets there are from the first that is not 0 to the last."""
    used = [at for at, count in enumerate(buckets) if count]
    return used[-1] - used[0] + 1 if used else 0
