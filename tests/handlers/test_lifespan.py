"""Registering lifespans, and which state a handler sees."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Protocol, TypedDict

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError

WITHIN = 30.0


def shared(app: rediq.App[Any], value: object, log: list[str] | None = None) -> None:
    """Register a lifespan that yields a value, and logs its start and end."""

    @app.lifespan
    async def lifespan() -> AsyncGenerator[object]:
        if log is not None:
            log.append(f"open {value}")
        yield value
        if log is not None:
            log.append(f"close {value}")


async def run_in(app: rediq.App[Any], *tasks: rediq.Task[Any]) -> list[Any]:
    """Run tasks in a worker of their own and return their results."""
    async with rediq.serve(app, "memory://") as server:
        handles = await server.client.enqueue_many(tasks)
        return [await handle.result(timeout=WITHIN) for handle in handles]


async def test_a_handler_sees_what_the_lifespan_yielded() -> None:
    app: rediq.App[object] = rediq.App()
    pool = object()
    shared(app, pool)
    seen: list[object] = []

    @app.task
    async def look() -> None:
        seen.extend((rediq.current_task().state, app.state))

    @app.task
    def look_in_thread() -> None:
        seen.extend((rediq.current_task().state, app.state))

    await run_in(app, look.task(), look_in_thread.task())
    assert len(seen) == 4
    assert all(one is pool for one in seen)


async def test_an_aggregator_and_a_middleware_see_the_state() -> None:
    app = rediq.App()
    shared(app, "the pool")
    seen: list[object] = []

    @app.middleware
    async def look(task: rediq.CurrentTask) -> AsyncGenerator[None, None]:
        seen.append(task.state)
        yield

    @app.task
    async def add(n: int) -> None: ...

    @app.aggregator("sums", max_size=2)
    async def total(tasks: list[rediq.Task[Any]]) -> None:
        seen.append(rediq.current_task().state)

    async with rediq.serve(app, "memory://") as server:
        for n in range(2):
            await server.client.enqueue(add.options(group="sums").task(n))
        with trio.fail_after(WITHIN):
            while len(seen) < 2:
                await trio.sleep(0.01)
    assert seen == ["the pool", "the pool"]


async def test_included_lifespans_are_nested_in_the_order_of_include() -> None:
    log: list[str] = []
    main, first, second, inner = rediq.App(), rediq.App(), rediq.App(), rediq.App()
    shared(inner, "inner", log)
    first.include(inner)
    main.include(first)
    main.include(second)
    for app, name in ((second, "second"), (first, "first"), (main, "main")):
        shared(app, name, log)
    async with rediq.serve(main, "memory://"):
        assert log == ["open main", "open first", "open inner", "open second"]
        log.clear()
    assert log == ["close second", "close inner", "close first", "close main"]


async def test_an_app_that_two_others_include_is_entered_once() -> None:
    log: list[str] = []
    main, one, other, database = rediq.App(), rediq.App(), rediq.App(), rediq.App()
    shared(database, "database", log)
    for app in (one, other):
        app.include(database)
        main.include(app)

    @other.task
    async def look() -> Any:
        return database.state

    main.include(rediq.App())
    late = rediq.App()
    late.include(other)
    late.include(main)
    assert await run_in(late, look.task()) == ["database"]
    assert log == ["open database", "close database"]


async def test_a_handler_sees_the_state_of_its_own_app_else_of_the_including_one() -> None:
    main, own, without = rediq.App("main"), rediq.App("own"), rediq.App("without")
    shared(main, "of main")
    shared(own, "of own")

    @main.task("main")
    async def in_main() -> Any:
        return rediq.current_task().state

    @own.task("own")
    async def in_own() -> Any:
        return [rediq.current_task().state, main.state]

    @without.task("without")
    async def in_without() -> Any:
        return [rediq.current_task().state, without.state]

    main.include(own)
    main.include(without)
    found = await run_in(main, in_main.task(), in_own.task(), in_without.task())
    assert found == ["of main", ["of own", "of main"], ["of main", "of main"]]


async def test_two_workers_of_one_app_have_a_state_each() -> None:
    app = rediq.App()
    opened: list[object] = []

    @app.lifespan
    async def lifespan() -> AsyncGenerator[int]:
        opened.append(None)
        yield len(opened)

    @app.task
    async def look() -> Any:
        return app.state

    async with (
        rediq.serve(app, rediq.MemoryStore()) as one,
        rediq.serve(app, rediq.MemoryStore()) as other,
    ):
        found = [
            await (await each.client.enqueue(look.task())).result(WITHIN) for each in (one, other)
        ]
    assert found == [1, 2]


async def test_state_without_a_lifespan_says_what_to_do() -> None:
    app = rediq.App("bare")

    @app.task("look", max_retry=0)
    async def look(of_app: bool) -> Any:
        return app.state if of_app else rediq.current_task().state

    for of_app, what in ((False, "the handler 'look'"), (True, "the app 'bare'")):
        with pytest.raises(rediq.TaskFailed, match=f"{what}.*write @app.lifespan above"):
            await run_in(app, look.task(of_app))


async def test_the_state_of_an_app_that_is_not_served_says_what_to_do() -> None:
    app, other = rediq.App(), rediq.App("other")
    shared(other, 1)

    @app.task(max_retry=0)
    async def look() -> Any:
        return other.state

    with pytest.raises(rediq.TaskFailed, match=r"the app 'other' is not served here.*include"):
        await run_in(app, look.task())


def test_state_outside_of_a_handler_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"outside of a handler.*read it in a handler"):
        _ = rediq.App().state


def test_a_second_lifespan_is_refused() -> None:
    app = rediq.App("shop")
    shared(app, 1)
    with pytest.raises(ConfigError, match=r"once for each app, and shop has .*lifespan: open both"):
        shared(app, 2)


def sync_generator() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


async def with_parameter(app: object) -> AsyncGenerator[object]:
    yield app


class Manager:
    async def __aenter__(self) -> str:
        return "entered"

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@pytest.mark.parametrize(
    "function", [sync_generator, coroutine, with_parameter, Manager(), None, "f"]
)
def test_what_makes_no_context_manager_is_refused(function: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"lifespan=.*must be an async generator function without"
    ):
        rediq.App().lifespan(function)


async def test_a_class_and_a_context_manager_function_are_lifespans() -> None:
    @contextlib.asynccontextmanager
    async def function() -> AsyncGenerator[str]:
        yield "yielded"

    async def state_of(factory: Callable[[], Any]) -> Any:
        app = rediq.App()

        @app.task
        async def look() -> Any:
            return app.state

        assert app.lifespan(factory) is factory
        return await run_in(app, look.task())

    assert await state_of(Manager) == ["entered"]
    assert await state_of(function) == ["yielded"]
    assert await state_of(lambda: Manager()) == ["entered"]


async def never() -> AsyncGenerator[int]:
    for n in ():
        yield n


async def twice() -> AsyncGenerator[int]:
    yield 1
    yield 2


@contextlib.contextmanager
def sync_manager() -> Generator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (never, "did not yield: yield the state once"),
        (twice, "yielded twice: yield the state once"),
        (contextlib.asynccontextmanager(never), "did not yield"),
        (contextlib.asynccontextmanager(twice), "yielded twice"),
        (sync_manager, "returned <.*must be an async generator function"),
        (lambda: 5, "returned 5: must be"),
    ],
)
async def test_what_does_not_yield_once_ends_serve(function: Any, said: str) -> None:
    app = rediq.App("shop")
    app.lifespan(function)
    with pytest.raises(ConfigError, match=rf"the lifespan .* of the app 'shop'.*{said}"):
        async with rediq.serve(app, "memory://"):
            pass


async def test_an_error_of_the_same_text_is_the_lifespans_own() -> None:
    app = rediq.App()

    @app.lifespan
    async def lifespan() -> AsyncGenerator[None]:
        raise RuntimeError("generator didn't yield")
        yield

    with pytest.raises(RuntimeError, match="generator didn't yield") as caught:
        async with rediq.serve(app, "memory://"):
            pass
    assert type(caught.value) is RuntimeError


class Pool: ...


class Form(TypedDict):
    n: int


class Shaped(Protocol):
    n: int


async def test_a_state_of_another_class_ends_serve() -> None:
    closed: list[str] = []
    app = rediq.App[Pool]("shop")

    @app.lifespan  # type: ignore[arg-type]
    async def lifespan() -> AsyncGenerator[str]:
        yield "no pool"
        closed.append("closed")

    with pytest.raises(ConfigError, match=r"yielded 'no pool': must be Pool.*App\[Pool\]"):
        async with rediq.serve(app, "memory://"):
            pass
    assert closed == ["closed"]


@pytest.mark.parametrize(
    ("app", "state"),
    [
        (rediq.App[Pool](), Pool()),
        (rediq.App[dict[str, int]](), {}),
        (rediq.App[Form](), {"n": 1}),
        (rediq.App[Shaped](), Pool()),
        (rediq.App[Any](), 1),
        (rediq.App[float](), 1),
        (rediq.App[None](), None),
        (rediq.App[Pool | None](), None),
    ],
)
async def test_a_state_of_the_declared_type_is_accepted(app: rediq.App[Any], state: object) -> None:
    shared(app, state)

    @app.task
    async def look() -> bool:
        return app.state is state

    assert await run_in(app, look.task()) == [True]


def test_an_app_with_a_type_has_the_name_of_its_module() -> None:
    assert rediq.App[Pool]().name == rediq.App().name == "tests.handlers.test_lifespan"
