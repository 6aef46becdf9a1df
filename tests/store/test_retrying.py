from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import trio

import rediq_trio
from rediq_trio._errors import ClientClosed, ConfigError, ConnectionLost
from rediq_trio.store.retrying import (
    NOTE_AFTER,
    RETRY_PAUSE_MAX,
    RETRY_PAUSE_MIN,
    noting_waits,
    retry_pause,
    until_answered,
)

pytestmark = pytest.mark.mock_clock


class Losing:
    """A call whose first answers are lost, and when each call was made."""

    def __init__(self, losses: float) -> None:
        self.losses = losses
        self.times: list[float] = []

    async def __call__(self) -> str:
        self.times.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if len(self.times) <= self.losses:
            raise ConnectionLost(f"loss {len(self.times)}")
        return "answer"


async def test_an_answer_is_returned_without_a_pause() -> None:
    call = Losing(0)
    begun = trio.current_time()
    assert await until_answered(call) == "answer"
    assert (len(call.times), trio.current_time()) == (1, begun)


async def test_a_lost_call_is_repeated_until_it_is_answered() -> None:
    call = Losing(1000)
    assert await until_answered(call) == "answer"
    assert len(call.times) == 1001


async def test_each_pause_is_within_its_bounds_and_no_two_follow_one_beat() -> None:
    call = Losing(200)
    await until_answered(call)
    pauses = [later - earlier for earlier, later in zip(call.times, call.times[1:], strict=False)]
    assert min(pauses) >= RETRY_PAUSE_MIN
    assert max(pauses) <= RETRY_PAUSE_MAX + 1e-9
    assert len({round(pause, 6) for pause in pauses}) > 100


async def test_whoever_waits_for_long_is_notified_why_and_for_how_long() -> None:
    noted = list[tuple[str, float, float]]()
    call = Losing(math.inf)
    begun = trio.current_time()

    def note(lost: ConnectionLost, left: float) -> None:
        noted.append((str(lost), left, trio.current_time()))

    with noting_waits(note), pytest.raises(ConnectionLost):
        await until_answered(call, give_up_after=10)
    first = next(n for n, at in enumerate(call.times, 1) if at - begun >= NOTE_AFTER)
    assert [text for text, *_ in noted] == [f"loss {n}" for n in range(first, len(call.times))]
    assert all(left == pytest.approx(begun + 10 - at) for _, left, at in noted)
    count = len(noted)
    with pytest.raises(ConnectionLost):
        await until_answered(Losing(math.inf), give_up_after=10)
    assert len(noted) == count


async def test_a_pause_can_be_bounded() -> None:
    call = Losing(50)
    begun = trio.current_time()
    await until_answered(call, pause_max=0.01)
    assert trio.current_time() - begun == pytest.approx(0.5)


async def test_the_last_error_is_raised_when_the_time_is_over() -> None:
    call = Losing(math.inf)
    begun = trio.current_time()
    with pytest.raises(ConnectionLost) as raised:
        await until_answered(call, give_up_after=15.0)
    assert 15.0 <= trio.current_time() - begun <= 15.0 + RETRY_PAUSE_MAX
    assert str(raised.value) == f"loss {len(call.times)}"


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_without_time_the_call_is_made_once(seconds: float) -> None:
    call = Losing(1)
    with pytest.raises(ConnectionLost):
        await until_answered(call, give_up_after=seconds)
    assert len(call.times) == 1
    assert await until_answered(call, give_up_after=seconds) == "answer"


async def test_each_failure_is_reported() -> None:
    failures: list[str] = []
    await until_answered(Losing(3), on_failure=lambda lost: failures.append(str(lost)))
    assert failures == ["loss 1", "loss 2", "loss 3"]


async def test_a_report_can_give_up_at_once() -> None:
    call = Losing(math.inf)

    def give_up(lost: ConnectionLost) -> None:
        raise lost

    with pytest.raises(ConnectionLost, match="loss 1"):
        await until_answered(call, on_failure=give_up)
    assert len(call.times) == 1


async def test_any_other_error_leaves_as_it_was_raised() -> None:
    async def call() -> None:
        await trio.lowlevel.checkpoint()
        raise ConfigError("bad")

    with pytest.raises(ConfigError, match="bad"):
        await until_answered(call)


async def test_a_cancellation_ends_the_repetition() -> None:
    call = Losing(math.inf)
    with trio.move_on_after(3.0) as scope:
        await until_answered(call)
    assert scope.cancelled_caught
    assert max(call.times) <= scope.deadline


async def test_a_pause_of_its_own_has_the_same_bounds() -> None:
    pauses = [retry_pause() for _ in range(1000)]
    assert all(RETRY_PAUSE_MIN <= pause <= RETRY_PAUSE_MAX for pause in pauses)


def _retry_loops(path: Path) -> list[int]:
    """Return the lines of the loops that sleep after a `ConnectionLost` by themselves."""
    return [
        loop.lineno
        for loop in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(loop, ast.While)
        for handler in ast.walk(loop)
        if isinstance(handler, ast.ExceptHandler) and handler.type is not None
        if "ConnectionLost" in ast.unparse(handler.type) and "trio.sleep" in ast.unparse(handler)
    ]


def test_no_other_module_above_the_connection_repeats_lost_calls_by_itself() -> None:
    package = Path(rediq_trio.__file__).parent
    # A simulated server is started again as an operating system would, not by the library.
    above = [p for p in package.rglob("*.py") if not {"connection", "simulated"} & {*p.parts}]
    assert len(above) > 100
    assert [p.name for p in above if _retry_loops(p)] == []


async def test_a_closed_client_is_not_asked_again_and_what_may_have_been_carried_out_is_said() -> (
    None
):
    calls: list[float] = []

    async def call(*errors: ConnectionLost) -> None:
        calls.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        raise errors[len(calls) - 1]

    closed, refused = ClientClosed("closed"), ConnectionLost("refused", sent=False)
    for errors, raised in (
        ((closed,), closed),
        ((refused, closed), closed),
        ((lost := ConnectionLost("lost"), refused, closed), lost),
    ):
        calls.clear()
        with pytest.raises(ConnectionLost) as found:
            await until_answered(lambda errors=errors: call(*errors), give_up_after=10)
        assert found.value is raised
        assert len(calls) == len(errors)
