"""What a user reads of the attempts that did not complete their task."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Attempt, ConfigError, ErrorText, Fixed, MemoryStore, Snooze, State, TaskInfo
from rediq_trio.spec.carried import StoredAttempt
from rediq_trio.tasks.attempts import make_attempt, pack_detail
from rediq_trio.tasks.instants import instant
from rediq_trio.wire.packing import pack
from rediq_trio.worker.outcomes.detail import MESSAGE_BYTES, TEXT_BYTES

SECRET = "card 4000"


class CardDeclinedError(Exception):
    pass


def charge() -> None:
    raise CardDeclinedError(SECRET)


def make_app(redact: Callable[[ErrorText], ErrorText] | None = None) -> rediq.App:
    app = rediq.App("attempts", redact=redact)
    calls: list[str] = []

    @app.task("pay", max_retry=1, backoff=Fixed(0))
    async def pay(how: str) -> str:
        calls.append(how)
        match how:
            case "recovers":
                if len(calls) == 1:
                    charge()
            case "snoozes":
                if len(calls) == 1:
                    raise Snooze(0)
            case "hangs":
                await trio.sleep(math.inf)
            case "rejects":
                raise rediq.Reject("no such account")
            case "chains":
                try:
                    charge()
                except CardDeclinedError as error:
                    raise RuntimeError("failed") from error
            case "huge":
                raise ValueError("ü" * 100_000)
            case _:
                charge()
        return how

    return app


async def run(how: str, app: rediq.App | None = None, **options: float) -> TaskInfo:
    app = app or make_app()
    async with rediq.serve(app, "memory://") as server:
        task = rediq.Task("pay", {"how": how}, **options)  # type: ignore[arg-type]
        handle = await server.client.enqueue(attrs.evolve(task, max_retry=1, backoff=Fixed(0)))
        return await handle.wait(timeout=20)


async def test_each_failure_is_told_with_its_traceback() -> None:
    info = await run("fails")
    assert info.state is State.DEAD
    first, last = info.attempts
    assert (first.number, first.delivery, last.number, last.delivery) == (1, 1, 2, 2)
    assert {one.outcome for one in info.attempts} == {"failed"}
    assert (last.error_type, last.message) == ("CardDeclinedError", SECRET)
    assert f"{last.error_type}: {last.message}" == info.error
    assert last.worker == info.worker
    assert last.started_at == info.started_at
    assert last.ended_at == info.finished_at
    assert last.traceback is not None
    assert "in pay\n    charge()\n" in last.traceback
    assert "rediq_trio/" not in last.traceback
    assert last.traceback.endswith(f"CardDeclinedError: {SECRET}")
    assert len(str(attrs.asdict(last))) < 1200


async def test_a_completed_task_tells_of_the_attempts_before() -> None:
    info = await run("recovers")
    assert info.state is State.COMPLETED
    assert [one.error_type for one in info.attempts] == ["CardDeclinedError"]


async def test_a_task_that_succeeds_at_once_has_no_attempts_to_tell_of() -> None:
    app = rediq.App("attempts")

    @app.task("pay")
    async def pay(how: str) -> str:
        return how

    assert (await run("ok", app)).attempts == ()


async def test_a_snoozed_attempt_is_told_without_an_error() -> None:
    (attempt,) = (await run("snoozes")).attempts
    assert (attempt.outcome, attempt.number) == ("snoozed", 1)
    assert (attempt.error_type, attempt.message, attempt.traceback) == (None, None, None)


async def test_a_timeout_says_where_the_handler_stood() -> None:
    info = await run("hangs", timeout=0.1)
    attempt = info.attempts[0]
    assert (attempt.outcome, attempt.error_type) == ("timed out", None)
    assert attempt.message == "timeout: it took longer than 0.1 s"
    assert attempt.traceback is not None
    assert "await trio.sleep(math.inf)" in attempt.traceback


async def test_a_rejection_has_its_reason_as_message() -> None:
    (attempt,) = (await run("rejects")).attempts
    assert (attempt.error_type, attempt.message) == ("Reject", "no such account")


async def test_causes_are_in_the_message_and_in_the_traceback() -> None:
    (attempt, _) = (await run("chains")).attempts
    assert attempt.message == f"failed (caused by CardDeclinedError: {SECRET})"
    assert attempt.traceback is not None
    assert f"CardDeclinedError: {SECRET}\n\n" in attempt.traceback


async def test_what_is_kept_of_one_attempt_is_bounded() -> None:
    (attempt, _) = (await run("huge")).attempts
    assert attempt.message is not None
    assert len(attempt.message.encode()) == MESSAGE_BYTES
    assert attempt.traceback is not None
    sizes = [len(text.encode()) for text in (attempt.message, attempt.traceback)]
    assert sum(sizes) <= TEXT_BYTES


async def test_a_task_without_a_handler_is_told_of_too() -> None:
    async with rediq.serve(rediq.App("none"), "memory://", unknown_type_patience=0) as server:
        handle = await server.client.enqueue(rediq.Task("unknown", {}))
        (attempt,) = (await handle.wait(timeout=20)).attempts
    assert (attempt.outcome, attempt.error_type) == ("failed", "UnknownTaskType")


async def test_an_attempt_that_a_shutdown_cut_short_is_told_of_as_released() -> None:
    store = MemoryStore()
    app = make_app()
    async with rediq.connect(store) as client:
        handle = await client.enqueue(rediq.Task("pay", {"how": "hangs"}))
        async with rediq.serve(app, store, shutdown_grace=0) as server:
            with trio.fail_after(20):
                while not server.stats().running:
                    await trio.sleep(0.01)
        info = await handle.info()
    assert info.state is State.PENDING
    (attempt,) = info.attempts
    assert (attempt.outcome, attempt.message) == ("released", "its worker stopped")


async def test_a_task_that_was_released_before_its_start_has_nothing_to_tell() -> None:
    store = MemoryStore()
    async with rediq.connect(store) as client:
        handles = [await client.enqueue(rediq.Task("pay", {"how": "hangs"})) for _ in range(3)]
        async with rediq.serve(make_app(), store, shutdown_grace=0, concurrency=1) as server:
            with trio.fail_after(20):
                while not server.stats().running:
                    await trio.sleep(0.01)
        told = [len((await handle.info()).attempts) for handle in handles]
    assert sorted(told) == [0, 0, 1]


# --- redact


def hide(text: ErrorText) -> ErrorText:
    assert SECRET in text.message
    assert SECRET in text.traceback
    return ErrorText(text.type, "hidden", text.traceback.replace(SECRET, "hidden"))


async def test_redact_sees_each_error_before_anything_is_kept() -> None:
    info = await run("fails", make_app(hide))
    assert info.error == "CardDeclinedError: hidden"
    for attempt in info.attempts:
        assert (attempt.error_type, attempt.message) == ("CardDeclinedError", "hidden")
        assert attempt.traceback is not None
        assert attempt.traceback.endswith("CardDeclinedError: hidden")
    assert SECRET not in repr(attrs.asdict(info))


def break_down(text: ErrorText) -> ErrorText:
    raise SystemExit(text.message)


def forget_to_return(text: ErrorText) -> ErrorText:
    return None  # type: ignore[return-value]


@pytest.mark.parametrize("redact", [break_down, forget_to_return])
async def test_a_redact_that_fails_leaves_the_name_of_the_type(
    redact: Callable[[ErrorText], ErrorText], caplog: pytest.LogCaptureFixture
) -> None:
    info = await run("fails", make_app(redact))
    assert info.error == "CardDeclinedError"
    assert [(one.error_type, one.message, one.traceback) for one in info.attempts] == [
        ("CardDeclinedError", None, None)
    ] * 2
    assert "redact of the app failed with" in caplog.text


async def test_a_redact_may_return_any_text() -> None:
    def replace(text: ErrorText) -> ErrorText:
        return ErrorText("T\udcff" * 9000, "m" * 99_000, "t" * 99_000)

    attempt = (await run("fails", make_app(replace))).attempts[0]
    texts = [attempt.error_type, attempt.message, attempt.traceback]
    assert sum(len(text.encode()) for text in texts if text) <= TEXT_BYTES


def test_redact_is_a_function() -> None:
    with pytest.raises(ConfigError, match=r"redact='no': must be a function, or None"):
        rediq.App("attempts", redact="no")  # type: ignore[arg-type]


# --- what is stored


def stored(detail: bytes, transition: str = "fail") -> Attempt:
    return make_attempt(StoredAttempt(1, 2, "w", 3000, 4000, transition, detail))


def test_a_stored_attempt_is_read() -> None:
    assert stored(pack_detail(ErrorText("T", "m", "t"), timed_out=True)) == Attempt(
        number=1, delivery=2, worker="w", started_at=instant(3000), ended_at=instant(4000),
        outcome="timed out", error_type="T", message="m", traceback="t",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("transition", "outcome"),
    [("fail", "failed"), ("reclaim", "crashed"), ("snooze", "snoozed"), ("release", "released"),
     ("of a newer version", "of a newer version")],
)  # fmt: skip
def test_each_transition_has_its_outcome(transition: str, outcome: str) -> None:
    attempt = stored(b"", transition)
    assert (attempt.outcome, attempt.message, attempt.unreadable) == (outcome, None, None)


def test_what_a_newer_version_adds_is_ignored() -> None:
    detail = pack({"message": "m", "kind": b"new", "traceback": 7})
    assert stored(detail) == attrs.evolve(stored(b""), message="m")


@pytest.mark.parametrize("detail", [b"\xc1", b"\x81", b"\xc7\x00\x07"])
def test_a_detail_that_cannot_be_read_says_so(detail: bytes) -> None:
    assert stored(detail).unreadable
