"""Handlers that ask `current_task()`, called without a worker."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.testing import running

app = rediq.App[dict[str, int]]("direct")


@app.lifespan
async def prices() -> AsyncGenerator[dict[str, int]]:
    yield {}


@app.task("mail:send", max_retry=2)
async def send(to: str) -> str:
    task = rediq.current_task()
    if task.attempt == 1:
        raise ConnectionError("the mail server is away")
    task.progress(50, "half")
    task.enqueue_after(note.task(to))
    return f"{task.type} {task.id} {task.metadata['by']} {task.fence} {task.max_retry} {task.deadline}"


@app.task("note")
def note(to: str) -> tuple[str, int, str | None, bool]:
    task = rediq.current_task()
    task.progress(100)
    return to, task.attempt, task.cancel_reason, task.shutting_down


@app.task("price")
async def price() -> tuple[int, int]:
    return app.state["tea"], rediq.current_task().state["tea"]


@app.task("steps")
async def steps() -> list[int]:
    calls: list[int] = []

    def step() -> int:
        calls.append(1)
        return 7

    task = rediq.current_task()
    return [await task.once("a", step), await task.once("a", step), len(calls)]


@app.task("add")
async def add() -> list[object]:
    return [*(await rediq.current_task().results()).values()]


async def test_a_handler_sees_the_task_and_the_attempt_that_the_test_gives() -> None:
    given = send.options(id="a", queue="mail", metadata={"by": "test"}, delay=60).task("ada")
    with running(given, attempt=2) as task:
        assert await send("ada") == "mail:send mail/a test 2 2 None"
    assert task.reports == [(50, "half")]
    assert [child.payload for child in task.children] == [{"to": "ada"}]
    with running(given), pytest.raises(ConnectionError):
        await send("ada")


def test_a_def_handler_needs_no_event_loop() -> None:
    with running(note.task("ada"), attempt=3) as task:
        assert note("ada") == ("ada", 3, None, False)
    assert task.reports == [(100, None)]
    with running(stopping=True):
        assert note("ada") == ("ada", 1, "shutdown", True)


async def test_a_def_handler_may_be_called_in_a_thread() -> None:
    with running(note.task("ada")) as task:
        assert await trio.to_thread.run_sync(note, "ada") == ("ada", 1, None, False)
    assert task.reports == [(100, None)]


async def test_a_handler_sees_the_state_that_the_test_gives() -> None:
    with running(price.task(), state={"tea": 3}):
        assert await price() == (3, 3)
    with running(price.task()), pytest.raises(rediq.ConfigError, match=r"running\(task, state=...\)"):
        await price()


@pytest.mark.parametrize("attempt", [1, 2])
async def test_steps_are_done_once_and_the_results_of_others_are_those_of_the_test(
    attempt: int,
) -> None:
    with running(steps.task(), attempt=attempt):
        assert await steps() == [7, 7, 1]
    given = add.options(depends_on=["default/a", "default/b"]).task()
    with running(given, attempt=attempt, results={"default/b": [1, 2]}):
        assert await add() == [None, [1, 2]]


async def test_what_a_handler_enqueues_is_in_a_store_of_its_own() -> None:
    with running() as task:
        await rediq.current_task().client.enqueue(note.options(id="n").task("ada"))
        info = await task.client.task("default/n").info()
        assert info.state is rediq.State.PENDING
    with running() as task, pytest.raises(rediq.TaskNotFound):
        await task.client.task("default/n").info()


def test_outside_of_the_block_there_is_no_task_and_blocks_nest() -> None:
    with running(attempt=2), running(attempt=3):
        assert rediq.current_task().attempt == 3
    with pytest.raises(rediq.ConfigError, match="outside of a handler"):
        rediq.current_task()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attempt": 0}, r"attempt=0: must be .*1"),
        ({"attempt": 1.5}, "attempt=1.5"),
        ({"results": {"default/x": 1}}, "results='default/x': must be an id in the depends_on"),
        ({"task": "mail"}, "task='mail': must be a Task"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(rediq.ConfigError, match=message), running(**options):  # type: ignore[arg-type]
        pass
