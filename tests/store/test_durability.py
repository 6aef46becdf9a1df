from __future__ import annotations

import logging

import pytest
import trio
import trio.testing

from rediq_trio import Unconfirmed
from rediq_trio.spec.operations import Confirm
from rediq_trio.store.redis.connection.calls import PendingCall
from rediq_trio.store.redis.connection.confirmer import UNCONFIRMED_LOG_INTERVAL, WriteConfirmer
from rediq_trio.store.redis.durability import CONFIRM_WITHIN_MS, Durability


@pytest.mark.parametrize(
    ("level", "replicas", "command"),
    [
        ("memory", None, None),
        ("replicated", None, (b"WAIT", 1, CONFIRM_WITHIN_MS)),
        ("replicated", 3, (b"WAIT", 3, CONFIRM_WITHIN_MS)),
        ("fsynced", None, (b"WAITAOF", 1, 0, CONFIRM_WITHIN_MS)),
        ("fsynced", 2, (b"WAITAOF", 1, 2, CONFIRM_WITHIN_MS)),
    ],
)
def test_a_level_has_the_command_that_waits_for_it(
    level: str, replicas: int | None, command: tuple[object, ...] | None
) -> None:
    assert Durability.of(level, replicas).command == command


class Judged:
    """A confirmer, and callers that wait for what it decides."""

    def __init__(self, level: str, replicas: int) -> None:
        durability = Durability.of(level, replicas)
        assert durability.command is not None
        self.confirmer = WriteConfirmer(durability, durability.command)

    async def resolve(self, *kinds: Confirm, reply: object) -> tuple[bool, list[str]]:
        """Resolve a round trip with a write of each kind; return what each caller got."""
        said: dict[int, str] = {}
        calls: list[PendingCall] = []

        async def wait(number: int, kind: Confirm) -> None:
            task = trio.lowlevel.current_task()
            calls.append(PendingCall((), None, b"", kind, 0.0, task))
            try:
                said[number] = await trio.lowlevel.wait_task_rescheduled(
                    lambda _: trio.lowlevel.Abort.SUCCEEDED
                )
            except Unconfirmed as error:
                said[number] = f"{error.answer}, {error}"

        async with trio.open_nursery() as nursery:
            for number, kind in enumerate(kinds):
                nursery.start_soon(wait, number, kind)
                await trio.testing.wait_all_tasks_blocked()
            whole = self.confirmer.resolve([(call, "answer") for call in calls], reply)
        return whole, [said[number] for number in range(len(kinds))]


@pytest.mark.mock_clock
async def test_a_confirmed_write_is_answered() -> None:
    for level, replicas, reply in (("replicated", 2, 2), ("fsynced", 1, [1, 1])):
        judged = Judged(level, replicas)
        assert await judged.resolve(Confirm.RAISE, reply=reply) == (True, ["answer"])
        assert judged.confirmer.unconfirmed == 0


@pytest.mark.mock_clock
@pytest.mark.parametrize(
    ("level", "replicas", "reply", "missing"),
    [
        ("replicated", 2, 1, ": 1 of 2 replicas have it."),
        ("fsynced", 0, [0, 0], ": the server has not written it to disk."),
        ("fsynced", 1, [1, 0], ": 0 of 1 replicas have it."),
        ("fsynced", 1, [0, 0], "written it to disk, and 0 of 1 replicas have it."),
    ],
)
async def test_an_unconfirmed_write_raises_in_a_client_and_is_counted_for_a_worker(
    level: str, replicas: int, reply: object, missing: str
) -> None:
    judged = Judged(level, replicas)
    whole, said = await judged.resolve(Confirm.RAISE, Confirm.NOTE, Confirm.NO, reply=reply)
    assert not whole
    assert said[0].startswith("answer, written, but not confirmed")
    assert missing in said[0]
    assert said[1:] == ["answer", "answer"]
    assert judged.confirmer.unconfirmed == 1


@pytest.mark.mock_clock
async def test_unconfirmed_writes_are_logged_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judged = Judged("replicated", 1)
    with caplog.at_level(logging.WARNING, "rediq_trio.durability"):
        for _ in range(10):
            await judged.resolve(Confirm.NOTE, reply=0)
            await trio.sleep(UNCONFIRMED_LOG_INTERVAL / 4)
    assert [record.args[0] for record in caplog.records if record.args] == [1, 5, 9]
