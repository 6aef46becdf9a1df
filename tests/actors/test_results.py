"""What a handler hands over has bounds. Under the real clock: large values are packed in threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from rediq_trio.wire.envelope import pack_value
from rediq_trio.wire.sizes import exceeds, is_small, least_size
from rediq_trio.wire.structuring import to_plain

MB = 1024 * 1024


@attrs.define
class Row:
    name: str
    more: Any = None


VALUES: dict[str, Callable[[], Any]] = {
    "text": lambda: "x" * (100 * MB),
    "bytes": lambda: bytes(100 * MB),
    "texts": lambda: ["x" * MB] * 100,
    "numbers": lambda: [1] * (20 * MB),
    "a deep mapping": lambda: {"a": {"b": [{"c": "x" * MB} for _ in range(100)]}},
    "attrs": lambda: Row("x", [Row("y" * MB) for _ in range(100)]),
    "a key": lambda: {"x" * (100 * MB): 1},
    "a set": lambda: {"x" * (100 * MB)},
}


async def longest_pause(over: trio.Event) -> float:
    """Return the longest time for which the event loop did not come around."""
    longest, last = 0.0, time.perf_counter()
    while not over.is_set():
        await trio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest


@pytest.mark.parametrize("name", VALUES)
async def test_a_result_above_the_bound_is_dead_at_once_and_holds_nobody_up(name: str) -> None:
    app = rediq.App()
    value = VALUES[name]()
    pauses: list[float] = []
    over = trio.Event()

    @app.task("large")
    async def large() -> Any:
        return value

    async def watch() -> None:
        pauses.append(await longest_pause(over))

    async with rediq.serve(app, MemoryStore()) as server, trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        info = await (await server.client.enqueue(large.task())).wait(timeout=60)
        over.set()
    assert (info.state, info.attempt) == (State.DEAD, 1)
    assert info.error is not None
    assert info.error.startswith("PayloadTooLarge: result: ")
    assert info.error.endswith("at most 524,288 are allowed")
    # To pack one of them takes longer, and the machine may be busy.
    assert pauses[0] < 2.0


async def test_the_bound_is_that_of_payloads_unless_max_result_says_otherwise() -> None:
    app = rediq.App()

    @app.task("text", max_retry=0)
    async def text(length: int) -> str:
        return "x" * length

    async def error_of(length: int, **options: Any) -> str | None:
        async with rediq.serve(app, MemoryStore(), **options) as server:
            return (await (await server.client.enqueue(text.task(length))).wait(timeout=60)).error

    assert await error_of(500, max_payload=600) is None
    refused = "PayloadTooLarge: result: 703 bytes packed; at most 600 are allowed"
    assert await error_of(700, max_payload=600) == refused
    assert await error_of(700, max_payload=600, max_result=1000) is None
    assert await error_of(700, max_result=600) == refused
    assert await error_of(MB, max_result=2 * MB) is None


@pytest.mark.parametrize("length", [700, MB])
async def test_a_step_has_the_bound_too_and_may_be_caught(length: int) -> None:
    app = rediq.App()

    @app.task("step")
    async def step(*, catches: bool) -> str:
        try:
            return await rediq.current_task().once("one", lambda: "x" * length)
        except rediq.PayloadTooLarge as error:
            if catches:
                return str(error)
            raise

    async with rediq.serve(app, MemoryStore(), max_result=600) as server:
        caught = await (await server.client.enqueue(step.task(catches=True))).result(timeout=60)
        info = await (await server.client.enqueue(step.task(catches=False))).wait(timeout=60)
    assert caught.endswith("at most 600 are allowed")
    assert (info.state, info.attempt) == (State.DEAD, 1)
    assert info.error == f"PayloadTooLarge: {caught}"


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_child_above_the_bound_of_payloads_makes_its_parent_dead(*, grouped: bool) -> None:
    app = rediq.App()

    @app.task("child")
    async def child(data: bytes) -> None: ...

    async def enqueue() -> None:
        rediq.current_task().enqueue_after(child.task(bytes(100 * MB)))

    @app.task("parent")
    async def parent() -> None:
        if not grouped:
            await enqueue()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enqueue)
            nursery.start_soon(trio.sleep_forever)

    async with rediq.serve(app, MemoryStore()) as server:
        info = await (await server.client.enqueue(parent.task())).wait(timeout=60)
    assert (info.state, info.attempt) == (State.DEAD, 1)
    assert info.error is not None
    assert "PayloadTooLarge: payload: at least 104,857,607 bytes packed" in info.error


async def test_an_error_and_a_progress_of_100_mb_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    app = rediq.App()
    large = "x" * (100 * MB)

    @app.task("raise", max_retry=0)
    async def throw(kind: str) -> None:
        rediq.current_task().progress(1, large)
        match kind:
            case "text":
                raise ValueError(large)
            case "key":
                raise KeyError(large)
            case "object":
                raise ValueError([large] * 10)
            case "cause":
                raise ValueError("small") from ValueError(large)
            case _:
                raise ExceptionGroup("small", [ValueError(large), KeyError(large)])

    async with rediq.serve(app, MemoryStore()) as server:
        for kind in ("text", "key", "object", "cause", "group"):
            info = await (await server.client.enqueue(throw.task(kind))).wait(timeout=60)
            assert info.error is not None
            assert info.progress is not None
            assert info.progress.message is not None
            assert 300 < len(info.error) <= 2000
            assert len(info.progress.message) == 1000
    assert len(caplog.text) < 50_000
    assert caplog.text.count("Traceback (most recent call last)") == 5


@pytest.mark.parametrize(
    "what", ["step", "progress", "error", "cause", "metadata", "key of metadata", "child", "id"]
)
async def test_whatever_100_mb_are_handed_over_as_hold_nobody_up(what: str) -> None:
    app = rediq.App()
    large = "x" * (100 * MB)
    pauses: list[float] = []
    over = trio.Event()

    @app.task("large", max_retry=0)
    async def hand_over() -> None:
        current = rediq.current_task()
        match what:
            case "step":
                await current.once("step", lambda: large)
            case "progress":
                current.progress(1, large)
            case "error":
                raise ValueError(large)
            case "cause":
                raise ValueError("small") from KeyError([large] * 10)
            case "metadata":
                current.enqueue_after(hand_over.options(metadata={"key": large}).task())
            case "key of metadata":
                current.enqueue_after(hand_over.options(metadata={large: "value"}).task())
            case "id":
                current.enqueue_after(hand_over.options(id=large).task())
            case _:
                current.enqueue_after(rediq.Task("other", {"argument": large}))

    async def watch() -> None:
        pauses.append(await longest_pause(over))

    async with rediq.serve(app, MemoryStore()) as server, trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        info = await (await server.client.enqueue(hand_over.task())).wait(timeout=60)
        over.set()
    assert info.state is (State.COMPLETED if what == "progress" else State.DEAD)
    assert len(info.error or "") <= 2000
    assert pauses[0] < 2.0


@pytest.mark.parametrize(
    "value",
    [
        None, 1, 2**63, 1.5, True, "x", "", b"x", [], [1, 2], {}, {"a": 1}, {"a": [1, {"b": "c"}]},
        (1, "two"), {1, 2}, Row("x"), Row("x", [Row("y")]), "ä" * 10,
    ],
)  # fmt: skip
def test_the_least_size_is_never_above_the_size(value: Any) -> None:
    packed = len(pack_value(to_plain(value)))
    # The names of fields are packed, and not counted.
    assert least_size(value, 10**9) <= packed
    assert not exceeds(value, packed)
    assert is_small(value, packed)


def test_a_value_that_contains_itself_has_no_size_and_is_too_large() -> None:
    value: list[Any] = []
    value.append(value)
    assert exceeds(value, 1000)
