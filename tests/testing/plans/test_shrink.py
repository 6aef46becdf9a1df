"""Shrinking: the result fails, is no larger, cannot be shrunk further, and takes bounded runs."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rediq_trio.testing.fleets.plan import Fault, FaultKind, FaultPlan, StepOrder, Work
from rediq_trio.testing.fleets.shrink import shrink, weight
from tests.testing.plans.strategies import some_plans

Fails = Callable[[FaultPlan], bool]
PREDICATES: dict[str, Fails] = {
    "always": lambda plan: True,
    "a kill": lambda plan: any(fault.kind is FaultKind.KILL for fault in plan.faults),
    "two works": lambda plan: len(plan.works) >= 2,
    "two servers and a fault of the second": lambda plan: (
        plan.servers >= 2 and any(fault.host == "w1" for fault in plan.faults)
    ),
    "a late enough effect": lambda plan: any(fault.nth > 3 for fault in plan.faults),
    "a long enough fault": lambda plan: any(fault.seconds > 3 for fault in plan.faults),
    "an action": lambda plan: any(work.actions for work in plan.works),
    "an order": lambda plan: plan.order is StepOrder.PRIORITIES,
    "noise": lambda plan: plan.noise and plan.size > 0,
    "an odd sum": lambda plan: (len(plan.works) + sum(f.nth for f in plan.faults)) % 2 == 1,
}


@settings(max_examples=60)
@given(some_plans, st.sampled_from(sorted(PREDICATES)))
def test_the_result_fails_is_no_larger_and_is_a_fixed_point(plan: FaultPlan, name: str) -> None:
    fails = PREDICATES[name]
    assume(fails(plan))
    found = shrink(plan, fails, most_runs=10_000)
    assert fails(found.plan)
    assert weight(found.plan) <= weight(plan)
    assert found.finished
    assert shrink(found.plan, fails, most_runs=10_000).plan == found.plan


@settings(max_examples=60)
@given(some_plans, st.sampled_from(sorted(PREDICATES)), st.integers(0, 30))
def test_shrinking_takes_no_more_runs_than_it_may(plan: FaultPlan, name: str, most: int) -> None:
    assume(PREDICATES[name](plan))
    runs = 0

    def fails(one: FaultPlan) -> bool:
        nonlocal runs
        runs += 1
        return PREDICATES[name](one)

    found = shrink(plan, fails, most_runs=most)
    assert runs == found.runs <= most
    assert PREDICATES[name](found.plan)


def test_a_failure_of_one_work_and_one_fault_is_shrunk_to_two_parts() -> None:
    works = [Work("pay", {"n": n}, at=n * 1.234, client=n % 3) for n in range(20)]
    faults = [
        Fault(kind=kind, host=f"w{n % 3}", effect="claim", nth=1 + n % 5, seconds=n * 3.3)
        for n, kind in enumerate(FaultKind)
    ]
    plan = FaultPlan(seed=9, servers=3, seconds=180, works=works, faults=faults)
    found = shrink(
        plan,
        lambda one: any(work.arguments["n"] == 13 for work in one.works)
        and any(fault.kind is FaultKind.FREEZE and fault.seconds > 2 for fault in one.faults),
    )
    (work,), (fault,) = found.plan.works, found.plan.faults
    assert work == Work("pay", {"n": 13})
    assert (fault.host, fault.nth, fault.kind) == ("w0", 1, FaultKind.FREEZE)
    assert (found.plan.servers, found.plan.noise) == (1, False)
    assert found.runs <= 150


def test_a_number_of_an_effect_is_lowered_together_with_the_works_before_it() -> None:
    # Each work is one claim, so the fault meets the last work only while both counts agree.
    fault = Fault(kind=FaultKind.KILL, host="w0", effect="claim", nth=6)
    plan = FaultPlan(works=[Work("pay", {"n": n}, at=n) for n in range(6)], faults=[fault])

    def fails(one: FaultPlan) -> bool:
        return any(
            fault.nth <= len(one.works) and one.works[fault.nth - 1].arguments["n"] == 5
            for fault in one.faults
        )

    found = shrink(plan, fails).plan
    assert found.size == 2
    assert found.faults[0].nth == 1


def test_a_plan_that_is_as_simple_as_can_be_is_left_as_it_is() -> None:
    plan = FaultPlan(noise=False, seconds=1.0)
    assert shrink(plan, lambda one: True).plan == attrs.evolve(plan)


def test_an_order_that_is_not_needed_is_left_out() -> None:
    plan = FaultPlan(order=StepOrder.PRIORITIES, seconds=1.0)
    assert shrink(plan, lambda one: one.noise).plan == attrs.evolve(plan, order=StepOrder.UNIFORM)
