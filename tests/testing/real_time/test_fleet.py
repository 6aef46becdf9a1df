"""RealFleet: servers on a Redis of their own, in real time, driven by plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio.testing.real_time.fleet import RealFleet
from rediq_trio.testing.simulated.errors import Deadlock, NotAtRest
from rediq_trio.testing.simulated.handle import SimHandle
from tests.servers import require_embedded

LEASE = 0.5
OpenFleet = Callable[..., RealFleet]


@attrs.define
class Work:
    """An app whose handler waits for a moment, and notes how far it came."""

    begun: list[str] = attrs.field(factory=list)
    cleaned: list[str] = attrs.field(factory=list)
    done: list[str] = attrs.field(factory=list)
    app: rediq.App[Any] = attrs.field(factory=lambda: rediq.App("real"))

    def __attrs_post_init__(self) -> None:
        @self.app.task("work", max_retry=0)
        async def work(name: str, seconds: float = 0.01) -> str:
            self.begun.append(name)
            try:
                await trio.sleep(seconds)
            finally:
                self.cleaned.append(name)
            self.done.append(name)
            return name

    def task(self, name: str, seconds: float = 0.01) -> rediq.Task[str]:
        made: rediq.Task[str] = self.app.handler("work").task(name, seconds)
        return made


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def open_fleet(work: Work) -> Iterator[OpenFleet]:
    require_embedded()
    with ExitStack() as opened:

        def open_one(servers: int = 1) -> RealFleet:
            return opened.enter_context(
                RealFleet(work.app, servers=servers, settings={"lease": LEASE})
            )

        yield open_one


def wait_until(fleet: RealFleet, condition: Callable[[], object]) -> None:
    for _ in range(1000):
        if condition():
            return
        fleet.wait(0.01)
    raise AssertionError("it did not come in 10 s")


def test_a_task_is_run_by_a_server(open_fleet: OpenFleet, work: Work) -> None:
    fleet = open_fleet()
    handle = fleet.enqueue(work.task("a"), retention=60)
    assert handle.created
    assert handle.result() == "a"
    assert handle.info().state == "completed"
    fleet.check()


def test_a_killed_server_runs_nothing_more_and_another_takes_over(
    open_fleet: OpenFleet, work: Work
) -> None:
    fleet = open_fleet()
    fleet.at("w0", "step").kill()
    handle = fleet.enqueue(work.task("a"))
    wait_until(fleet, lambda: fleet.server["w0"].state == "dead")
    assert (work.begun, work.cleaned, work.done) == (["a"], [], [])
    fleet.start("w0")
    assert handle.result() == "a"
    assert (work.begun, work.cleaned, work.done) == (["a", "a"], ["a"], ["a"])
    fleet.close()
    # What was left of it ends only now.
    assert (work.cleaned, work.done) == (["a", "a"], ["a"])


def connections(fleet: RealFleet, name: str) -> int:
    """Return how many connections of a name there are, which are closed."""
    return fleet._redis.break_connections(name)


def test_the_connections_of_a_killed_server_break(open_fleet: OpenFleet) -> None:
    fleet = open_fleet(2)
    fleet.kill("w0")
    assert connections(fleet, "w0") == 0
    assert connections(fleet, "w1") > 0


def test_a_cut_breaks_the_connections_and_the_server_connects_again(
    open_fleet: OpenFleet, work: Work
) -> None:
    fleet = open_fleet()
    handle = fleet.enqueue(work.task("a", 0.1))
    wait_until(fleet, lambda: work.begun)
    fleet.cut("w0")
    fleet.cut("client")
    assert handle.result() == "a"
    assert work.begun == ["a"]
    assert connections(fleet, "w0") > 0


def test_a_deploy_ends_a_server_in_good_order_and_starts_another(
    open_fleet: OpenFleet, work: Work
) -> None:
    fleet = open_fleet()
    before = fleet.server["w0"].host
    handle = fleet.enqueue(work.task("a", 0.1))
    wait_until(fleet, lambda: work.begun)
    fleet.deploy("w0")
    assert handle.result() == "a"
    wait_until(fleet, lambda: fleet.server["w0"].host is not before)
    assert fleet.server["w0"].state == "up"
    assert work.begun == ["a"]


def test_rest_waits_until_no_work_is_left(open_fleet: OpenFleet, work: Work) -> None:
    fleet = open_fleet()
    fleet.enqueue(work.task("a", 0.3))
    wait_until(fleet, lambda: work.begun)
    fleet.rest()
    assert work.done == ["a"]


def test_a_fleet_that_is_not_at_rest_says_what_is_left(open_fleet: OpenFleet, work: Work) -> None:
    fleet = open_fleet(0)
    fleet.enqueue(work.task("a"))
    with pytest.raises(NotAtRest, match=r"0\.05 s have passed.*queue default has 1 pending"):
        fleet.rest(within=0.05)


def test_a_damaged_queue_is_found(open_fleet: OpenFleet, work: Work) -> None:
    fleet = open_fleet(0)
    handle = fleet.enqueue(work.task("a"))
    with fleet._redis._opened() as stream:
        stream.write(b"DEL rediq:{default}:pending\r\n")
        stream.flush()
        assert stream.readline() == b":1\r\n"
    with pytest.raises(AssertionError, match=f"queue default: .*{handle.id.split('/')[1]}"):
        fleet.check()


def test_a_wait_that_is_too_long_is_over_after_its_timeout(
    open_fleet: OpenFleet, work: Work
) -> None:
    handle: SimHandle[str] = open_fleet(0).enqueue(work.task("a"))
    with pytest.raises(trio.TooSlowError):
        handle.result(timeout=0.05)


def test_a_call_that_never_ends_is_a_deadlock(
    open_fleet: OpenFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = open_fleet(0)
    monkeypatch.setattr("rediq_trio.testing.real_time.fleet.CALL_WITHIN", 0.05)
    with pytest.raises(Deadlock, match=r"waited for sleep_forever for 0\.05 s"):
        fleet.do(trio.sleep_forever)


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("advance", lambda fleet: fleet.advance(1)),
        ("freeze", lambda fleet: fleet.freeze("w0", 1)),
        ("failover", lambda fleet: fleet.failover()),
        ("a cut that lasts", lambda fleet: fleet.cut("w0", 1)),
        ("a cut that lasts", lambda fleet: fleet.cut("w0", hangs=True)),
        (r"at\(\)\.freeze", lambda fleet: fleet.at("w0", "step").freeze(1)),
    ],
)
def test_what_needs_simulated_time_is_refused(
    open_fleet: OpenFleet, what: str, call: Callable[[RealFleet], object]
) -> None:
    with pytest.raises(rediq.ConfigError, match=rf"{what} is not possible on embedded://.*real time"):
        call(open_fleet())


def test_misuse_is_named(open_fleet: OpenFleet) -> None:
    fleet = open_fleet()
    with pytest.raises(rediq.ConfigError, match="calls to a real Redis are not counted"):
        fleet.at("w0", "claim").kill()
    with pytest.raises(rediq.ConfigError, match="one of the fleet: w0"):
        fleet.kill("w1")
    with pytest.raises(rediq.ConfigError, match="dead or stopped; it is up"):
        fleet.start("w0")
    fleet.close()
    with pytest.raises(rediq.RediqError, match="the fleet is closed"):
        fleet.rest()


def test_a_fleet_that_is_left_open_is_warned_of(work: Work) -> None:
    require_embedded()
    fleet = RealFleet(work.app)
    with pytest.warns(ResourceWarning, match="<RealFleet of 1 servers> was left open"):
        fleet.__del__()
    fleet.close()
