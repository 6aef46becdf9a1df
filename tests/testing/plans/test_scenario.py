"""Plans that seeds make of a scenario."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from rediq_trio import ConfigError
from rediq_trio.testing.fleets.plan import ALL_KINDS, CALL_KINDS, FaultKind, Work
from rediq_trio.testing.fleets.scenario import NO_FAULTS, Faults, Scenario, draw_plan


def some_work(random: Random) -> list[Work]:
    return [Work("a", at=random.uniform(0, 50), client=n) for n in range(random.randint(1, 5))]


SCENARIO = Scenario(work=some_work)


def test_equal_seeds_make_equal_plans_and_others_make_others() -> None:
    plans = [draw_plan(SCENARIO, seed, servers=3, seconds=60) for seed in (*range(20), 0)]
    assert plans[0] == plans[-1]
    assert len({repr(plan) for plan in plans}) == 20


def test_other_faults_leave_the_works_as_they_are() -> None:
    calm = Scenario(work=some_work, faults=NO_FAULTS)
    plan, other = (draw_plan(each, 5, servers=3, seconds=60) for each in (SCENARIO, calm))
    assert plan.works == other.works
    assert plan.faults
    assert other.faults == ()


def test_works_come_by_time_from_the_clients_that_there_are() -> None:
    plan = draw_plan(Scenario(work=some_work, clients=2), 1, servers=1, seconds=60)
    assert list(plan.works) == sorted(plan.works, key=lambda work: work.at)
    assert plan.clients <= 2


def test_most_faults_are_aimed_and_every_kind_comes() -> None:
    faults = [f for seed in range(300) for f in draw_plan(SCENARIO, seed, servers=3, seconds=60).faults]
    assert {fault.kind for fault in faults} == ALL_KINDS
    movable = [fault for fault in faults if fault.kind not in CALL_KINDS]
    assert 0.5 < sum(fault.effect is not None for fault in movable) / len(movable) < 0.7
    assert {fault.host for fault in faults} == {"w0", "w1", "w2", "c0", "c1"}


def test_many_plans_have_few_kinds() -> None:
    plans = [draw_plan(SCENARIO, seed, servers=3, seconds=60) for seed in range(200)]
    kinds = Counter(len({fault.kind for fault in plan.faults}) for plan in plans)
    assert kinds[1] > 10


def test_only_the_chosen_faults_come_and_no_more_than_the_most() -> None:
    few = Scenario(work=some_work, faults=Faults(kinds={"kill"}, most=2, aimed=0))
    for seed in range(50):
        faults = draw_plan(few, seed, servers=2, seconds=10).faults
        assert len(faults) <= 2
        assert all(fault.kind is FaultKind.KILL and fault.effect is None for fault in faults)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Faults(kinds={"explode"}), "kinds"),
        (lambda: Faults(most=-1), "most"),
        (lambda: Faults(aimed=1.5), "aimed"),
        (lambda: Scenario(work=3), "work"),  # type: ignore[arg-type]
        (lambda: Scenario(work=some_work, clients=0), "clients"),
        (lambda: Scenario(work=some_work, faults="all"), "faults"),  # type: ignore[arg-type]
    ],
)
def test_a_scenario_that_cannot_be_is_refused_by_field(make: object, field: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError, match=rf"^{field}="):
        make()
