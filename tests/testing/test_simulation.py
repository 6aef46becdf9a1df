"""Simulation: fleets in simulated time, driven by plain functions."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.testing.simulated.errors import Deadlock, NotAtRest
from rediq_trio.testing.simulation import Simulation
from tests.testing.broken_store import lose_enqueued

app = rediq.App()


@app.task("add")
async def add(one: int, other: int) -> int:
    await trio.sleep(5)
    return one + other


@app.task("slow")
async def slow() -> None:
    await trio.sleep(20)


def test_a_task_is_run_by_a_server_in_simulated_time() -> None:
    with Simulation(app) as sim:
        begin = sim.now
        handle = sim.enqueue(add.task(1, 2))
        assert handle.result() == 3
        assert 5 <= (sim.now - begin).total_seconds() < 7
        assert handle.info().state == "completed"


def test_the_task_of_a_killed_server_is_run_by_another() -> None:
    with Simulation(app, servers=2) as sim:
        sim.at("w0", "claim").kill()
        sim.at("w1", "claim").kill()
        handle = sim.enqueue(add.task(1, 2))
        sim.advance(1)
        (dead,) = [name for name, server in sim.server.items() if server.state == "dead"]
        sim.start(dead)
        sim.kill({"w0": "w1", "w1": "w0"}[dead])
        assert handle.result() == 3
        assert handle.info().crashes == 1


def test_the_same_seed_gives_the_same_history() -> None:
    def run(seed: int) -> str:
        with Simulation(app, servers=3, seed=seed, noise=True) as sim:
            handles = [sim.enqueue(add.task(n, n)) for n in range(10)]
            assert [handle.result() for handle in handles] == [2 * n for n in range(10)]
            sim.advance(60)
            return sim.history.digest

    assert run(1) == run(1) != run(2)


# Time.


def test_a_day_costs_no_more_than_what_happens_in_it() -> None:
    with Simulation(app) as sim:
        handle = sim.enqueue(add.task(1, 2), delay=86_400)
        begin = sim.now
        assert handle.result() == 3
        assert (sim.now - begin).total_seconds() == pytest.approx(86_405, abs=0.1)
        assert len(sim.history) < 20
        sim.advance(dt.timedelta(days=10))
        assert len(sim.history) < 40


def test_nothing_is_skipped_with_noise_or_while_a_fault_is_planned() -> None:
    with Simulation(app) as sim:
        sim.at("w0", "complete").kill()
        sim.advance(300)
        assert len([each for each in sim.history if each.name == "register"]) > 20


def test_a_schedule_ticks_at_its_instants_although_time_is_skipped() -> None:
    hourly = rediq.App()
    seen: list[str] = []

    @hourly.task("report", unique=rediq.Unique("report"))
    async def report() -> None:
        seen.append(rediq.current_task().id)

    hourly.schedule("hourly", rediq.Cron("0 * * * *"), report.task())
    with Simulation(hourly) as sim:
        sim.advance(dt.timedelta(hours=5))
    assert len(seen) == 5


def test_rest_waits_for_retries_and_not_for_what_is_due_later() -> None:
    flaky = rediq.App()
    seen: list[int] = []

    @flaky.task("flaky", backoff=rediq.Fixed(600), max_retry=2)
    async def fail() -> None:
        seen.append(1)
        raise LookupError

    with Simulation(flaky) as sim:
        sim.enqueue(fail.task())
        sim.enqueue(fail.task(), delay=86_400)
        begin = sim.now
        sim.rest()
        assert 1200 <= (sim.now - begin).total_seconds() < 1300
        assert len(seen) == 3
        sim.assert_enqueued(fail, count=1, state="scheduled")


@pytest.mark.parametrize("by", ["type", "name", "id", "queue"])
def test_rest_waits_only_for_those_that_are_named(by: str) -> None:
    with Simulation(app, settings={"queues": ["default", "mail"]}) as sim:
        other = sim.enqueue(slow.task())
        handle = sim.enqueue(add.task(1, 2), queue="mail")
        only = {"type": add, "name": "add", "id": handle.id, "queue": "mail"}[by]
        sim.rest(only=only)
        assert handle.info().state == "completed"
        assert other.info().state == "active"


def test_rest_says_what_is_left_and_that_no_server_serves_it() -> None:
    with Simulation(app) as sim:
        handle = sim.enqueue(add.task(1, 2), queue="mail")
        with pytest.raises(
            NotAtRest, match=f"{handle.id} is pending; no live server serves mail"
        ):
            sim.rest()
        assert sim.world.now < 100


def test_rest_ends_after_the_time_that_it_was_given() -> None:
    with Simulation(app) as sim:
        sim.enqueue(add.task(1, 2))
        with pytest.raises(NotAtRest, match=r"^2 s have passed, and there is work: .* is active"):
            sim.rest(within=2)


def test_a_result_that_will_never_come_is_a_deadlock_that_says_why() -> None:
    with Simulation(app) as sim:
        handle = sim.enqueue(add.task(1, 2), queue="mail")
        with pytest.raises(Deadlock, match=r"(?s)will never end: .*mail.*nothing will ever happen"):
            handle.result()
        with pytest.raises(trio.TooSlowError):
            handle.result(timeout=60)


def test_effects_come_one_by_one() -> None:
    with Simulation(app) as sim:
        sim.enqueue(add.task(1, 2))
        (claim,) = sim.step()
        assert (claim.host, claim.name, claim.queue) == ("w0", "claim", "default")
        (settle,) = sim.step()
        assert settle.numbers == {"settle": 1, "complete": 1}


# Faults.


def test_a_settle_whose_answer_is_lost_is_made_again_and_counts_once() -> None:
    with Simulation(app) as sim:
        sim.at("w0", "complete").lose_answer()
        handle = sim.enqueue(add.options(retention=60).task(1, 2))
        assert handle.result() == 3
        sim.advance(5)
        assert handle.info().deliveries == 1
        assert [each.name for each in sim.history].count("settle") == 1


def test_a_handler_is_killed_at_one_of_its_steps() -> None:
    seen: list[str] = []
    steps = rediq.App()

    @steps.task("steps")
    async def walk() -> None:
        for name in ("one", "two", "three"):
            seen.append(name)
            await trio.sleep(1)

    with Simulation(steps, servers=2) as sim:
        sim.kill("w1")
        # Its first step is its begin, the second one comes after the first sleep.
        sim.at("w0", "step", 1).kill()
        sim.enqueue(walk.task())
        sim.advance(10)
        assert sim.server["w0"].state == "dead"
        assert seen == ["one"]


def test_a_frozen_server_loses_its_lease_to_another() -> None:
    with Simulation(app, servers=2) as sim:
        handle = sim.enqueue(add.options(retention=600).task(1, 2))
        sim.advance(1)
        (owner,) = [name for name, server in sim.server.items() if not server.is_idle()]
        sim.freeze(owner, 60)
        assert handle.result() == 3
        info = handle.info()
        assert info.crashes == 1
        assert info.worker != owner
        sim.advance(60)
        assert sim.server[owner].state == "up"


def test_a_deploy_ends_the_old_server_in_good_order_and_starts_another_app() -> None:
    newer = rediq.App()

    @newer.task("add")
    async def add_more(one: int, other: int) -> int:
        return one + other + 100

    with Simulation(app) as sim:
        first = sim.enqueue(add.task(1, 2))
        sim.advance(1)
        sim.deploy("w0", newer)
        assert first.result() == 3
        sim.advance(1)
        assert sim.server["w0"].host.name == "w0#1"
        assert sim.enqueue(add.task(1, 2)).result() == 103


def test_a_failover_forgets_a_task_that_was_just_enqueued() -> None:
    with Simulation(app) as sim:
        sim.advance(10)
        handle = sim.enqueue(add.task(1, 2), delay=60)
        sim.failover(5)
        sim.advance(2)
        with pytest.raises(rediq.TaskNotFound):
            handle.info()


def test_a_client_outlives_a_cut_of_its_connection() -> None:
    with Simulation(app) as sim:
        sim.cut("client", 3)
        handle = sim.enqueue(add.task(1, 2))
        assert handle.result() == 3
        assert sim.world.now >= 3


# Bad input.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sim: sim.advance(-1), r"duration=-1: must be a number of seconds from 0"),
        (lambda sim: sim.advance(float("nan")), r"duration=nan: must be"),
        (lambda sim: sim.step(0), r"n=0: must be a whole number from 1"),
        (lambda sim: sim.rest(within="x"), r"within='x': must be"),
        (lambda sim: sim.kill("w7"), r"server='w7': must be one of the simulation: w0"),
        (lambda sim: sim.start("w0"), r"server='w0': must be dead or stopped; it is up"),
        (lambda sim: sim.freeze("w0", 0), r"seconds=0: must be"),
        (lambda sim: sim.cut("w0", -1), r"seconds=-1: must be"),
        (lambda sim: sim.failover(-1), r"lost=-1: must be"),
        (lambda sim: sim.at("w0", "complet"), r"effect='complet': must be one of .*did you mean complete"),
        (lambda sim: sim.at("w0", "claim", 0), r"nth=0: must be"),
        (lambda sim: sim.at("w0", "claim").delay(-1), r"seconds=-1: must be"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named_with_their_bound(
    call: Callable[[Simulation], object], message: str
) -> None:
    with Simulation(app) as sim, pytest.raises(rediq.ConfigError, match=f"^{message}"):
        call(sim)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"servers": -1}, "servers=-1: must be a whole number from 0 to 1,000"),
        ({"servers": 1.5}, "servers=1.5: must be"),
        ({"seed": "x"}, "seed='x': must be"),
        ({"noise": 1}, "noise=1: must be True or False"),
        ({"url": "redis://localhost"}, "url='redis://localhost': must be memory://"),
        ({"settings": {"leas": 3}}, "settings: unknown setting 'leas'; did you mean lease"),
        ({"settings": {"lease": 0}}, "lease=0"),
    ],
)
def test_bad_options_are_named_with_their_bound(options: dict[str, Any], message: str) -> None:
    with pytest.raises(rediq.ConfigError, match=f"^{message}"):
        Simulation(app, **options)


def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(rediq.ConfigError, match=r"^app="):
        Simulation("app")  # type: ignore[arg-type]


def test_a_closed_simulation_says_so() -> None:
    sim = Simulation(app)
    sim.close()
    sim.close()
    with pytest.raises(rediq.RediqError, match="the simulation is closed"):
        sim.advance(1)


STORY = """
import trio
import rediq_trio as rediq
from rediq_trio.testing import Simulation

app = rediq.App()

@app.task("flaky", max_retry=5)
async def flaky(number):
    await trio.sleep(number % 3)
    if rediq.current_task().attempt < 2 and number % 2:
        raise LookupError(number)
    return number

for seed in range(2):
    settings = {"queues": {"default": 2, "mail": 1}}
    with Simulation(app, servers=4, seed=seed, noise=True, settings=settings) as sim:
        for number in range(20):
            sim.enqueue(flaky.task(number), queue=("default", "mail")[number % 2])
        sim.at("w1", "claim", 2).kill()
        sim.at("w2", "settle", 2).lose_answer()
        sim.at("w3", "renew", 1).freeze(40)
        sim.advance(60)
        print(len(sim.history), sim.history.digest)
"""


def test_a_seed_gives_the_same_history_in_processes_that_hash_otherwise() -> None:
    def run(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", STORY], env=environment, check=True, stdout=subprocess.PIPE,
            text=True, timeout=300,
        ).stdout  # fmt: skip

    assert run("1") == run("2")


def test_a_broken_invariant_is_reported_at_the_step_that_breaks_it() -> None:
    with Simulation(app) as sim:
        lose_enqueued(sim.network, "settle")
        sim.enqueue(add.task(1, 2), retention=60)
        sim.advance(4)
        with pytest.raises(AssertionError, match=r"queue default: .*since this step: .* w0 settle#1"):
            sim.advance(60)
        assert 5 <= sim.world.now < 6
        # It is not forgotten.
        with pytest.raises(AssertionError, match="since this step"):
            sim.advance(1)
