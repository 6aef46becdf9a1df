"""Shrink a failing plan: remove parts, then make what is left simpler.

Delta debugging over the plan as a value [Zeller and Hildebrandt, Simplifying and isolating
failure-inducing input, 2002], then a fixed order of simpler values, until none of them fails
any more. A smaller number of an effect is tried with all parts and with what came before removed:
the fifth claim may fail only because four others came first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import attrs

from rediq_trio.testing.fleets.plan import Fault, FaultKind, FaultPlan, StepOrder, Work
from rediq_trio.values import bounds

MOST_RUNS = 400
"""Runs that shrinking may take."""
SMALL_NTH = 8
"""Numbers of an effect that are tried one by one; above, halves."""
T = TypeVar("T")


@attrs.frozen
class Shrunk:
    """The smallest plan that was found to fail, and what it took."""

    plan: FaultPlan
    runs: int
    finished: bool
    """Whether nothing simpler is left to try; else the runs were used up."""


def shrink(
    plan: FaultPlan, fails: Callable[[FaultPlan], bool], *, most_runs: int = MOST_RUNS
) -> Shrunk:
    """Return a plan that fails as this one does and is no larger.

    `fails` runs a plan and returns whether it fails in the same way; it is called at most `most_runs`
    times. A plan that is returned as finished is one that shrinking leaves as it is.
    """
    bounds.check_number("most_runs", most_runs, 0, 1_000_000, integer=True)
    return _Shrinking(plan, fails, most_runs).run()


def weight(plan: FaultPlan) -> tuple[float, ...]:
    """Return how large a plan is, to compare: its parts first, then how simple they are."""
    return (
        plan.size,
        plan.servers,
        plan.noise,
        plan.order is not StepOrder.UNIFORM,
        sum(fault.effect is None for fault in plan.faults),
        sum(_KIND_ORDER[fault.kind] for fault in plan.faults),
        sum(fault.nth for fault in plan.faults),
        sum(len(work.actions) for work in plan.works),
        sum(_spelling(number) for number in _numbers(plan)),
        sum(_numbers(plan)),
        sum(work.client for work in plan.works),
        sum(_number_of(fault.host) for fault in plan.faults),
        sum(fault.hangs for fault in plan.faults),
        plan.seconds,
    )


_KIND_ORDER: Mapping[FaultKind, int] = MappingProxyType({k: n for n, k in enumerate(FaultKind)})
"""How simple a kind is to a reader: a process that is killed is simplest."""


def _number_of(host: str) -> int:
    digits = host.lstrip("cw")
    return int(digits) if digits.isdecimal() else 0


def _numbers(plan: FaultPlan) -> Iterator[float]:
    for work in plan.works:
        yield work.at
        yield from (action.after for action in work.actions)
    for fault in plan.faults:
        yield fault.at or 0.0
        yield fault.seconds


def _spelling(number: float) -> int:
    return 0 if number == 0 else len(f"{number:g}")


class _Shrinking:
    """The smallest plan so far, and the runs that are left."""

    def __init__(
        self, plan: FaultPlan, fails: Callable[[FaultPlan], bool], most_runs: int
    ) -> None:
        self.plan, self._fails, self._most = plan, fails, most_runs
        self._seen = dict[str, bool]()
        self._runs = 0
        self._cut_short = False

    def run(self) -> Shrunk:
        while True:
            before = self.plan
            # First what makes all later runs shorter.
            self._try(attrs.evolve(self.plan, noise=False, order=StepOrder.UNIFORM))
            self._try(attrs.evolve(self.plan, order=StepOrder.UNIFORM))
            self._fewer_servers()
            self._remove("faults")
            self._remove("works")
            self._each("faults", _simpler_faults)
            self._each("works", _simpler_works)
            self._shorter_storm()
            if self.plan == before or self._cut_short:
                return Shrunk(self.plan, self._runs, finished=not self._cut_short)

    def _try(self, plan: FaultPlan) -> bool:
        """Take a plan in place of the smallest so far, if it is smaller and fails."""
        if weight(plan) >= weight(self.plan):
            return False
        key = repr(plan)
        if key not in self._seen:
            if self._runs >= self._most:
                self._cut_short = True
                return False
            self._runs += 1
            self._seen[key] = self._fails(plan)
        if self._seen[key]:
            self.plan = plan
            return True
        return False

    def _remove(self, field: str) -> None:
        """Remove as many parts as possible: halves, then quarters, at last single ones."""
        pieces = 1
        while parts := getattr(self.plan, field):
            size = -(-len(parts) // pieces)
            starts = range(0, len(parts), size)
            if any(self._with(field, (*parts[:at], *parts[at + size :])) for at in starts):
                pieces = max(pieces - 1, 1)
            elif size == 1:
                return
            else:
                pieces = min(pieces * 2, len(parts))

    def _with(self, field: str, parts: Sequence[Any]) -> bool:
        return self._try(_evolved(self.plan, field, parts))

    def _fewer_servers(self) -> None:
        for servers in range(1, self.plan.servers):
            if self._try(_on_servers(self.plan, servers)):
                return

    def _each(self, field: str, simpler: Callable[[Any], Iterator[Any]]) -> None:
        at = 0
        while at < len(getattr(self.plan, field)):
            if not any(self._replace(field, at, part) for part in simpler(self._part(field, at))):
                at += 1

    def _part(self, field: str, at: int) -> Any:
        return getattr(self.plan, field)[at]

    def _replace(self, field: str, at: int, part: Fault | Work) -> bool:
        parts = getattr(self.plan, field)
        changed = _evolved(self.plan, field, (*parts[:at], part, *parts[at + 1 :]))
        if self._try(changed):
            return True
        if isinstance(part, Fault) and part.effect is not None and part.nth < parts[at].nth:
            # With fewer effects before it: those of the works that came first.
            return any(
                self._try(attrs.evolve(changed, works=some)) for some in _fewer(changed.works)
            )
        return False

    def _shorter_storm(self) -> None:
        last = max(
            [fault.at or 0.0 for fault in self.plan.faults]
            + [work.at + sum(each.after for each in work.actions) for work in self.plan.works],
            default=0.0,
        )  # fmt: skip
        for seconds in (1.0, 10.0, round(last + 1.0, 3)):
            if seconds < self.plan.seconds and self._try(attrs.evolve(self.plan, seconds=seconds)):
                return


def _evolved(plan: FaultPlan, field: str, parts: Sequence[Any]) -> FaultPlan:
    if field == "faults":
        return attrs.evolve(plan, faults=tuple(parts))
    return attrs.evolve(plan, works=tuple(parts))


def _fewer(works: tuple[Work, ...]) -> Iterator[tuple[Work, ...]]:
    """Return the works without each half, then without the first and the last."""
    half = len(works) // 2
    for some in dict.fromkeys((works[:1], works[-1:], works[:half], works[half:], works[1:])):
        if 0 < len(some) < len(works):
            yield some


def _on_servers(plan: FaultPlan, servers: int) -> FaultPlan:
    """Return the plan for so many servers; what befell others befalls the first ones."""
    faults = tuple(
        attrs.evolve(fault, host=f"w{_number_of(fault.host) % servers}")
        if fault.host.startswith("w")
        else fault
        for fault in plan.faults
    )
    return attrs.evolve(plan, servers=servers, faults=faults)


def _simpler_faults(fault: Fault) -> Iterator[Fault]:
    first = fault.host[:1] + "0"
    if fault.host != first:
        yield attrs.evolve(fault, host=first)
    if fault.effect is not None:
        few = range(1, min(fault.nth, SMALL_NTH))
        for nth in dict.fromkeys((*few, fault.nth // 2, fault.nth - 1)):
            if 0 < nth < fault.nth:
                yield attrs.evolve(fault, nth=nth)
    elif fault.at is not None:
        for at in _simpler_numbers(fault.at):
            yield attrs.evolve(fault, at=at)
    if fault.hangs:
        yield attrs.evolve(fault, hangs=False)
    if fault.kind not in (FaultKind.KILL, FaultKind.FAILOVER):
        yield attrs.evolve(fault, kind=FaultKind.KILL, hangs=False)
    for seconds in _simpler_numbers(fault.seconds):
        yield attrs.evolve(fault, seconds=seconds)


def _simpler_works(work: Work) -> Iterator[Work]:
    for n, action in enumerate(work.actions):
        before, rest = work.actions[:n], work.actions[n + 1 :]
        yield attrs.evolve(work, actions=(*before, *rest))
        for seconds in _simpler_numbers(action.after):
            yield attrs.evolve(work, actions=(*before, attrs.evolve(action, after=seconds), *rest))
    if work.client:
        yield attrs.evolve(work, client=0)
    for at in _simpler_numbers(work.at):
        yield attrs.evolve(work, at=at)


def _simpler_numbers(number: float) -> Iterator[float]:
    for simpler in dict.fromkeys(
        (0.0, 1.0, float(round(number)), round(number, 1), round(number / 2, 3))
    ):
        if simpler < number or _spelling(simpler) < _spelling(number):
            yield simpler
