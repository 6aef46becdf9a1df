"""One attempt: what a handler's rules and its task's deadline make of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

import rediq_trio as rediq
from rediq_trio.spec.messages import Completed, Failed, NewTask, Outcome, Released, Snoozed, Stopped
from rediq_trio.worker.leases import Reason
from rediq_trio.worker.outcomes.error_text import MAX_ERROR_TEXT
from tests.actors.parts import Bench, Q, new_task, until

pytestmark = pytest.mark.mock_clock


def raising(error: BaseException, **rules: Any) -> rediq.App:
    made = rediq.App()

    @made.task("raise", **rules)
    async def throw() -> None:
        raise error

    return made


def sleeping(seconds: float = 1.0, **rules: Any) -> rediq.App:
    made = rediq.App()

    @made.task("sleep", **rules)
    async def sleep() -> None:
        await trio.sleep(seconds)

    return made


async def outcome_of(app: rediq.App, task: NewTask) -> Outcome | None:
    bench = Bench(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        await bench.give(task)
        outcome = (await bench.outcomes.receive()).written
        bench.leases.close()
    return outcome


async def failed(error: BaseException, **rules: Any) -> Failed:
    outcome = await outcome_of(raising(error, **rules), new_task("raise", backoff=rediq.Fixed(3)))
    assert isinstance(outcome, Failed)
    return outcome


async def test_what_is_given_up_on_is_final_with_its_error() -> None:
    outcome = await failed(ValueError("bad"), give_up_on=ValueError)
    assert (outcome.final, outcome.error) == (True, "ValueError: bad")


async def test_what_is_not_to_be_retried_is_final_and_the_rest_has_its_backoff() -> None:
    assert (await failed(ValueError("bad"), retry_on=OSError)).final
    outcome = await failed(OSError("bad"), retry_on=OSError)
    assert (outcome.final, outcome.delay_ms) == (False, 3000)


async def test_a_group_of_one_is_judged_as_what_is_in_it() -> None:
    group = ExceptionGroup("one", [ExceptionGroup("one", [OSError("bad")])])
    assert not (await failed(group, retry_on=OSError)).final
    assert (await failed(group, give_up_on=OSError)).final
    assert not (await failed(group, give_up_on=ExceptionGroup)).final


async def test_a_group_of_several_is_given_up_for_one_of_them() -> None:
    group = ExceptionGroup("both", [OSError("one"), ValueError("two")])
    outcome = await failed(group, give_up_on=ValueError)
    assert outcome.final
    assert outcome.error.endswith(": OSError: one; ValueError: two")
    assert (await failed(group, retry_on=OSError)).final
    assert not (await failed(group, retry_on=(OSError, ValueError))).final


async def test_a_group_deeper_than_the_interpreter_recurses_only_fails_its_attempt() -> None:
    group: Exception = KeyError()
    for _ in range(20_000):
        group = ExceptionGroup("around", [group, ValueError()])
    assert not (await failed(group)).final
    assert (await failed(group, give_up_on=KeyError)).final


async def test_the_function_chooses_the_delay_or_gives_up() -> None:
    chosen = await failed(OSError("bad"), retry=lambda error, attempt: 40 + attempt)
    assert (chosen.final, chosen.delay_ms) == (False, 41_000)
    gone = await failed(OSError("bad"), retry=lambda error, attempt: None)
    assert (gone.final, gone.error) == (True, "OSError: bad")


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda error, attempt: 1 / 0, "ZeroDivisionError: division by zero"),
        (
            lambda error, attempt: -1,
            "ConfigError: retry=-1: must be a number of seconds from 0 to 31,622,400",
        ),
        (lambda error, attempt: "x" * 10_000, "ConfigError: retry='xxx"),
    ],
)
async def test_a_function_that_fails_is_told_and_the_backoff_chooses(
    function: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = await failed(OSError("bad"), retry=function)
    assert (outcome.final, outcome.delay_ms) == (False, 3000)
    assert outcome.error.startswith(f"OSError: bad (its retry function failed: {said}")
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.getMessage().startswith(f"task {Q}/")
    assert "is retried in 3 s" in warning.getMessage()
    assert said in warning.getMessage()


async def test_a_note_has_room_behind_the_longest_error() -> None:
    outcome = await failed(OSError("x" * 9_000), retry=lambda error, attempt: "y" * 9_000)
    assert len(outcome.error) == MAX_ERROR_TEXT
    assert "(its retry function failed: ConfigError: retry='yyy" in outcome.error


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (rediq.Retry(after=7), (Failed, 7000, False)),
        (rediq.Retry(), (Failed, 3000, False)),
        (rediq.Reject("not wanted"), (Failed, 0, True)),
        (rediq.Snooze(9), (Snoozed, 9000, False)),
    ],
)
async def test_what_a_handler_says_itself_goes_before_its_rules(
    error: Exception, ends: Any
) -> None:
    strict = raising(error, retry_on=OSError, give_up_on=RuntimeError, retry=lambda e, n: 1 / 0)
    outcome = await outcome_of(strict, new_task("raise", backoff=rediq.Fixed(3)))
    assert isinstance(outcome, Failed | Snoozed)
    assert (type(outcome), outcome.delay_ms, getattr(outcome, "final", False)) == ends


@pytest.mark.parametrize(
    ("members", "ends", "error"),
    [
        (
            [ValueError("bad"), rediq.Reject("not wanted")], (Failed, 0, True),
            "not wanted (beside ValueError: bad)",
        ),
        (
            [rediq.Snooze(9), ExceptionGroup("in", [rediq.Retry(7), rediq.Reject("no")])],
            (Failed, 0, True),
            "no (beside Snooze: snoozed for 9 s; Retry: the handler asked for a retry)",
        ),
        ([rediq.Reject("one"), rediq.Reject("two")], (Failed, 0, True), "one (beside Reject: two)"),
        (
            [rediq.Snooze(9), ExceptionGroup("in", [rediq.Retry(7), OSError("x")])],
            (Failed, 7000, False),
            "ExceptionGroup: all (2 sub-exceptions): Snooze: snoozed for 9 s; "
            "Retry: the handler asked for a retry; OSError: x",
        ),
        ([ValueError("bad"), ExceptionGroup("in", [rediq.Snooze(9)])], (Snoozed, 9000, False), ""),
    ],
)  # fmt: skip
async def test_a_decision_anywhere_in_a_group_counts_the_rejection_first(
    members: list[Exception], ends: Any, error: str
) -> None:
    app = raising(ExceptionGroup("all", members), give_up_on=Exception)
    outcome = await outcome_of(app, new_task("raise"))
    assert isinstance(outcome, Failed | Snoozed)
    assert (type(outcome), outcome.delay_ms, getattr(outcome, "final", False)) == ends
    assert getattr(outcome, "error", "") == error


async def test_a_subclass_of_reject_has_its_whole_reason() -> None:
    class Bad(rediq.Reject):
        pass

    assert (await failed(Bad("not wanted"))).error == "not wanted"


def caused(error: Exception, cause: BaseException | None, *, quiet: bool = False) -> Exception:
    error.__context__ = cause
    error.__suppress_context__ = quiet
    return error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (caused(ValueError("b"), KeyError("a")), "ValueError: b (while handling KeyError: 'a')"),
        (caused(ValueError("b"), KeyError("a"), quiet=True), "ValueError: b"),
        (
            caused(ValueError("c"), caused(KeyError("b"), OSError("a"))),
            "ValueError: c (while handling KeyError: 'b') (while handling OSError: a)",
        ),
        (
            ExceptionGroup("o", [ExceptionGroup("i", [KeyError(1), OSError("x")]), ValueError(2)]),
            "ExceptionGroup: o (2 sub-exceptions): ValueError: 2; KeyError: 1; OSError: x",
        ),
        (
            ExceptionGroup("o", [caused(ValueError("b"), KeyError("a")), OSError("x")]),
            "ExceptionGroup: o (2 sub-exceptions): ValueError: b (while handling KeyError: 'a'); "
            "OSError: x",
        ),
        (
            caused(ValueError("b"), ExceptionGroup("in", [KeyError("a"), OSError("x")])),
            "ValueError: b (while handling ExceptionGroup: in (2 sub-exceptions): "
            "KeyError: 'a'; OSError: x)",
        ),
        (
            ExceptionGroup("many", [KeyError(n) for n in range(12)]),
            "ExceptionGroup: many (12 sub-exceptions): "
            + "".join(f"KeyError: {n}; " for n in range(10))
            + "and 2 more",
        ),
    ],
)
async def test_the_causes_and_the_members_of_groups_are_in_the_error(
    error: Exception, text: str
) -> None:
    assert (await failed(error)).error == text


async def test_the_error_is_bounded_however_much_is_in_it() -> None:
    error: Exception = ValueError("x" * 9_000)
    for _ in range(100):
        error = caused(ExceptionGroup("g" * 9_000, [error, KeyError("y" * 9_000)]), error)
    assert len((await failed(error)).error) == MAX_ERROR_TEXT


async def test_a_timeout_is_retried_whatever_the_rules() -> None:
    app = sleeping(100, retry_on=OSError, retry=lambda error, attempt: None)
    outcome = await outcome_of(app, new_task("sleep", timeout=2.0, backoff=rediq.Fixed(3)))
    assert isinstance(outcome, Failed)
    assert (outcome.final, outcome.delay_ms) == (False, 3000)
    assert outcome.error == "timeout: it took longer than 2 s"


async def test_a_keyboard_interrupt_in_a_group_goes_on_alone() -> None:
    group = BaseExceptionGroup("both", [ValueError("bad"), KeyboardInterrupt()])
    bench = Bench(raising(group))
    with pytest.raises(BaseExceptionGroup) as ended:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.executor.run)
            await bench.give(new_task("raise"))
    assert ended.group_contains(KeyboardInterrupt)
    assert not ended.group_contains(ValueError)
    assert [type(ended.written) for ended in bench.over()] == [Released]


@pytest.mark.parametrize(
    ("reason", "ends"), [(Reason.CANCELLED, Stopped), (Reason.SHUTDOWN, Released)]
)
async def test_an_error_beside_the_cancellation_that_was_asked_for_does_not_count(
    reason: Reason, ends: type[object]
) -> None:
    app = rediq.App()

    async def fall() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("while it was cleaning up")

    @app.task("two", give_up_on=ValueError)
    async def two() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fall)
            nursery.start_soon(trio.sleep_forever)

    bench = Bench(app)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.executor.run)
        (held,) = await bench.give(new_task("two"))
        await until(lambda: bench.executor.running() == 1)
        held.cancel(reason)
        assert isinstance((await bench.outcomes.receive()).written, ends)
        bench.leases.close()


def mortal(seconds: float = 10.0, kind: str = "sleep", **options: Any) -> NewTask:
    """Make a task whose deadline is so many seconds from its enqueue."""
    span = round(seconds * 1000)
    return new_task(kind, deadline_ms=-span, expires_in_ms=span, **options)


async def test_while_the_store_is_away_an_attempt_with_a_deadline_waits_for_it() -> None:
    bench = Bench(sleeping())
    async with trio.open_nursery() as nursery:
        (held,) = await bench.give(mortal())
        bench.store.away = True
        nursery.start_soon(bench.executor.run)
        await until(lambda: bench.store.count("get") > 3)
        assert (bench.over(), held.cancel_reason()) == ([], None)
        bench.store.away = False
        assert isinstance((await bench.outcomes.receive()).written, Completed)
        bench.leases.close()


async def test_the_store_may_be_away_until_the_deadline_has_passed() -> None:
    bench = Bench(sleeping())
    async with trio.open_nursery() as nursery:
        await bench.give(mortal(10.0))
        bench.store.away = True
        nursery.start_soon(bench.executor.run)
        await trio.sleep(20)
        bench.store.away = False
        outcome = (await bench.outcomes.receive()).written
        bench.leases.close()
    assert isinstance(outcome, Failed)
    assert outcome.final
    assert outcome.error.startswith("deadline: ")


@pytest.mark.parametrize("newer", [False, True], ids=["gone", "with another"])
async def test_a_task_that_is_gone_or_with_another_worker_is_lost_before_it_begins(
    *, newer: bool
) -> None:
    bench = Bench(sleeping())
    async with trio.open_nursery() as nursery:
        (held,) = await bench.give(mortal(1000.0))
        if newer:
            await trio.sleep(100)
            await bench.store.reclaim(Q, limit=1)
            await bench.store.claim(Q, limit=1, lease_ms=1000, worker="x", nonce=b"87654321")
        else:
            await bench.store.delete(Q, [held.fence.id])
            await bench.store.flush(Q)
        nursery.start_soon(bench.executor.run)
        assert (await bench.outcomes.receive()).written is None
        bench.leases.close()


async def test_an_attempt_that_waits_for_its_deadline_can_be_torn_down() -> None:
    bench = Bench(sleeping())
    async with trio.open_nursery() as nursery:
        await bench.give(mortal())
        bench.store.away = True
        nursery.start_soon(bench.executor.run)
        await until(lambda: bench.executor.running() == 1)
        bench.executor.cancel_all()
        assert isinstance((await bench.outcomes.receive()).written, Released)
        bench.leases.close()
