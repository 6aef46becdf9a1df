"""Plans as values: what they refuse, and how they read."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from rediq_trio import ConfigError
from rediq_trio.testing.fleets.plan import ClientAction, Fault, FaultKind, FaultPlan, Work


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": "explode", "host": "w0", "at": 1}, "kind"),
        ({"kind": "kill", "host": "", "at": 1}, "host"),
        ({"kind": "kill", "host": "w0"}, "at"),
        ({"kind": "kill", "host": "w0", "at": 1, "effect": "claim"}, "at"),
        ({"kind": "kill", "host": "w0", "at": -1}, "at"),
        ({"kind": "kill", "host": "w0", "at": float("inf")}, "at"),
        ({"kind": "kill", "host": "w0", "effect": "a claim"}, "effect"),
        ({"kind": "kill", "host": "w0", "effect": "claim", "nth": 0}, "nth"),
        ({"kind": "kill", "host": "w0", "effect": "claim", "nth": True}, "nth"),
        ({"kind": "late", "host": "w0", "at": 1}, "effect"),
        ({"kind": "late", "host": "w0", "effect": "step"}, "effect"),
        ({"kind": "cut", "host": "w0", "at": 1, "seconds": float("nan")}, "seconds"),
        ({"kind": "cut", "host": "w0", "at": 1, "hangs": "yes"}, "hangs"),
    ],
)
def test_a_fault_that_cannot_happen_is_refused_by_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}="):
        Fault(**wrong)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"type": ""}, "type"),
        ({"type": "a", "arguments": [1]}, "arguments"),
        ({"type": "a", "arguments": {"x": object()}}, "arguments"),
        ({"type": "a", "arguments": {"x": {1: 2}}}, "arguments"),
        ({"type": "a", "options": {"typo": 1}}, "options"),
        ({"type": "a", "options": {"payload": 1}}, "options"),
        ({"type": "a", "options": {"timeout": -1}}, "timeout"),
        ({"type": "a", "client": -1}, "client"),
        ({"type": "a", "at": "soon"}, "at"),
        ({"type": "a", "actions": [{"kind": "cancel", "after": -1}]}, "after"),
        ({"type": "a", "actions": [{"kind": "explode"}]}, "kind"),
        ({"type": "a", "actions": [{"after": 1}]}, "actions"),
        ({"type": "a", "actions": [{"kind": "cancel", "soon": True}]}, "actions"),
        ({"type": "a", "actions": ["cancel"]}, "actions"),
    ],
)
def test_a_work_that_cannot_be_done_is_refused_by_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}="):
        Work(**wrong)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"servers": 0}, "servers"),
        ({"servers": 101}, "servers"),
        ({"seconds": 0}, "seconds"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"noise": 1}, "noise"),
        ({"order": "random"}, "order"),
        ({"works": ["a"]}, "works"),
        ({"faults": [Work("a")]}, "faults"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_by_field(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}="):
        FaultPlan(**wrong)


def test_durations_may_be_timedeltas() -> None:
    fault = Fault(kind=FaultKind.CUT, host="w0", at=dt.timedelta(seconds=2), seconds=dt.timedelta(seconds=1.5))
    assert (fault.at, fault.seconds) == (2.0, 1.5)


def test_what_a_work_was_made_of_can_change_without_changing_it() -> None:
    arguments = {"many": [1, 2]}
    work = Work("a", arguments)
    arguments["many"].append(3)
    assert work.task().payload == {"many": [1, 2]}


def test_a_plan_counts_its_parts_and_the_clients_that_it_needs() -> None:
    fault = Fault(kind=FaultKind.KILL, host="w0", at=1)
    plan = FaultPlan(works=[Work("a"), Work("b", client=3)], faults=[fault])
    assert (plan.size, plan.clients) == (3, 4)
    assert (FaultPlan().size, FaultPlan().clients) == (0, 1)


def test_a_plan_reads_as_a_story() -> None:
    plan = FaultPlan(
        servers=2, seed=7, noise=False,
        works=[Work("order:pay", {"order": 7}, at=1.5, actions=[ClientAction("reschedule", 2, {"delay": 5})])],
        faults=[
            Fault(kind=FaultKind.KILL, host="w1", effect="settle", nth=2, seconds=4),
            Fault(kind=FaultKind.CUT, host="w0", at=3.25, hangs=True),
        ],
    )  # fmt: skip
    assert str(plan).splitlines() == [
        "2 servers, 60 s, no noise",
        "  order:pay(order=7) of client c0 at 1.5 s, reschedule(delay=5) after 2 s",
        "  kill w1 at its settle no. 2, 4 s",
        "  cut w0 at 3.25 s, hanging",
    ]
