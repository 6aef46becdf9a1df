"""World: hosts, the order of steps, simulated time, and what has no place in a simulation."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import trio
from trio.lowlevel import Task, checkpoint

from rediq_trio.testing.simulated import trio_run
from rediq_trio.testing.simulated.errors import Deadlock, RealWorld, Stuck
from rediq_trio.testing.simulated.stuck_guard import STUCK_AFTER
from rediq_trio.testing.simulated.trio_run import missing_names
from rediq_trio.testing.world import World


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_this_version_of_trio_has_the_private_names_that_are_used() -> None:
    assert missing_names() == []


def test_a_name_that_trio_does_not_have_any_more_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        _abort_func = None

    monkeypatch.setattr(trio_run, "TrioTask", Other)
    assert missing_names() == ["trio.lowlevel.Task._counter"]


def test_time_jumps_to_what_comes_next_and_stops_where_it_shall(world: World) -> None:
    seen: list[float] = []

    async def sleep() -> None:
        for _ in range(3):
            await trio.sleep(1000)
            seen.append(trio.current_time())

    world.start(world.add_host("a"), sleep)
    assert not world.run(until=1500)
    assert world.now == 1500
    assert seen == [1000]
    assert world.run(lambda: len(seen) == 3)
    assert seen == [1000, 2000, 3000]
    assert world.now == 3000


def test_an_event_is_called_at_its_instant(world: World) -> None:
    seen: list[tuple[str, float]] = []
    world.clock.at(2, lambda: seen.append(("later", world.now)))
    world.clock.at(1, lambda: seen.append(("first", world.now)))
    world.clock.at(1, lambda: seen.append(("second", world.now)))
    world.run(until=5)
    assert seen == [("first", 1), ("second", 1), ("later", 2)]


def test_nothing_of_a_killed_host_runs_not_even_a_finally() -> None:
    seen: list[str] = []
    world = World()
    host = world.add_host("a")

    async def work() -> None:
        try:
            await trio.sleep(10)
            seen.append("worked")
        finally:
            seen.append("finally")

    world.start(host, work)
    world.run(until=5)
    world.kill(host)
    world.run(until=100)
    assert seen == []
    world.close()
    assert seen == ["finally"]


def test_nothing_of_a_frozen_host_runs_until_it_is_thawed(world: World) -> None:
    seen: list[float] = []
    host = world.add_host("a")

    async def work() -> None:
        while True:
            await trio.sleep(1)
            seen.append(world.now)

    world.start(host, work)
    world.run(until=2.5)
    world.freeze(host)
    world.run(until=9.5)
    assert seen == [1, 2]
    world.thaw(host)
    world.run(until=11)
    assert seen == [1, 2, 9.5, 10.5]


def test_a_host_is_killed_between_two_steps_of_one_instant(world: World) -> None:
    # Both tasks are ready at the same time; the first one to run kills the host of the other.
    seen: list[str] = []
    one, other = world.add_host("one"), world.add_host("other")

    async def kill(name: str, victim: str) -> None:
        await trio.sleep(1)
        seen.append(name)
        world.kill(world.hosts[victim])

    world.start(one, kill, "one", "other")
    world.start(other, kill, "other", "one")
    world.run(until=10)
    assert seen == ["one"]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_steps_follows_from_the_seed(seed: int) -> None:
    def order(seed: int) -> list[int]:
        seen: list[int] = []
        world = World(seed, noise=True)

        async def work(number: int) -> None:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
                seen.append(number)

        host = world.add_host("a")
        for number in range(5):
            world.start(host, work, number)
        world.run(lambda: len(seen) == 25)
        world.close()
        return seen

    assert order(seed) == order(seed) != order(seed + 100)


def test_without_noise_the_oldest_task_runs_first(world: World) -> None:
    seen: list[int] = []

    async def work(number: int) -> None:
        event = events[number]
        await event.wait()
        seen.append(number)

    events = [trio.Event() for _ in range(4)]
    host = world.add_host("a")
    for number in range(4):
        world.start(host, work, number)
    world.run(until=1)
    with world.entered():
        for event in (events[2], events[0], events[3], events[1]):
            event.set()
    world.run(until=2)
    assert seen == [0, 1, 2, 3]


def test_each_host_draws_from_a_stream_of_its_own() -> None:
    one, other = World(1), World(1)
    hosts = one.add_host("a"), one.add_host("b"), other.add_host("b")
    assert hosts[1].entropy(8) == hosts[2].entropy(8) != hosts[0].entropy(8)
    one.close()
    other.close()


def test_the_tree_of_tasks_is_shown_when_nothing_will_ever_happen_again(world: World) -> None:
    async def wait_for_ever() -> None:
        await trio.sleep_forever()

    world.start(world.add_host("a"), wait_for_ever)
    with pytest.raises(Deadlock, match=r"(?s)nothing will ever happen again, after .*wait_for_ever"):
        world.run()


def test_an_error_of_a_task_ends_the_simulation(world: World) -> None:
    async def fail() -> None:
        await trio.sleep(3)
        raise LookupError("no")

    world.start(world.add_host("a"), fail)
    with pytest.raises(LookupError, match="no"):
        world.run(until=10)
    assert world.now == 3


async def in_a_thread() -> None:
    await trio.to_thread.run_sync(time.sleep, 0.05)


async def on_a_socket() -> None:
    one, other = trio.socket.socketpair()
    with one, other:
        with trio.move_on_after(1):
            await one.recv(1)


@pytest.mark.parametrize("work", [in_a_thread, on_a_socket])
def test_threads_and_sockets_are_refused_with_the_line(world: World, work: object) -> None:
    world.start(world.add_host("a"), work)  # type: ignore[arg-type]
    with pytest.raises(RealWorld, match=rf"(?s)allow_real=True.*test_world.py:\d+ in {work.__name__}"):  # type: ignore[attr-defined]
        world.run(until=10)


def test_time_stands_still_while_an_allowed_thread_runs() -> None:
    world = World(allow_real=True)
    ended: list[float] = []

    async def work() -> None:
        await trio.sleep(1)
        await in_a_thread()
        ended.append(trio.current_time())

    async def tick() -> None:
        while True:
            await trio.sleep(0.1)

    world.start(world.add_host("a"), work)
    world.start(world.add_host("b"), tick)
    world.run(until=10)
    world.close()
    assert ended == [1]


def test_a_step_that_blocks_is_interrupted_and_shown() -> None:
    world = World()

    async def block() -> None:
        await trio.sleep(1)
        time.sleep(600)  # noqa: ASYNC251

    world.start(world.add_host("a"), block)
    begun = time.monotonic()
    with pytest.raises(Stuck, match=r"(?s)has not ended; it is at.*in block.*time.sleep\(600\)"):
        world.run(until=10)
    assert STUCK_AFTER <= time.monotonic() - begun < 300
    world.close()


def test_steps_without_end_that_take_no_time_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rediq_trio.testing.simulated.stuck_guard.STUCK_AFTER", 0.5)
    world = World()

    async def spin() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    world.start(world.add_host("a"), spin)
    with pytest.raises(Stuck, match=r"(?s)The tasks are:.*test_world.py:\d+.*spin"):
        world.run(until=10)
    # Nothing is interrupted any more: an interrupt would end the test from here on.
    time.sleep(1.0)
    world.close()


def test_a_task_that_does_not_end_at_the_close_is_shown() -> None:
    world = World()

    async def shield() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

    world.start(world.add_host("a"), shield)
    world.run(until=1)
    with pytest.raises(Stuck, match=r"(?s)did not end when they were cancelled:.*shield"):
        world.close()


def test_a_world_can_be_used_inside_a_run_of_trio() -> None:
    async def main() -> float:
        world = World()

        async def work() -> Task:
            await trio.sleep(50)
            return trio.lowlevel.current_task()

        world.start(world.add_host("a"), work)
        world.run(until=100)
        begun = trio.current_time()
        await checkpoint()
        world.close()
        return trio.current_time() - begun

    assert trio.run(main) < 10
