"""What a handler leaves open fails its attempt, and nothing else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.spec.messages import Completed, Failed, Outcome
from tests.actors.parts import Bench, new_task

pytestmark = pytest.mark.mock_clock

Handler = Callable[[AsyncExitStack], Coroutine[Any, Any, object]]
ADVICE = "Open what outlives an attempt around serve()"


async def refresh(ended: list[str]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        ended.append("refresh")


@asynccontextmanager
async def pool(ended: list[str] | None = None) -> AsyncGenerator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(refresh, [] if ended is None else ended)
        yield nursery


@asynccontextmanager
async def empty_pool() -> AsyncGenerator[None]:
    async with trio.open_nursery():
        yield


async def open_pool(stack: AsyncExitStack) -> str:
    await stack.enter_async_context(pool())
    return "done"


async def open_empty_pool(stack: AsyncExitStack) -> None:
    await stack.enter_async_context(empty_pool())


async def open_two_pools(stack: AsyncExitStack) -> None:
    await stack.enter_async_context(pool())
    await stack.enter_async_context(pool())


async def open_pool_and_raise(stack: AsyncExitStack) -> None:
    await stack.enter_async_context(pool())
    raise ValueError("bad")


async def open_scope(stack: AsyncExitStack) -> None:
    stack.enter_context(trio.CancelScope())


async def open_cancelled_scope(stack: AsyncExitStack) -> None:
    stack.enter_context(trio.CancelScope()).cancel()
    await trio.sleep(1)


async def open_pool_inside_a_scope(stack: AsyncExitStack) -> None:
    try:
        with trio.CancelScope():
            await stack.enter_async_context(pool())
    except RuntimeError:
        pass


async def open_pool_inside_a_nursery(stack: AsyncExitStack) -> None:
    async with trio.open_nursery():
        await stack.enter_async_context(pool())


async def leave_a_generator(stack: AsyncExitStack) -> None:
    async def numbers() -> AsyncGenerator[int]:
        async with trio.open_nursery():
            yield 1
            yield 2

    generator = numbers()
    stack.push(lambda *_: generator is None)  # keeps it
    await anext(generator)


LEAVING: dict[str, Handler] = {
    function.__name__: function
    for function in (
        open_pool, open_empty_pool, open_two_pools, open_pool_and_raise, open_scope,
        open_cancelled_scope, open_pool_inside_a_scope, leave_a_generator,
    )
}  # fmt: skip


def leaving(name: str, stack: AsyncExitStack) -> rediq.App:
    app = rediq.App()

    @app.task("leave")
    async def leave() -> object:
        return await LEAVING[name](stack)

    @app.task("noop")
    async def noop() -> None:
        pass

    return app


async def two_outcomes(app: rediq.App) -> list[Outcome | None]:
    """Run the task that leaves something open, then one that does not."""
    bench = Bench(app, concurrency=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task("leave"), new_task("noop"))
        ended = [(await bench.outcomes.receive()).written for _ in range(2)]
        bench.leases.close()
    return ended


@pytest.mark.parametrize("layered", [False, True], ids=["alone", "in middleware"])
@pytest.mark.parametrize("name", LEAVING)
async def test_what_is_left_open_fails_its_attempt_and_the_worker_goes_on(
    name: str, *, layered: bool
) -> None:
    app = leaving(name, AsyncExitStack())
    seen: list[str] = []
    if layered:

        @app.middleware
        async def around(task: rediq.CurrentTask) -> AsyncGenerator[None]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 1)
                try:
                    yield
                except RuntimeError as error:
                    seen.append(str(error))
                    raise

    failed, completed = await two_outcomes(app)
    assert isinstance(failed, Failed)
    what = "cancel scope" if "scope" in name and "pool" not in name else "nursery"
    assert f"LeftOpen: the handler left a {what} open" in failed.error
    assert ADVICE in failed.error
    assert not failed.final
    assert isinstance(completed, Completed)
    assert bool(seen) is layered


async def test_the_tasks_in_it_are_named_and_have_ended_before_the_next_attempt() -> None:
    app = rediq.App()
    stack = AsyncExitStack()
    ended: list[str] = []

    @app.task("leave")
    async def leave() -> None:
        await stack.enter_async_context(pool(ended))

    @app.task("noop")
    async def noop() -> list[str]:
        return ended

    failed, completed = await two_outcomes(app)
    assert isinstance(failed, Failed)
    assert (
        "in which tests.actors.test_structure.refresh still ran and was cancelled" in failed.error
    )
    assert completed == Completed(completed.fence, b"\x91\xa7refresh") if completed else False


async def test_what_the_handler_raised_besides_is_the_cause() -> None:
    failed, _ = await two_outcomes(leaving("open_pool_and_raise", AsyncExitStack()))
    assert isinstance(failed, Failed)
    assert failed.error.endswith("(caused by ValueError: bad)")


async def test_an_attempt_that_was_cancelled_by_its_timeout_may_have_left_a_nursery_open() -> None:
    app = rediq.App()
    stack = AsyncExitStack()

    @app.task("leave")
    async def leave() -> None:
        await stack.enter_async_context(pool())
        await trio.sleep_forever()

    bench = Bench(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task("leave", timeout=3.0))
        outcome = (await bench.outcomes.receive()).written
        bench.leases.close()
    assert isinstance(outcome, Failed)
    assert "left a nursery open" in outcome.error


async def test_a_keyboard_interrupt_beside_it_still_ends_the_worker() -> None:
    app = rediq.App()

    stack = AsyncExitStack()

    @app.task("leave")
    async def leave() -> None:
        await stack.enter_async_context(pool())
        raise KeyboardInterrupt

    bench = Bench(app)
    with pytest.raises(BaseExceptionGroup) as ended:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.executor.run)
            await bench.give(new_task("leave"))
    assert ended.group_contains(KeyboardInterrupt)
