from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from hypothesis import Phase, settings
from hypothesis.stateful import rule, run_state_machine_as_test

import rediq_trio as rediq
from rediq_trio.testing import QueueMachine, Simulation
from rediq_trio.testing.real_time.fleet import RealFleet
from tests.servers import require_embedded

SECONDS = 3.0
"""How long the handler takes."""


class Work(QueueMachine):
    """A fleet whose handler waits, then writes into a list."""

    def make_app(self) -> rediq.App[Any]:
        self.done: list[str] = []
        self.checked = 0
        app = rediq.App("machine")

        @app.task("work", max_retry=0)
        async def work(name: str) -> None:
            await trio.sleep(SECONDS)
            if name == "bad":
                raise ValueError("bad work")
            self.done.append(name)

        return app

    def add(self, name: str) -> None:
        self.enqueue(self.app.handler("work").task(name))

    def at_rest(self) -> None:
        self.checked += 1


@pytest.fixture
def machine() -> Iterator[Work]:
    made = Work()
    yield made
    made.sim.close()


def test_a_fleet_recovers_from_everything_that_its_rules_break(machine: Work) -> None:
    machine.add("a")
    machine.dies_in_a_handler("w0", 1)
    machine.dies_in_a_handler("w1", 1)
    machine.time_passes(1.0)
    machine.server_dies("w0", 12.0)
    machine.server_dies("w0", 12.0)  # it is dead already
    machine.freezes("w1", 12.0)
    machine.connection_breaks("w1", 1.0, True)
    machine.answer_lost("w1", "settle")
    machine.deploy("w1")
    machine.pause("default")
    machine.add("b")
    machine.teardown()
    assert machine.checked == 1
    assert set(machine.done) == {"a", "b"}
    assert isinstance(machine.sim, Simulation)
    assert machine.sim.network.store.queue_state("default").records


def test_a_server_that_died_starts_again_when_its_time_has_come(machine: Work) -> None:
    machine.server_dies("w0", 12.0)
    machine.time_passes(11.0)
    assert machine.sim.server["w0"].state == "dead"
    machine.time_passes(2.0)
    assert machine.sim.server["w0"].state == "up"


def test_a_server_dies_at_a_step_of_a_handler_and_starts_again_soon(machine: Work) -> None:
    machine.dies_in_a_handler("w0", 1)
    machine.dies_in_a_handler("w1", 1)
    machine.add("a")
    machine.time_passes(SECONDS + 0.05)
    assert sorted(server.state for server in machine.sim.server.values()) == ["dead", "up"]
    assert machine.done == []
    machine.time_passes(1.0)
    assert {server.state for server in machine.sim.server.values()} == {"up"}


def test_people_cancel_and_retry_tasks(machine: Work) -> None:
    machine.add("a")
    machine.add("bad")
    machine.cancel(0)
    machine.time_passes(5.0)
    assert [handle.info().state for handle in machine.handles] == ["cancelled", "dead"]
    machine.cancel(1)
    machine.retry(1)
    first, second = (handle.info() for handle in machine.handles)
    assert (first.state, second.state) in [("cancelled", "pending"), ("cancelled", "active")]


def test_a_paused_queue_starts_nothing_until_it_is_resumed(machine: Work) -> None:
    machine.pause("default")
    machine.add("a")
    machine.time_passes(12.0)
    assert machine.done == []
    machine.resume("default")
    machine.time_passes(12.0)
    assert machine.done == ["a"]


def test_a_repair_resumes_the_queues_and_starts_the_servers(machine: Work) -> None:
    machine.pause("default")
    machine.sim.network.on_death = lambda _: None
    machine.sim.kill("w0")
    machine.add("a")
    machine.repair()
    machine.time_passes(5.0)
    assert machine.done == ["a"]
    assert machine.sim.server["w0"].state == "up"


def test_what_at_rest_asserts_fails_the_machine() -> None:
    class Wrong(Work):
        def at_rest(self) -> None:
            assert self.done == [], "work was done"

    machine = Wrong()
    machine.add("a")
    with pytest.raises(AssertionError, match="work was done"):
        machine.teardown()
    machine.sim.close()


class Twice(Work):
    """A machine whose tasks must not be run twice, and are when a server dies."""

    @rule()
    def begin(self) -> None:
        self.enqueue(self.app.handler("work").task("a"), retention=3600)

    def at_rest(self) -> None:
        for handle in self.handles:
            assert handle.info().deliveries < 2, "a task was run twice"


def test_the_timeline_of_the_failing_run_is_printed() -> None:
    options = settings(
        Twice.TestCase.settings, max_examples=300, stateful_step_count=8, derandomize=True,
        database=None, phases=[Phase.generate],
    )  # fmt: skip
    with pytest.raises(AssertionError, match="a task was run twice") as caught:
        run_state_machine_as_test(Twice, settings=options)
    said = "\n".join(caught.value.__notes__)
    assert "state = Twice()" in said
    happened = said.split("What happened:\n")[1]
    assert re.search(r"^ +\d+\.\d{3} s  client enqueue no\. 1: default/", happened, re.MULTILINE)
    assert "delivery 2" in happened
    assert "FAULT" in happened


def test_a_machine_without_an_app_is_named() -> None:
    class NoApp(QueueMachine): ...

    with pytest.raises(rediq.ConfigError, match="NoApp must define make_app"):
        NoApp()


def test_an_unknown_url_is_refused() -> None:
    class Elsewhere(Work):
        url = "redis://localhost"

    with pytest.raises(rediq.ConfigError, match=r"memory:// or embedded://"):
        Elsewhere()


class RealWork(Work):
    """The same fleet on a real Redis."""

    url = "embedded://"


@pytest.fixture
def real_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealWork]:
    require_embedded()
    monkeypatch.setattr("tests.testing.test_machine.SECONDS", 0.05)
    made = RealWork()
    yield made
    made.sim.close()


def test_a_fleet_on_a_real_redis_recovers_from_what_its_rules_break(real_machine: RealWork) -> None:
    machine = real_machine
    assert isinstance(machine.sim, RealFleet)
    machine.add("a")
    machine.dies_in_a_handler("w0", 1)
    machine.servers_run()
    machine.server_dies("w1", 0.0)
    machine.server_dies("w1", 0.0)  # it is dead already
    machine.connection_breaks("w1", 0.0, False)
    machine.deploy("w0")
    machine.pause("default")
    machine.add("b")
    machine.teardown()
    assert machine.checked == 1
    assert set(machine.done) == {"a", "b"}


def test_people_cancel_and_retry_tasks_on_a_real_redis(real_machine: RealWork) -> None:
    machine = real_machine
    machine.add("bad")
    machine.sim.rest()
    machine.pause("default")
    machine.add("a")
    machine.cancel(1)
    machine.cancel(0)  # it is dead
    machine.retry(0)
    first, second = (handle.info() for handle in machine.handles)
    assert (first.state, second.state) == ("pending", "cancelled")


def test_a_server_that_died_on_a_real_redis_starts_again_at_once(real_machine: RealWork) -> None:
    machine = real_machine
    machine.server_dies("w0", 0.0)
    machine.repair()
    machine.add("a")
    machine.sim.rest()
    assert machine.sim.server["w0"].state == "up"
    assert machine.sim.server["w0"].host.name == "w0#1"


@pytest.mark.parametrize(
    "rule",
    [
        lambda machine: machine.time_passes(1.0),
        lambda machine: machine.freezes("w0", 1.0),
        lambda machine: machine.connection_breaks("w0", 1.0, False),
    ],
)
def test_what_lasts_is_refused_on_a_real_redis(real_machine: RealWork, rule: Any) -> None:
    with pytest.raises(rediq.ConfigError, match="is not possible on embedded://"):
        rule(real_machine)
