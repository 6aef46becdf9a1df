"""Scenarios: what a fleet has to do, and what may befall it; plans are drawn from them by seeds.

Most faults are aimed at effects. A few kinds are chosen for each plan, and many plans have few
kinds: a fault that heals what another one broke would hide it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any

import attrs

from rediq_trio._errors import ConfigError
from rediq_trio.testing.fleets.plan import (
    ALL_KINDS,
    CALL_KINDS,
    MAX_CLIENTS,
    STEP_EFFECT,
    Fault,
    FaultKind,
    FaultPlan,
    StepOrder,
    Work,
)
from rediq_trio.values import bounds

SERVER_EFFECTS: Mapping[str, int] = MappingProxyType(
    {"claim": 6, "complete": 6, "fail": 3, "renew": 5, "report": 4, "reclaim": 2, STEP_EFFECT: 30}
)
"""The effects of servers at which faults are aimed, and the highest number of each."""
SERVER_CALLS = tuple(effect for effect in SERVER_EFFECTS if effect != STEP_EFFECT)
CLIENT_CALLS = ("enqueue", "watch", "get", "cancel")
LENGTHS = (0.5, 5.0, 20.0, 50.0, 90.0)
"""Seconds up to which the length of a fault is drawn: shorter than a look, a lease, or longer."""
FORGOTTEN = (0.01, 0.5, 5.0, 15.0)
"""Seconds up to which a failover forgets."""


def _kinds(value: Iterable[Any]) -> frozenset[Any]:
    known = {kind.value: kind for kind in FaultKind}
    return frozenset(known.get(kind, kind) for kind in value)


def _check_kinds(_: object, attribute: attrs.Attribute[Any], value: frozenset[Any]) -> None:
    if wrong := [kind for kind in value if not isinstance(kind, FaultKind)]:
        raise ConfigError.of(attribute.name, wrong[0], "of " + ", ".join(FaultKind))


@attrs.frozen(kw_only=True)
class Faults:
    """Which faults a plan may have, and how many."""

    kinds: frozenset[FaultKind] = attrs.field(
        default=ALL_KINDS, converter=_kinds, validator=_check_kinds
    )
    most: int = attrs.field(default=16, validator=bounds.number(0, 10_000, integer=True))
    """Maximum number of faults of one plan."""
    aimed: float = attrs.field(default=0.6, validator=bounds.number(0, 1))
    """The share that is aimed at effects, and not at times."""


NO_FAULTS = Faults(kinds=(), most=0)


def _check_work(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not callable(value):
        raise ConfigError.of(attribute.name, value, "a function of a random.Random")


@attrs.frozen(kw_only=True)
class Scenario:
    """What clients do, what may break, and how the servers are set up."""

    work: Callable[[Random], Iterable[Work]] = attrs.field(validator=_check_work)
    """Returns what clients do; all its chance is that of the `Random` that it is given."""
    clients: int = attrs.field(default=2, validator=bounds.number(1, MAX_CLIENTS, integer=True))
    """Works of a client with a higher number are those of one of these."""
    faults: Faults = attrs.field(default=Faults(), validator=bounds.one_of(Faults))
    settings: Mapping[str, Any] = MappingProxyType({})
    """Keywords of `serve`."""

    def works(self, random: Random) -> tuple[Work, ...]:
        """Return the works of one plan, by their times."""
        drawn = [
            work if work.client < self.clients else attrs.evolve(work, client=work.client % self.clients)
            for work in self.work(random)
        ]
        return tuple(sorted(drawn, key=lambda work: work.at))


def draw_plan(scenario: Scenario, seed: int, *, servers: int, seconds: float) -> FaultPlan:
    """Return the plan that a seed makes of a scenario; equal arguments make equal plans."""
    # Each with a stream of its own: another work does not change the faults.
    works = scenario.works(Random(f"{seed}/works"))
    faults = draw_faults(
        scenario.faults, Random(f"{seed}/faults"),
        servers=servers, clients=scenario.clients, seconds=seconds,
    )  # fmt: skip
    order = Random(f"{seed}/order").choice([*StepOrder])
    return FaultPlan(
        seed=seed, servers=servers, seconds=seconds, order=order, works=works, faults=faults
    )


def draw_faults(
    faults: Faults, random: Random, *, servers: int, clients: int, seconds: float
) -> tuple[Fault, ...]:
    """Return faults for so many servers and clients, within so many seconds."""
    if not faults.kinds or not faults.most:
        return ()
    kinds = sorted(faults.kinds)
    chosen = random.sample(kinds, random.randint(1, len(kinds)))
    drawn = list[Fault]()
    for _ in range(random.randint(1, faults.most)):
        kind = random.choice(chosen)
        if kind is FaultKind.FAILOVER and any(fault.kind is kind for fault in drawn):
            continue  # one that follows another has nothing left to forget
        drawn.append(
            _draw_fault(random, kind, faults.aimed, _hosts(random, servers, clients), seconds)
        )
    return tuple(sorted(drawn, key=lambda fault: fault.at or 0.0))


class _Role(enum.Enum):
    SERVER = enum.auto()
    CLIENT = enum.auto()


def _hosts(random: Random, servers: int, clients: int) -> Mapping[_Role, str]:
    return {
        _Role.SERVER: f"w{random.randrange(servers)}",
        _Role.CLIENT: f"c{random.randrange(clients)}",
    }


def _length(random: Random, most: Sequence[float]) -> float:
    return round(random.choice(most) * random.random(), 3)


def _draw_fault(
    random: Random, kind: FaultKind, aimed: float, hosts: Mapping[_Role, str], seconds: float
) -> Fault:
    length = _length(random, FORGOTTEN if kind is FaultKind.FAILOVER else LENGTHS)
    hangs = kind is FaultKind.CUT and random.random() < 0.5
    host = hosts[_Role.SERVER]
    if kind in CALL_KINDS:
        if random.random() < 0.3:
            host, effect = hosts[_Role.CLIENT], random.choice(CLIENT_CALLS)
        else:
            effect = random.choice(SERVER_CALLS)
        nth = random.randint(1, SERVER_EFFECTS.get(effect, 6))
        return Fault(kind=kind, host=host, effect=effect, nth=nth, seconds=length)
    if random.random() >= aimed:
        at = round(random.uniform(0, seconds), 3)
        if kind is FaultKind.CUT and random.random() < 0.3:
            host = hosts[_Role.CLIENT]
        return Fault(kind=kind, host=host, at=at, seconds=length, hangs=hangs)
    # A handler's steps are where users' own programs break.
    effect = STEP_EFFECT if random.random() < 0.3 else random.choice(SERVER_CALLS)
    nth = random.randint(1, SERVER_EFFECTS[effect])
    return Fault(kind=kind, host=host, effect=effect, nth=nth, seconds=length, hangs=hangs)
