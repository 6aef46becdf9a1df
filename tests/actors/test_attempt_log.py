"""What the log says of the end of each attempt."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore
from rediq_trio.handlers.log_fields import TASK_FIELDS
from rediq_trio.spec.messages import Failed, NewTask, Released, Snoozed
from rediq_trio.tasks.failures import KEPT
from tests.actors.parts import Bench, Q, new_task, until

pytestmark = pytest.mark.mock_clock


def app() -> rediq.App:
    made = rediq.App()

    @made.task("raise", give_up_on=KeyError)
    async def throw(kind: str = "value") -> None:
        match kind:
            case "key":
                raise KeyError("price")
            case "reject":
                raise rediq.Reject("not wanted")
            case "retry":
                try:
                    raise OSError("refused")
                except OSError as error:
                    raise rediq.Retry(7) from error
            case "lines":
                raise ValueError("one\nERROR two\x1b[31m\u2028three")
            case _:
                raise ValueError("bad")

    @made.task("sleep")
    async def sleep() -> None:
        await trio.sleep(100)

    @made.task("noop")
    async def noop() -> None:
        pass

    @made.task("snooze")
    async def snooze() -> None:
        raise rediq.Snooze(9)

    return made


async def records_of(
    task: NewTask, caplog: pytest.LogCaptureFixture, level: int = logging.INFO
) -> list[logging.LogRecord]:
    """Run one attempt, and return the records that it left."""
    caplog.set_level(level, "rediq_trio")
    bench = Bench(app())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(task)
        await bench.outcomes.receive()
        bench.leases.close()
    return [record for record in caplog.records if record.name == "rediq_trio"]


@pytest.mark.parametrize(
    ("kind", "payload", "options", "level", "text", "error"),
    [
        ("raise", {}, {}, "WARNING", "failed, and is retried in 1 s: ValueError: bad", ValueError),
        ("raise", {}, {"max_retry": 0}, "ERROR", "dead: ValueError: bad", ValueError),
        ("raise", {"kind": "key"}, {}, "ERROR", "dead: KeyError: 'price'", KeyError),
        ("raise", {"kind": "reject"}, {}, "ERROR", "dead: not wanted", rediq.Reject),
        (
            "raise", {"kind": "retry"}, {}, "WARNING",
            "failed, and is retried in 7 s: Retry: the handler asked for a retry "
            "(caused by OSError: refused)",
            rediq.Retry,
        ),
        (
            "sleep", {}, {"timeout": 2.0}, "WARNING",
            "failed, and is retried in 1 s: timeout: it took longer than 2 s", trio.Cancelled,
        ),
        (
            "unknown", {}, {}, "ERROR",
            "dead: UnknownTaskType: no handler is named 'unknown': register it, or serve the app "
            "that has it",
            rediq.UnknownTaskType,
        ),
        (
            "noop", {"wrong": 1}, {}, "ERROR",
            "dead: PayloadError: noop: the payload has 'wrong', which it does not take",
            rediq.PayloadError,
        ),
    ],
)  # fmt: skip
async def test_each_failure_has_one_record_with_its_traceback_and_fields(
    kind: str,
    payload: dict[str, Any],
    options: dict[str, Any],
    level: str,
    text: str,
    error: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = new_task(kind, payload, **options)
    (record,) = await records_of(task, caplog)
    assert record.levelname == level
    assert record.getMessage() == f"task {Q}/{task.id} ({kind}), attempt 1: {text}"
    assert record.exc_info is not None
    assert record.exc_info[0] is error
    assert record.exc_info[2] is not None
    fields = {name: record.__dict__[name] for name in TASK_FIELDS}
    assert fields == {
        "task_id": f"{Q}/{task.id}", "type": kind, "queue": Q, "attempt": 1, "worker": "worker",
        "trace_id": None,
    }  # fmt: skip


@pytest.mark.parametrize("max_retry", [0, 3])
async def test_the_text_of_an_error_is_on_one_line(
    max_retry: int, caplog: pytest.LogCaptureFixture
) -> None:
    task = new_task("raise", {"kind": "lines"}, max_retry=max_retry)
    (record,) = await records_of(task, caplog)
    text = record.getMessage()
    assert text.endswith(r"ValueError: one\nERROR two\x1b[31m\u2028three")
    assert text.splitlines() == [text]


async def test_a_timeout_shows_where_the_handler_stood(caplog: pytest.LogCaptureFixture) -> None:
    await records_of(new_task("sleep", timeout=2.0), caplog)
    assert "await trio.sleep(100)" in caplog.text


async def test_bytes_that_cannot_be_read_are_an_error_without_a_type(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (record,) = await records_of(NewTask("t", b"\xc1"), caplog)
    assert (record.levelname, record.__dict__["type"]) == ("ERROR", "(unreadable)")


@pytest.mark.parametrize(("kind", "how"), [("noop", "completed"), ("snooze", "snoozed")])
async def test_an_end_that_is_no_failure_is_debug(
    kind: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    (record,) = await records_of(new_task(kind), caplog, logging.DEBUG)
    assert record.levelname == "DEBUG"
    assert f"({kind}), attempt 1: {how} after 0 s" in record.getMessage()
    assert record.__dict__["queue"] == Q


async def test_at_info_a_success_leaves_no_record(caplog: pytest.LogCaptureFixture) -> None:
    assert await records_of(new_task("noop"), caplog) == []


async def test_the_records_name_their_worker(caplog: pytest.LogCaptureFixture) -> None:
    async with rediq.serve(app(), MemoryStore(), name="w-7") as server:
        handle = await server.client.enqueue(rediq.Task("raise", {}, max_retry=0))
        await handle.wait()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.__dict__["worker"] == "w-7"


async def test_the_cause_of_a_failed_task_is_its_exception() -> None:
    async with rediq.serve(app(), MemoryStore(), unknown_type_patience=0) as server:
        handle = await server.client.enqueue(rediq.Task("raise", {"kind": "key"}))
        with pytest.raises(rediq.TaskFailed) as caught:
            await handle.result()
        cause = caught.value.__cause__
        assert isinstance(cause, KeyError)
        assert cause.__traceback__ is not None
        unknown = await server.client.enqueue(rediq.Task("unknown", {}))
        with pytest.raises(rediq.TaskFailed) as caught:
            await unknown.result()
        assert isinstance(caught.value.__cause__, rediq.UnknownTaskType)


async def test_only_the_last_failures_keep_their_exception_and_none_its_variables() -> None:
    tasks = [rediq.Task("raise", {}, max_retry=0) for _ in range(KEPT + 1)]
    causes: list[BaseException | None] = []
    async with rediq.serve(app(), MemoryStore()) as server:
        handles = await server.client.enqueue_many(tasks)
        for handle in handles:
            await handle.wait()
        for handle in handles:
            with pytest.raises(rediq.TaskFailed) as caught:
                await handle.result()
            causes.append(caught.value.__cause__)
    kept = [cause for cause in causes if cause is not None]
    assert len(kept) == KEPT
    trace = kept[0].__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    assert trace.tb_frame.f_locals == {}


@pytest.mark.parametrize(
    ("raised", "ends"),
    [
        (OSError("because of the stop"), Released),
        (SystemExit(3), Released),
        (ExceptionGroup("both", [OSError("one"), ValueError("two")]), Released),
        (rediq.Reject("not wanted"), Failed),
        (rediq.Retry(7), Failed),
        (rediq.Snooze(9), Snoozed),
    ],
)
async def test_what_a_shutdown_made_a_handler_raise_is_an_interruption(
    raised: BaseException, ends: type[object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rediq_trio")
    made = rediq.App()

    @made.task("stubborn", give_up_on=Exception)
    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise raised

    bench = Bench(made)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task("stubborn", max_retry=0))
        await until(lambda: bench.executor.running() == 1)
        bench.executor.cancel_all()
        outcome = (await bench.outcomes.receive()).written
        bench.leases.close()
    assert isinstance(outcome, ends)
    if ends is Released:
        (record,) = caplog.records
        assert record.levelname == "INFO"
        assert "interrupted by the stop of its worker, and released" in record.getMessage()


async def test_what_it_raises_while_the_worker_waits_for_it_is_a_failure() -> None:
    made = rediq.App()

    @made.task("late")
    async def late() -> None:
        await trio.sleep(5)
        raise OSError("a fault of its own")

    bench = Bench(made)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task("late"))
        await until(lambda: bench.executor.running() == 1)
        bench.lease_table.shutting_down = True
        assert isinstance((await bench.outcomes.receive()).written, Failed)
        bench.leases.close()
