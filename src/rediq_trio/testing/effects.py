"""Effects: what calls did to the store, each with a number by which a fault can name it.

The number counts the effects of that name on one host, so that it does not shift when something
else is removed from a plan. A call of a rule that changed nothing, such as a claim without a task, is
no effect. A `settle` is also one effect of each transition that it wrote: `complete`, `fail`, and so
on. `step` is a step of a handler, from one checkpoint to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from rediq_trio.spec.operations import OPERATIONS
from rediq_trio.spec.records import QueueState
from rediq_trio.spec.settle import TRANSITION_OF
from rediq_trio.store.port import READS, WRITES

HANDLER_STEP = "step"
"""The name of a step of a handler."""
EFFECT_NAMES = frozenset(
    {*OPERATIONS, *READS, *WRITES, *(each.value for each in TRANSITION_OF.values()), HANDLER_STEP}
)


@attrs.frozen(kw_only=True)
class Effect:
    """What one call did to the store, or one step of a handler."""

    at: float
    """Simulated seconds since the beginning."""
    host: str
    name: str
    """The name of the operation, of the other method of the store, or `step`."""
    numbers: Mapping[str, int]
    """How many effects of that name the host has had with this one; of a `settle` also by transition."""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    answer: Any = None
    error: Exception | None = None

    @property
    def nth(self) -> int:
        """The number of the effect among those of its name on its host, from 1."""
        return self.numbers[self.name]

    @property
    def queue(self) -> str | None:
        """The queue of an operation, or its partition."""
        operation = self.name in OPERATIONS
        return self.args[0] if operation else None

    def __str__(self) -> str:
        said = [repr(each) for each in self.args]
        said += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        outcome = self.error if self.error is not None else self.answer
        return f"{self.at:.6f} {self.host} {self.name}#{self.nth}({', '.join(said)}) -> {outcome!r}"


@attrs.frozen
class QueueChange:
    """A queue before and after an effect."""

    before: QueueState
    after: QueueState


class History:
    """The effects of a simulation, in order, and a digest of everything that happened in it."""

    def __init__(self) -> None:
        self._effects: list[Effect] = []
        self._hash = hashlib.sha256()

    def add(self, effect: Effect) -> None:
        """Add an effect."""
        self._effects.append(effect)
        self.note(str(effect))

    def note(self, line: str) -> None:
        """Add a line to the digest only."""
        self._hash.update(line.encode() + b"\n")

    @property
    def digest(self) -> str:
        """The digest of all that was noted: equal for two runs that were the same."""
        return self._hash.hexdigest()

    def __len__(self) -> int:
        return len(self._effects)

    def __iter__(self) -> Iterator[Effect]:
        return iter(self._effects)

    def __getitem__(self, index: int) -> Effect:
        return self._effects[index]

    def since(self, number: int) -> Sequence[Effect]:
        """Return the effects after the first `number`."""
        return self._effects[number:]


class EffectCounts:
    """How many effects of each name each host has had."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, host: str, name: str) -> int:
        """Return how many effects of a name a host has had."""
        return self._counts.get((host, name), 0)

    def next(self, host: str, names: Sequence[str]) -> dict[str, int]:
        """Return the numbers that the next effect of these names has."""
        return {name: self._counts.get((host, name), 0) + 1 for name in names}

    def record(self, host: str, numbers: Mapping[str, int]) -> None:
        """Count an effect."""
        for name, number in numbers.items():
            self._counts[host, name] = number


def names_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names under which the effect of a call is counted."""
    if name != "settle":
        return (name,)
    outcomes = kwargs["outcomes"] if "outcomes" in kwargs else args[-1]
    kinds = {TRANSITION_OF[type(outcome)].value: None for outcome in outcomes}
    return (name, *kinds)
