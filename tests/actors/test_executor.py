from __future__ import annotations

import contextvars
import logging

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.spec.messages import Completed, Failed, NewTask, Outcome, Released, Snoozed, Stopped
from rediq_trio.worker.leases import Reason
from rediq_trio.worker.outcomes.error_text import MAX_ERROR_TEXT
from rediq_trio.worker.prefetch import UNSTARTED_MAX
from tests.actors.parts import Bench, new_task, until

pytestmark = pytest.mark.mock_clock

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


class Own(BaseException):
    pass


def app() -> rediq.App:
    made = rediq.App()

    @made.task("noop", max_retry=0)
    async def noop() -> None:
        pass

    @made.task("sleep")
    async def sleep(seconds: float = 1.0) -> str:
        await trio.sleep(seconds)
        return "slept"

    @made.task("leak")
    async def leak() -> str:
        before = seen.get("nothing")
        seen.set("something")
        await trio.sleep(0.1)
        return before

    @made.task("raise")
    async def throw(what: str) -> object:
        return await misbehave(what)

    return made


async def misbehave(what: str) -> object:
    match what:
        case "ValueError":
            raise ValueError("bad")
        case "SystemExit":
            raise SystemExit(3)
        case "BaseException":
            raise Own("mine")
        case "unprintable":
            raise Unprintable
        case "long":
            raise ValueError("x" * 10_000_000)
        case "surrogate":
            raise ValueError("\ud800")
        case "no message":
            raise ValueError
        case "group":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(misbehave, "ValueError")
                nursery.start_soon(trio.sleep_forever)
        case "two":
            raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])
        case "retry":
            raise rediq.Retry(after=7)
        case "retry by backoff":
            raise rediq.Retry
        case "reject":
            raise rediq.Reject("not wanted")
        case "snooze":
            raise rediq.Snooze(9)
        case "grouped snooze":
            raise ExceptionGroup("one", [rediq.Snooze(9)])
        case "object":
            return object()
        case "huge int":
            return 2**70
        case "escaped cancel":
            kept: list[BaseException] = []
            with trio.CancelScope() as scope:
                scope.cancel()
                try:
                    await trio.lowlevel.checkpoint()
                except trio.Cancelled as error:
                    kept.append(error)
            raise kept[0]
        case "swallow":
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                return "survived"
    return None


async def outcome_of(kind: str, payload: object = None, **options: object) -> Outcome | None:
    bench = Bench(app())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task(kind, payload, **options))
        outcome = (await bench.outcomes.receive()).written
        bench.leases.close()
    return outcome


ENDS = {
    "ValueError": "ValueError: bad",
    "SystemExit": "SystemExit: 3",
    "BaseException": "Own: mine",
    "unprintable": "Unprintable: (its __str__ raised ValueError)",
    "surrogate": "ValueError: ?",
    "no message": "ValueError",
    "group": "ValueError: bad",
    "two": "ExceptionGroup: both (2 sub-exceptions): ValueError: one; KeyError: 'two'",
    "escaped cancel": "it let a trio.Cancelled of its own scope escape",
}


@pytest.mark.parametrize("what", ENDS)
async def test_whatever_a_handler_raises_fails_its_attempt(what: str) -> None:
    outcome = await outcome_of("raise", {"what": what})
    assert isinstance(outcome, Failed)
    assert outcome.error == ENDS[what]
    assert not outcome.final


async def test_the_record_of_a_failure_can_be_encoded_whatever_it_says(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await outcome_of("raise", {"what": "surrogate"})
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    text = logging.Formatter("%(message)s").format(record)
    assert "RuntimeError: ValueError: ?" in text.encode().decode()


async def test_a_message_of_ten_megabytes_is_cut() -> None:
    outcome = await outcome_of("raise", {"what": "long"})
    assert isinstance(outcome, Failed)
    assert len(outcome.error) == MAX_ERROR_TEXT


@pytest.mark.parametrize("what", ["object", "huge int"])
async def test_a_result_that_cannot_be_packed_is_final(what: str) -> None:
    outcome = await outcome_of("raise", {"what": what})
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.error.startswith("PayloadError: result")


async def test_retry_chooses_the_delay_and_leaves_it_to_the_backoff_otherwise() -> None:
    chosen = await outcome_of("raise", {"what": "retry"}, backoff=rediq.Fixed(3))
    usual = await outcome_of("raise", {"what": "retry by backoff"}, backoff=rediq.Fixed(3))
    assert isinstance(chosen, Failed)
    assert isinstance(usual, Failed)
    assert (chosen.delay_ms, usual.delay_ms) == (7000, 3000)


async def test_reject_is_final_with_its_reason() -> None:
    outcome = await outcome_of("raise", {"what": "reject"})
    assert isinstance(outcome, Failed)
    assert (outcome.final, outcome.error) == (True, "not wanted")


@pytest.mark.parametrize("what", ["snooze", "grouped snooze"])
async def test_snooze_is_no_failure(what: str) -> None:
    outcome = await outcome_of("raise", {"what": what})
    assert isinstance(outcome, Snoozed)
    assert outcome.delay_ms == 9000


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        ("unknown", {}, "UnknownTaskType: no handler is named 'unknown'"),
        ("sleep", {"wrong": 1}, "PayloadError: sleep: the payload has 'wrong'"),
        ("raise", {}, "PayloadError: raise: the payload has no 'what'"),
        ("noop", [1], "PayloadError: noop: the payload does not fit"),
    ],
)
async def test_what_cannot_be_called_is_final(kind: str, payload: object, said: str) -> None:
    outcome = await outcome_of(kind, payload)
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.error.startswith(said)


async def test_what_is_larger_than_any_task_may_be_is_not_unpacked() -> None:
    bench = Bench(app())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(NewTask("t", bytes(6 * 1024 * 1024)))
        outcome = (await bench.outcomes.receive()).written
        bench.leases.close()
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("PayloadTooLarge: envelope: 6,291,456 bytes; at most ")


async def test_a_timeout_fails_the_attempt_at_its_time() -> None:
    begun = trio.current_time()
    outcome = await outcome_of("sleep", {"seconds": 100}, timeout=2.5)
    assert isinstance(outcome, Failed)
    assert outcome.error == "timeout: it took longer than 2.5 s"
    assert trio.current_time() - begun == pytest.approx(2.5, abs=0.01)


async def test_a_handler_that_swallows_its_cancellation_has_still_returned() -> None:
    outcome = await outcome_of("raise", {"what": "swallow"}, timeout=1.0)
    assert isinstance(outcome, Completed)
    assert outcome.result == b"\xa8survived"


@pytest.mark.parametrize(
    ("reason", "ends"),
    [
        (Reason.CANCELLED, Stopped),
        (Reason.LEASE_LOST, type(None)),
        (Reason.SHUTDOWN, Released),
    ],
)
async def test_a_cancellation_ends_as_its_reason_says(reason: Reason, ends: type[object]) -> None:
    bench = Bench(app())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        (held,) = await bench.give(new_task("sleep", {"seconds": 100}))
        await until(lambda: bench.executor.running() == 1)
        held.cancel(reason)
        held.cancel(Reason.SHUTDOWN)
        assert isinstance((await bench.outcomes.receive()).written, ends)
        bench.leases.close()
    assert held.cancel_reason() == reason.value


async def test_no_more_run_at_once_than_the_concurrency() -> None:
    bench = Bench(app(), concurrency=3)
    most = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(*(new_task("sleep", {"seconds": 0.2}) for _ in range(10)))
        await until(lambda: bench.executor.running() > 0)
        with trio.fail_after(60):
            while bench.executor.running():
                most = max(most, bench.executor.running())
                await trio.sleep(0.01)
        bench.leases.close()
    assert most == 3
    assert [type(ended.written) for ended in bench.over()] == [Completed] * 10


async def test_context_variables_do_not_leak_into_the_next_attempt() -> None:
    bench = Bench(app(), concurrency=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(*(new_task("leak") for _ in range(3)))
        bench.leases.close()
    results = [
        ended.written.result for ended in bench.over() if isinstance(ended.written, Completed)
    ]
    assert results == [b"\xa7nothing"] * 3


async def test_what_was_claimed_and_cannot_be_started_soon_is_given_back() -> None:
    bench = Bench(app(), concurrency=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task())
        await bench.outcomes.receive()
        # It took no time, so many may be claimed ahead.
        await until(lambda: bench.prefetch.ahead() > 2)
        begun = trio.current_time()
        await bench.give(*(new_task("sleep", {"seconds": 10}) for _ in range(3)))
        first, second = await bench.outcomes.receive(), await bench.outcomes.receive()
        assert isinstance(first.written, Released)
        assert isinstance(second.written, Released)
        assert trio.current_time() - begun == pytest.approx(UNSTARTED_MAX, abs=0.01)
        assert bench.prefetch.ahead() == 0
        bench.leases.close()
    (last,) = bench.over()
    assert isinstance(last.written, Completed)


async def test_a_stopping_worker_starts_nothing_more() -> None:
    bench = Bench(app(), concurrency=1)
    bench.lease_table.shutting_down = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task(), new_task())
        bench.leases.close()
    assert [type(ended.written) for ended in bench.over()] == [Released] * 2


async def test_the_outcome_of_an_abandoned_attempt_does_not_count() -> None:
    bench = Bench(app())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(new_task("sleep"))
        await until(lambda: bench.executor.running() == 1)
        bench.executor.release_running()
        bench.leases.close()
    assert [type(ended.written) for ended in bench.over()] == [Released]


async def test_a_crash_around_the_executor_gives_everything_back() -> None:
    bench = Bench(app(), concurrency=1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(*(new_task("sleep") for _ in range(3)))
        await until(lambda: bench.executor.running() == 1)
        nursery.cancel_scope.cancel()
    assert [type(ended.written) for ended in bench.over()] == [Released] * 3
    assert bench.executor.idle.is_set()
