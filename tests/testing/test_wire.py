"""The wire: the same answers as the store, first in, first out, and what can befall a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio

from rediq_trio import ConnectionLost
from rediq_trio.spec.lifecycle import State
from rediq_trio.spec.messages import Completed, NewTask
from rediq_trio.spec.operations import OPERATIONS
from rediq_trio.store.broadcast import Signal, SignalKind
from rediq_trio.store.memory import MemoryStore
from rediq_trio.store.port import METHODS, OF_THE_STORE, READS, WRITES
from rediq_trio.testing.conformance import ConformanceCase, cases
from rediq_trio.testing.effects import Effect
from rediq_trio.testing.network import SimNetwork
from rediq_trio.testing.simulated.store import SimStore
from rediq_trio.testing.wire import HANG, Spoil, SpoilKind, Wire
from rediq_trio.testing.world import World
from rediq_trio.wire.envelope import pack_value
from tests.conformance.wired import WiredWorld


@pytest.fixture
def network() -> Iterator[SimNetwork]:
    world = World()
    network = SimNetwork(world)
    yield network
    with world.entered():
        network.end()
    world.close()


def new(task_id: str) -> NewTask:
    return NewTask(task_id, pack_value({}))


def run(network: SimNetwork, wire: Wire, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Start a call on a host; the list will have its answer or its error."""
    box: list[Any] = []

    async def make() -> None:
        try:
            box.append(await call())
        except Exception as error:
            box.append(error)

    network.world.start(wire.host, make)
    return box


def answer(network: SimNetwork, wire: Wire, call: Callable[[], Awaitable[Any]]) -> Any:
    box = run(network, wire, call)
    network.world.run(lambda: bool(box))
    return box[0]


def spoil(network: SimNetwork, name: str, kind: SpoilKind, seconds: float = 0.0) -> None:
    """Let something befall the first effect of a name, once."""
    left = [Spoil(kind, seconds)]

    def rule(effect: Effect) -> Spoil | None:
        return left.pop() if effect.name == name and left else None

    network.rule = rule


def test_the_wire_carries_every_method_of_the_store() -> None:
    own = vars(Wire).keys()
    assert {"_do", "listen", "unconfirmed"} <= own
    assert READS.keys() | WRITES.keys() <= own
    assert OPERATIONS.keys() | READS.keys() | WRITES.keys() | OF_THE_STORE == METHODS


def test_without_faults_the_answers_are_those_of_the_store(network: SimNetwork) -> None:
    wire, plain = network.connect("a"), MemoryStore(network.world.now_ms)

    async def story(store: Any) -> list[Any]:
        found = [
            await store.enqueue("q", (new("one"), new("two"), new("one"))),
            await store.claim("q", limit=1, lease_ms=1000, worker="w", nonce=b"12345678"),
        ]
        fence = found[1].leases[0].fence
        found += [
            await store.renew("q", (fence,), lease_ms=1000),
            await store.settle("q", (Completed(fence, b""),)),
            await store.settle("q", (Completed(fence, b""),)),
            await store.cancel("q", "two"),
            await store.list("q", State.PENDING, limit=5),
            (await store.stats("q")).sizes,
            await store.queues(),
            await store.pause("q", note=b"why"),
        ]
        return found

    by_wire = answer(network, wire, lambda: story(wire))
    directly = trio.run(story, plain)
    assert repr(by_wire[2:]) == repr(directly[2:])
    assert [lease.fence for lease in by_wire[1].leases] == [x.fence for x in directly[1].leases]


def test_an_error_of_the_store_reaches_the_caller(network: SimNetwork) -> None:
    wire = network.connect("a")
    found = answer(network, wire, lambda: wire.list("q", State.DEAD, limit=1, after="x"))
    assert type(found).__name__ == "TaskNotFound"


@pytest.mark.parametrize("seed", range(5))
def test_calls_of_one_host_arrive_in_the_order_in_which_they_were_made(seed: int) -> None:
    world = World(seed, noise=True)
    network = SimNetwork(world, noise=True)
    wire = network.connect("a")
    answered: list[int] = []

    async def call(number: int) -> None:
        await trio.sleep(number / 1_000_000)
        await wire.enqueue("q", (new(f"t{number}"),))
        answered.append(number)

    for number in range(30):
        world.start(wire.host, call, number)
    world.run(lambda: len(answered) == 30)
    assert [effect.args[1][0].id for effect in network.history] == [f"t{n}" for n in range(30)]
    assert sorted(answered) == [*range(30)]
    world.close()


def test_a_call_arrives_although_its_caller_was_cancelled(network: SimNetwork) -> None:
    wire = network.connect("a")

    async def give_up() -> None:
        with trio.move_on_after(0.0001):
            await wire.enqueue("q", (new("one"),))

    answer(network, wire, give_up)
    assert len(network.history) == 0
    network.world.run(until=1)
    assert [effect.name for effect in network.history] == ["enqueue"]


def test_a_call_arrives_although_its_host_was_killed(network: SimNetwork) -> None:
    wire = network.connect("a")
    box = run(network, wire, lambda: wire.enqueue("q", (new("one"),)))
    network.world.run(until=0.0002)
    network.kill(wire.host)
    network.world.run(until=1)
    assert [effect.name for effect in network.history] == ["enqueue"]
    assert box == []


def test_a_lost_call_never_happens(network: SimNetwork) -> None:
    wire = network.connect("a")
    spoil(network, "enqueue", "lose_call")
    assert isinstance(answer(network, wire, lambda: wire.enqueue("q", (new("one"),))), ConnectionLost)
    network.world.run(until=10)
    assert network.store.queue_states.get("q") is None
    assert len(network.history) == 0


def test_a_call_whose_answer_is_lost_has_happened(network: SimNetwork) -> None:
    wire = network.connect("a")
    spoil(network, "enqueue", "lose_answer")
    assert isinstance(answer(network, wire, lambda: wire.enqueue("q", (new("one"),))), ConnectionLost)
    assert network.store.queue_states["q"].records.keys() == {"one"}


def test_a_late_call_happens_after_its_caller_got_an_error(network: SimNetwork) -> None:
    wire = network.connect("a")
    spoil(network, "enqueue", "late", 5)
    assert isinstance(answer(network, wire, lambda: wire.enqueue("q", (new("one"),))), ConnectionLost)
    network.world.run(until=4)
    assert network.store.queue_states.get("q") is None
    network.world.run(until=6)
    assert network.store.queue_states["q"].records.keys() == {"one"}
    assert [effect.nth for effect in network.history] == [1]


def test_a_delayed_answer_holds_up_those_behind_it(network: SimNetwork) -> None:
    wire = network.connect("a")
    spoil(network, "enqueue", "delay", 5)
    first = run(network, wire, lambda: wire.enqueue("q", (new("one"),)))
    second = run(network, wire, lambda: wire.queues())
    network.world.run(until=4)
    assert network.store.queue_states["q"].records.keys() == {"one"}
    assert (first, second) == ([], [])
    network.world.run(until=6)
    assert second == [("q",)]


def test_the_host_of_an_effect_is_killed_before_it_reads_the_answer(network: SimNetwork) -> None:
    wire = network.connect("a")
    spoil(network, "enqueue", "kill")
    box = run(network, wire, lambda: wire.enqueue("q", (new("one"),)))
    network.world.run(until=10)
    assert wire.host.state == "dead"
    assert box == []
    assert network.store.queue_states["q"].records.keys() == {"one"}


def test_a_claim_without_a_task_has_no_number(network: SimNetwork) -> None:
    wire = network.connect("a")

    def claim() -> Awaitable[Any]:
        return wire.claim("q", limit=1, lease_ms=1000, worker="w", nonce=b"12345678")

    answer(network, wire, claim)
    answer(network, wire, lambda: wire.enqueue("q", (new("one"),)))
    found = answer(network, wire, claim)
    fence = found.leases[0].fence
    answer(network, wire, lambda: wire.settle("q", (Completed(fence, b""),)))
    assert [(effect.name, effect.nth) for effect in network.history] == [
        ("enqueue", 1), ("claim", 1), ("settle", 1),
    ]  # fmt: skip
    assert network.history[2].numbers == {"settle": 1, "complete": 1}


@pytest.mark.parametrize(("hangs", "after"), [(False, 0.01), (True, HANG)])
def test_calls_of_a_cut_fail_and_later_ones_get_through(
    network: SimNetwork, hangs: bool, after: float
) -> None:
    wire = network.connect("a")
    flying = run(network, wire, lambda: wire.enqueue("q", (new("one"),)))
    network.world.run(until=0.0002)
    with network.world.entered():
        wire.cut(20, hangs=hangs)
    begun = network.world.now
    found = answer(network, wire, wire.queues)
    assert isinstance(found, ConnectionLost)
    assert not found.sent
    assert network.world.now - begun == pytest.approx(after)
    assert isinstance(flying[0], ConnectionLost)
    network.world.run(until=21)
    assert answer(network, wire, wire.queues) == ()


def test_signals_are_lost_in_a_cut_and_the_listener_looks_again_after_it(
    network: SimNetwork,
) -> None:
    listening, sending = network.connect("a"), network.connect("b")
    heard: list[tuple[float, Signal]] = []

    async def listen() -> None:
        with listening.listen([("q", "")]) as signals:
            async for signal in signals:
                heard.append((network.world.now, signal))

    network.world.start(listening.host, listen)
    network.world.run(until=1)
    answer(network, sending, lambda: sending.enqueue("q", (new("one"),)))
    network.world.run(until=2)
    kinds = [signal.kind for _, signal in heard]
    assert kinds == [SignalKind.RESYNC, SignalKind.WAKE]
    with network.world.entered():
        listening.cut(10)
    answer(network, sending, lambda: sending.enqueue("q", (new("two"),)))
    network.world.run(until=11)
    assert len(heard) == 2
    network.world.run(until=13)
    assert [(at, signal.kind) for at, signal in heard[2:]] == [(12, SignalKind.RESYNC)]


def test_a_failover_forgets_the_last_seconds(network: SimNetwork) -> None:
    wire = network.connect("a")
    answer(network, wire, lambda: wire.enqueue("q", (new("one"),)))
    network.world.run(until=10)
    answer(network, wire, lambda: wire.enqueue("q", (new("two"),)))
    network.world.run(until=11)
    with network.world.entered():
        network.fail_over(2)
    assert network.store.queue_states["q"].records.keys() == {"one"}
    assert isinstance(answer(network, wire, wire.queues), ConnectionLost)


def test_a_late_step_of_a_frozen_host_waits_until_it_goes_on(network: SimNetwork) -> None:
    wire = network.connect("a")
    spoil(network, "enqueue", "freeze", 30)
    box = run(network, wire, lambda: wire.enqueue("q", (new("one"),)))
    network.world.run(until=29)
    assert box == []
    network.world.run(until=31)
    assert len(box) == 1


@pytest.mark.parametrize("file", ["test_claim.py", "test_settle.py", "test_signals.py"])
def test_some_of_the_conformance_suite_passes_over_a_wire(file: str) -> None:
    # All of it: `pytest -m slow tests/conformance -k wire`.
    chosen = [case for case in cases() if case.name.startswith(file)]
    assert len(chosen) >= 10
    for case in chosen:
        run_wired(case)


def test_a_fault_in_the_store_fails_a_case_over_a_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    [case] = [each for each in cases() if each.name == "test_claim.py::test_a_claim_leases_a_task"]
    claim = SimStore.claim

    def late(self: SimStore, queue: str, /, *, lease_ms: int, **options: Any) -> Any:
        return claim(self, queue, lease_ms=lease_ms + 1, **options)

    monkeypatch.setattr(SimStore, "claim", late)
    with pytest.raises(AssertionError):
        run_wired(case)


def run_wired(case: ConformanceCase) -> None:
    """Run a case on a store that is at the other end of a wire."""
    wired = WiredWorld()
    wired.run(lambda: case.run_in_trio(wired.open_store))
