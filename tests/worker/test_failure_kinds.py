"""What a user reads of the kinds of failure of a queue, from the handler that raises to the list."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import ConfigError, ErrorText, FailureKind, Fixed, MemoryStore, Snooze, State
from rediq_trio.spec.history.kinds import HOUR_MS, HOURS_KEPT, StoredKind
from rediq_trio.tasks.failure_kinds import FailureSample, make_failure_kind, pack_sample
from rediq_trio.tasks.instants import instant
from rediq_trio.wire.packing import pack
from tests.servers import Server, require_any_server

SECRET = "card 4000"

Opened = tuple[Any, dict[str, Any]]


@pytest.fixture(params=["memory", "redis"])
def opened(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Opened:
    """Return what `serve` opens, with the keywords it takes."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"kinds-{uuid.uuid4().hex[:8]}"}


class CardDeclinedError(Exception):
    pass


def charge(number: int) -> None:
    raise CardDeclinedError(f"card {number} of 'ann{number}' declined")


def make_app(redact: Callable[[ErrorText], ErrorText] | None = None) -> rediq.App:
    app = rediq.App("kinds", redact=redact)

    @app.task("pay", max_retry=0, backoff=Fixed(0))
    async def pay(how: str, number: int = 0) -> str:
        match how:
            case "charge":
                charge(number)
            case "hang":
                await trio.sleep(math.inf)
            case "snooze":
                raise Snooze(60)
            case "reject":
                raise rediq.Reject("no such account")
            case "group":
                async with trio.open_nursery():
                    charge(number)
            case "secret":
                raise ValueError(SECRET)
            case "large":
                return "x" * 2_000_000
        raise ValueError(how)

    return app


async def ended(client: rediq.Client, how: str, number: int = 0, **options: Any) -> str:
    task = rediq.Task("pay", {"how": how, "number": number}, **{"max_retry": 0, **options})
    handle = await client.enqueue(task)
    await handle.wait(timeout=20)
    return handle.id


async def failures(
    how: str, redact: Callable[[ErrorText], ErrorText] | None = None, **options: Any
) -> tuple[FailureKind, ...]:
    async with rediq.serve(make_app(redact), "memory://") as server:
        await ended(server.client, how, **options)
        return await server.client.queue("default").failures()


async def test_failures_that_are_alike_are_one_kind(opened: Opened) -> None:
    async with rediq.serve(make_app(), opened[0], **opened[1]) as server:
        client = server.client
        ids = [await ended(client, "charge", number) for number in range(7)]
        await ended(client, "other")
        queue = client.queue("default")
        other, cards = await queue.failures()
        assert (cards.count, cards.type, cards.error_type) == (7, "pay", "CardDeclinedError")
        assert cards.message == "card 0 of 'ann0' declined"
        assert cards.place == f"{__name__}:charge"
        assert cards.task_ids == tuple(ids[:1:-1])
        assert cards.first_seen < cards.last_seen < other.first_seen == other.last_seen
        assert cards.unreadable is None
        assert other.place == f"{__name__}:make_app.<locals>.pay"
        info = await client.task(ids[0]).info()
        assert [attempt.kind for attempt in info.attempts] == [cards.kind]


async def test_dead_tasks_of_a_kind_are_listed_page_by_page(opened: Opened) -> None:
    async with rediq.serve(make_app(), opened[0], **opened[1]) as server:
        ids: list[str] = []
        for number in range(5):
            ids.append(await ended(server.client, "charge", number))
            await ended(server.client, "other")
        queue = server.client.queue("default")
        kind = next(one.kind for one in await queue.failures() if one.error_type != "ValueError")
        for newest in (False, True):
            found: list[str] = []
            after = None
            while page := await queue.dead.list(kind=kind, limit=2, after=after, newest=newest):
                assert len(page) <= 2
                found += [info.id for info in page]
                after = page[-1]
            assert found == (ids[::-1] if newest else ids)
        assert len(await queue.dead.list()) == 10


async def test_kinds_outlive_their_tasks_until_the_queue_is_flushed(opened: Opened) -> None:
    async with rediq.serve(make_app(), opened[0], **opened[1]) as server:
        queue = server.client.queue("default")
        await ended(server.client, "charge")
        [kind] = await queue.failures()
        assert await queue.dead.purge() == 1
        assert await queue.failures() == (kind,)
        assert await queue.dead.list(kind=kind.kind) == []
        await queue.flush()
        assert await queue.failures() == ()


async def test_a_queue_that_is_removed_has_no_failures(opened: Opened) -> None:
    async with rediq.serve(make_app(), opened[0], **opened[1]) as server:
        await ended(server.client, "charge")
        await server.client.queue("default").dead.purge()
    async with rediq.connect(opened[0], **opened[1]) as client:
        await client.queue("default").remove()
        assert await client.queue("default").failures() == ()


async def test_kinds_of_partitions_are_summed(opened: Opened) -> None:
    async with rediq.connect(opened[0], **opened[1]) as client:
        await client.queue("default").partition(3)
    async with rediq.serve(make_app(), opened[0], **opened[1]) as server:
        ids = [await ended(server.client, "charge", number) for number in range(12)]
        queue = server.client.queue("default")
        [kind] = await queue.failures()
        assert kind.count == 12
        assert ids[-1] == kind.task_ids[0]
        assert len({*kind.task_ids} & {*ids}) == 5
        assert {info.id for info in await queue.dead.list(kind=kind.kind)} == {*ids}


@pytest.mark.parametrize("given", ["", "ffffffffffff", 7, b"x"])
async def test_an_unknown_kind_is_refused(opened: Opened, given: Any) -> None:
    async with rediq.connect(opened[0], **opened[1]) as client:
        with pytest.raises(
            ConfigError, match=r"^kind=.*: must be a kind that failures\(\) of"
        ) as error:
            await client.queue("q").dead.list(kind=given)
        assert "did you mean" not in str(error.value)


async def test_a_kind_that_is_nearly_right_is_suggested() -> None:
    async with rediq.serve(make_app(), "memory://") as server:
        await ended(server.client, "charge")
        queue = server.client.queue("default")
        [kind] = await queue.failures()
        with pytest.raises(ConfigError, match=f"did you mean {kind.kind}"):
            await queue.dead.list(kind=kind.kind[:-1])


async def test_a_timeout_is_a_kind_of_where_the_handler_stood() -> None:
    [kind] = await failures("hang", timeout=0.05)
    assert (kind.error_type, kind.message) == (None, "timeout: it took longer than 0.05 s")
    assert kind.place == f"{__name__}:make_app.<locals>.pay"


async def test_timeouts_of_different_lengths_are_one_kind() -> None:
    [one] = await failures("hang", timeout=0.05)
    [other] = await failures("hang", timeout=0.1)
    assert one.kind == other.kind


async def test_an_error_alone_in_a_group_is_of_the_kind_of_the_error() -> None:
    [alone] = await failures("charge")
    [grouped] = await failures("group")
    assert alone.kind == grouped.kind


async def test_a_rejection_is_a_kind() -> None:
    [kind] = await failures("reject")
    assert (kind.error_type, kind.message) == ("Reject", "no such account")


async def test_an_unknown_type_is_a_kind_without_a_place() -> None:
    async with rediq.serve(make_app(), "memory://", unknown_type_patience=0) as server:
        await (await server.client.enqueue(rediq.Task("nobody", max_retry=0))).wait(timeout=20)
        [kind] = await server.client.queue("default").failures()
    assert (kind.type, kind.error_type, kind.place) == ("nobody", "UnknownTaskType", None)


async def test_a_result_that_is_too_large_is_a_kind() -> None:
    [kind] = await failures("large")
    assert (kind.type, kind.error_type, kind.count) == ("pay", "PayloadTooLarge", 1)


async def test_a_snooze_is_no_failure() -> None:
    async with rediq.serve(make_app(), "memory://") as server:
        handle = await server.client.enqueue(rediq.Task("pay", {"how": "snooze"}))
        with trio.fail_after(20):
            while (await handle.info()).state is not State.SCHEDULED:
                await trio.sleep(0.01)
        assert await server.client.queue("default").failures() == ()


def hide(text: ErrorText) -> ErrorText:
    return attrs.evolve(text, message="hidden", traceback="")


async def test_a_kind_is_made_of_what_redact_leaves() -> None:
    [one] = await failures("secret", hide)
    [other] = await failures("another secret", hide)
    assert one.kind == other.kind
    assert (one.type, one.error_type, one.message) == ("pay", "ValueError", "hidden")
    # Nor is the place kept where the traceback may not be.
    assert one.place is None


async def test_a_redact_that_keeps_the_traceback_keeps_the_place() -> None:
    [kind] = await failures("secret", lambda text: attrs.evolve(text, message="hidden"))
    assert kind.place == f"{__name__}:make_app.<locals>.pay"


async def test_a_redact_that_fails_leaves_the_type_only() -> None:
    def broken(text: ErrorText) -> ErrorText:
        raise RuntimeError(SECRET)

    [kind] = await failures("secret", broken)
    assert (kind.error_type, kind.message, kind.place) == ("ValueError", None, None)


def test_a_sample_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    packed = pack({"type": "pay", "error_type": 7, "newer": 1})
    found = make_failure_kind("k", [("q", StoredKind(1, 0, 0, ("a",), packed))])
    assert (found.type, found.error_type, found.unreadable) == ("pay", None, None)
    for odd in (pack([1]), pack(7)):
        found = make_failure_kind("k", [("q", StoredKind(1, 0, 0, ("a",), odd))])
        assert (found.type, found.unreadable) == (None, None)


@pytest.mark.parametrize("damaged", [b"", b"\xc1", b"\xa5ab"])
def test_a_damaged_sample_says_so(damaged: bytes) -> None:
    found = make_failure_kind("k", [("q", StoredKind(3, 0, 0, ("a",), damaged))])
    assert (found.type, found.count) == (None, 3)
    assert found.unreadable


def test_the_sample_is_that_of_the_partition_where_it_was_seen_last() -> None:
    early = StoredKind(1, 5, 7, ("a",), pack_sample(FailureSample("pay", "", "early", "")))
    late = StoredKind(2, 6, 9, ("c", "b"), pack_sample(FailureSample("pay", "", "late", "")))
    found = make_failure_kind("k", [("q", early), ("q~1", late)])
    assert found == FailureKind(
        kind="k", count=3, first_seen=instant(5), last_seen=instant(9), type="pay", error_type=None,
        message="late", place=None, task_ids=("q~1/c", "q~1/b", "q/a"),
    )  # fmt: skip


def test_the_hours_of_all_partitions_are_added_up() -> None:
    def stored(last: int, *counts: int) -> StoredKind:
        hours = (last, *counts) if counts else ()
        return StoredKind(1, 0, last * HOUR_MS + 5, ("a",), b"", hours)

    def hours(*found: StoredKind) -> tuple[int, ...]:
        return make_failure_kind("k", [("q", each) for each in found]).hours

    assert hours(stored(100, 2, 3)) == (2, 3)
    assert hours(stored(98, 1), stored(100, 2, 3)) == (2, 3, 1)
    assert hours(stored(100, 2), stored(100, 4, 1)) == (6, 1)
    assert hours(stored(60, 9), stored(100, 2)) == (2, *(HOURS_KEPT - 1) * (0,))
    # What only an older version counted is not known.
    assert hours(stored(100)) == ()
    assert hours(stored(101), stored(100, 2)) == (0, 2)
