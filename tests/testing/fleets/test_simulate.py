"""Campaigns: what fails, how it is shrunk, kept and run again."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, PayloadError
from rediq_trio.testing.fleets.failure import NeverSeen, SimulationFailed
from rediq_trio.testing.fleets.fleet import SimulatedFleet, run_plan
from rediq_trio.testing.fleets.plan import (
    ClientAction,
    Fault,
    FaultKind,
    FaultPlan,
    StepOrder,
    Work,
)
from rediq_trio.testing.fleets.plan_files import dump_plan, read_plan
from rediq_trio.testing.fleets.scenario import NO_FAULTS, Faults, Scenario
from rediq_trio.testing.fleets.seen import sometimes
from rediq_trio.testing.fleets.shrink import shrink
from rediq_trio.testing.fleets.simulate import replay, simulate
from rediq_trio.testing.simulated.errors import RealWorld
from rediq_trio.testing.simulated.not_deterministic import NotDeterministic
from tests.testing.broken_store import lose_enqueued
from tests.testing.fleets.storm import SETTINGS, make
from tests.testing.planted_bugs import DIRECTED

SVG = "{http://www.w3.org/2000/svg}"


class Till:
    """A till that a handler puts money into, and then writes down that it did."""

    def __init__(self) -> None:
        self.money = 0
        self.paid: set[int] = set()

    def app(self) -> rediq.App:
        app = rediq.App("till")

        @app.task("pay", max_crashes=50, max_retry=9)
        async def pay(order: int) -> None:
            if order in self.paid:
                return
            await trio.sleep(0.1)
            self.money += 10
            await trio.sleep(0.1)
            self.paid.add(order)

        return app


def orders(random: Random) -> list[Work]:
    return [Work("pay", {"order": n}, at=round(random.uniform(0, 20), 3)) for n in range(8)]


KILLS = Scenario(work=orders, faults=Faults(kinds=frozenset({FaultKind.KILL}), most=6))
CALM = Scenario(work=orders, faults=NO_FAULTS)


class Shop:
    """An app with a till for each run, and the check that nobody has paid twice."""

    def __init__(self) -> None:
        self.till = Till()

    def make(self) -> rediq.App:
        self.till = Till()
        return self.till.app()

    def nobody_pays_twice(self, fleet: SimulatedFleet) -> None:
        paid = 10 * len({work.arguments["order"] for work in fleet.plan.works})
        if self.till.money != paid:
            raise AssertionError(f"{self.till.money} in the till, and not {paid}")


def test_a_double_payment_is_found_shrunk_to_two_parts_and_kept(tmp_path: Path) -> None:
    shop = Shop()
    with pytest.raises(SimulationFailed) as caught:
        simulate(
            shop.make, KILLS, seed=25, seeds=100, hours=0.01, servers=2,
            at_rest=[shop.nobody_pays_twice], keep=tmp_path,
        )  # fmt: skip
    failure = caught.value
    assert failure.violation.promise == "nobody_pays_twice"
    assert "20 in the till, and not 10" in failure.violation.text
    assert [fault.kind for fault in failure.small.faults] == [FaultKind.KILL]
    assert len(failure.small.works) == 1
    (path,) = tmp_path.iterdir()
    assert read_plan(path) == failure.small
    assert str(path) in str(failure)
    assert "kill w0" in str(failure)
    told = failure.timeline()
    for text in ("FAULT kill w0", "reclaim no. 1", "delivery 2", "complete"):
        assert text in told
    drawn = ElementTree.fromstring(failure.svg())
    said = list(drawn.itertext())
    for text in ("w0", "kill w0", "task 1, attempt 1, delivery 1: no outcome written",
                 "task 1, attempt 1, delivery 2: completed"):  # fmt: skip
        assert any(each.startswith(text) for each in said), text
    bars = [each for each in drawn.iter(f"{SVG}rect") if each.get("rx")]
    assert [bar.get("fill") for bar in bars] == ["#8c959f", "#1a7f37"]
    assert 0 < float(bars[0].get("x", 0)) < float(bars[1].get("x", 0)) < 1110

    with pytest.raises(SimulationFailed) as again:
        replay(path, shop.make, KILLS, at_rest=[shop.nobody_pays_twice])
    assert str(again.value.violation) == str(failure.violation)
    # Kept plans run first: no seed is tried before.
    with pytest.raises(SimulationFailed) as first:
        simulate(
            shop.make, CALM, seed=0, hours=0.01, at_rest=[shop.nobody_pays_twice], keep=tmp_path
        )
    assert first.value.plan == failure.small


def test_a_campaign_without_a_failure_reports_what_it_ran() -> None:
    shop = Shop()
    report = simulate(
        shop.make, CALM, seed=0, seeds=3, hours=0.01, at_rest=[shop.nobody_pays_twice], keep=None
    )
    assert report.runs == 3
    assert report.seconds >= 3 * 36
    assert report.applied["the invariants of the store hold"] > 0
    assert str(report).startswith("3 runs, 0.0")


def test_a_run_takes_no_longer_than_until_its_rest() -> None:
    # The end of a simulation gives those that do not end what may be hours: a killed server is one.
    result = run_plan(make(), DIRECTED["the keeper hardly ever reclaims"], SETTINGS)
    assert result.plan.seconds <= result.seconds <= result.history[-1].at + 60


def test_several_processes_find_the_same_as_one() -> None:
    shop = Shop()
    one, two = (
        simulate(shop.make, KILLS, seed=0, seeds=4, hours=0.01, jobs=jobs, keep=None)
        for jobs in (1, 2)
    )
    assert one == two
    failed = set[str]()
    for jobs in (1, 2, 5):
        with pytest.raises(SimulationFailed) as caught:
            simulate(
                shop.make, KILLS, seed=25, seeds=100, hours=0.01, servers=2, jobs=jobs,
                at_rest=[shop.nobody_pays_twice], shrink=False, keep=None,
            )  # fmt: skip
        failed.add(str(caught.value))
    assert len(failed) == 1


def test_an_exception_of_a_process_is_raised_as_it_is_and_names_its_seed() -> None:
    app = rediq.App("blocked")

    @app.task("pay")
    async def pay(order: int) -> None:
        await trio.to_thread.run_sync(int)

    for jobs in (1, 2):
        with pytest.raises(RealWorld) as caught:
            simulate(app, CALM, seed=4, seeds=3, hours=0.01, jobs=jobs, keep=None)
        assert caught.value.__notes__ == ["in the run of seed 4"]
    here = os.getpid()

    def make_elsewhere() -> rediq.App:
        if os.getpid() != here:
            raise ZeroDivisionError
        return Shop().make()

    with pytest.raises(NotDeterministic, match="seed 4: ZeroDivisionError: , and not when it was run again"):
        simulate(make_elsewhere, CALM, seed=4, seeds=3, hours=0.01, jobs=2, keep=None)


def test_no_seed_is_begun_after_so_many_minutes() -> None:
    for jobs in (1, 2):
        began = time.monotonic()
        report = simulate(
            Shop().make, CALM, seed=0, seeds=10**6, hours=0.001, jobs=jobs, minutes=0.02, keep=None
        )
        assert 1 <= report.runs < 10**6
        assert time.monotonic() - began < 60


def test_the_time_that_cleaning_up_takes_after_the_end_of_a_run_is_not_counted() -> None:
    app = rediq.App("slow-to-end")

    @app.task("pay")
    async def pay(order: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(60)

    def nothing_runs(fleet: SimulatedFleet) -> None:
        assert fleet.world.now < 3

    plan = FaultPlan(works=[Work("pay", {"order": 1})], seconds=20, servers=1)
    result = run_plan(app, plan, {}, invariants=[nothing_runs])
    assert result.violation is not None
    assert 3 <= result.seconds < 20


def test_an_answer_that_is_under_way_after_the_storm_is_no_alarm() -> None:
    slow = Fault(kind=FaultKind.SLOW, host="c0", effect="enqueue", nth=1, seconds=19)
    plan = FaultPlan(works=[Work("pay", {"order": 1}, at=56)], seconds=57, servers=1, faults=[slow])
    assert replay(plan, Shop().make, strict=True).happened == {"slow": 1}


def test_an_invariant_is_checked_at_each_effect_and_its_exception_is_the_failure() -> None:
    def never_two_at_once(fleet: SimulatedFleet) -> None:
        raise ZeroDivisionError("of the test")

    with pytest.raises(SimulationFailed, match="ZeroDivisionError: of the test") as caught:
        simulate(Shop().make, CALM, seed=0, hours=0.01, invariants=[never_two_at_once], keep=None)
    assert caught.value.violation.promise == "never_two_at_once"
    assert caught.value.small.size == 0


def test_an_exception_of_any_kind_at_rest_is_the_failure() -> None:
    def the_ledger_is_whole(fleet: SimulatedFleet) -> None:
        raise KeyError("ledger")

    with pytest.raises(SimulationFailed, match="the_ledger_is_whole: KeyError: 'ledger'") as caught:
        simulate(Shop().make, CALM, seed=0, hours=0.01, at_rest=[the_ledger_is_whole], keep=None)
    assert caught.value.small.size == 0


def test_a_step_that_breaks_an_invariant_of_the_queue_is_found_at_once() -> None:
    fleet = SimulatedFleet(Till().app(), FaultPlan(works=[Work("pay", {"order": 1}, at=2)], noise=False), {})
    lose_enqueued(fleet.network, "settle")
    found = fleet.run()
    assert found.violation is not None
    assert found.violation.promise == "the invariants of the store hold"
    assert 2 < found.violation.at < 3
    assert found.history[-1].name == "settle"


def test_a_campaign_that_never_sees_what_it_should_fails_by_name() -> None:
    app = rediq.App("seen")

    @app.task("pay")
    async def pay(order: int) -> None:
        sometimes("the first order", order == 0)
        sometimes("an order of nobody", order < 0)

    simulate(app, CALM, seed=0, hours=0.01, sometimes=["the first order"], keep=None)
    with pytest.raises(NeverSeen, match="no run of 2 has seen 'an order of nobody'"):
        simulate(app, CALM, seed=0, seeds=2, hours=0.01, sometimes=["an order of nobody"], keep=None)
    sometimes("outside of a simulation nothing happens")


def test_a_handler_that_differs_between_two_runs_is_named_by_the_first_difference() -> None:
    count = itertools.count()

    def make_other() -> rediq.App:
        app, number = rediq.App("other"), next(count)

        @app.task("pay")
        async def pay(order: int) -> int:
            return number

        return app

    plan = FaultPlan(works=[Work("pay", {"order": 1})], seconds=1.0)
    with pytest.raises(NotDeterministic, match=r"(?s)first difference:.*settle.*usual suspects"):
        replay(plan, make_other)


def test_a_fault_that_never_came_is_reported_and_strict_fails() -> None:
    never = Fault(kind=FaultKind.KILL, host="w7", effect="claim")
    plan = FaultPlan(works=[Work("pay", {"order": 1})], seconds=1.0, faults=[never])
    report = replay(plan, Shop().make)
    assert report.never_came == 1
    assert str(report).endswith("; 1 never came")
    with pytest.raises(ConfigError, match="never came: kill w7 at its claim"):
        replay(plan, Shop().make, strict=True)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"seeds": 0}, "seeds"),
        ({"hours": 0}, "hours"),
        ({"hours": 25}, "hours"),
        ({"servers": 0}, "servers"),
        ({"jobs": 0}, "jobs"),
        ({"minutes": 0}, "minutes"),
        ({"seed": -1}, "seed"),
        ({"at_rest": [3]}, "at_rest"),
        ({"shrink": "yes"}, "shrink"),
    ],
)
def test_bad_arguments_are_refused_by_field(wrong: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}="):
        simulate(Shop().make, CALM, **wrong)  # type: ignore[arg-type]


def test_what_is_no_app_no_scenario_and_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^app_or_make="):
        simulate(3, CALM, keep=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^app_or_make="):
        simulate(lambda: 3, CALM, keep=None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigError, match=r"^scenario="):
        simulate(Shop().make, None, keep=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"^scenario="):
        replay(7, Shop().make)
    cut = tmp_path / "cut.json"
    cut.write_text(dump_plan(FaultPlan())[:-5])
    with pytest.raises(PayloadError, match=r"cut\.json, line \d+"):
        simulate(Shop().make, CALM, keep=tmp_path)


@pytest.mark.parametrize("name", sorted(DIRECTED))
def test_the_unchanged_worker_keeps_all_promises_in_each_directed_plan(name: str) -> None:
    result = run_plan(make(), DIRECTED[name], SETTINGS)
    assert result.violation is None


def test_a_seed_gives_the_same_history_each_time() -> None:
    plan = DIRECTED["a handler begins on a lease that is over"]
    one, other = (run_plan(make(), plan, SETTINGS) for _ in range(2))
    assert one.digest == other.digest
    assert [str(effect) for effect in one.history] == [str(effect) for effect in other.history]


@pytest.mark.parametrize("order", StepOrder)
def test_a_seed_gives_the_same_history_in_each_order(order: StepOrder) -> None:
    plan = attrs.evolve(DIRECTED["a handler begins on a lease that is over"], order=order)
    one, other = (run_plan(make(), plan, SETTINGS) for _ in range(2))
    assert one.digest == other.digest
    assert one.digest != run_plan(make(), attrs.evolve(plan, seed=1), SETTINGS).digest


def test_an_order_changes_the_history() -> None:
    plan = DIRECTED["a handler begins on a lease that is over"]
    assert len({run_plan(make(), attrs.evolve(plan, order=each), SETTINGS).digest for each in StepOrder}) == 2


@pytest.mark.parametrize(
    ("options", "actions", "effects"),
    [
        ({"delay": 20}, [ClientAction("reschedule", 1, {"delay": 2})], ["reschedule", "complete"]),
        ({"delay": 5}, [ClientAction("update", 1, {"priority": 3})], ["update", "complete"]),
        ({"delay": 5}, [ClientAction("requeue", 1, {"queue": "other"})], ["requeue", "receive", "complete"]),
        ({"delay": 5}, [ClientAction("delete", 1)], ["delete"]),
        ({"delay": 5}, [ClientAction("cancel", 1), ClientAction("retry", 1)], ["cancel", "revive", "complete"]),
        ({"delay": 2}, [ClientAction("pause"), ClientAction("resume", 9)], ["pause", "resume", "complete"]),
        ({"delay": 5}, [ClientAction("flush", 1)], ["flush"]),
    ],
    ids=["reschedule", "update", "requeue", "delete", "retry", "pause", "flush"],
)  # fmt: skip
def test_a_client_does_what_its_work_says(
    options: dict[str, object], actions: list[ClientAction], effects: list[str]
) -> None:
    work = Work("sleep", {"seconds": 1}, options, actions=actions)
    result = run_plan(make(), FaultPlan(works=[work], noise=False), SETTINGS)
    assert result.violation is None
    seen = [name for effect in result.history for name in effect.numbers if name in effects]
    assert [*dict.fromkeys(seen)] == effects


def test_an_action_that_is_not_needed_is_left_out() -> None:
    works = [Work("pay", {"order": n}, actions=[ClientAction("update", 1)] * n) for n in range(3)]
    shrunk = shrink(FaultPlan(works=works, noise=False, seconds=9), lambda one: bool(one.works)).plan
    assert [work.actions for work in shrunk.works] == [()]
    kept = shrink(FaultPlan(works=works[2:], noise=False), lambda one: any(w.actions for w in one.works)).plan
    assert kept.works == (Work("pay", {"order": 2}, actions=[ClientAction("update")]),)


def test_a_picture_shows_hostile_text_as_text() -> None:
    shop = Shop()

    def fails(fleet: SimulatedFleet) -> None:
        raise ValueError("<script>&\x1b[31m")

    with pytest.raises(SimulationFailed) as caught:
        simulate(shop.make, CALM, seed=0, hours=0.01, at_rest=[fails], keep=None)
    drawn = ElementTree.fromstring(caught.value.svg())
    assert [each.tag for each in drawn.iter() if "script" in each.tag] == []
    assert "<script>&" in " ".join(drawn.itertext())
