"""Lists of tasks, newest first, with their records."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import rediq_trio as rediq
from rediq_trio import ConfigError, MemoryStore, State, Task
from rediq_trio.tasks.ids import split_id
from tests.servers import Server, require_any_server

Where = tuple[Any, dict[str, Any]]


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest, start_server: Callable[[str], Server]) -> Where:
    """Give what `connect` opens, with the keywords it takes."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"lists-{uuid.uuid4().hex[:8]}"}


async def read(queue: rediq.Queue, state: str, limit: int, by: str, **options: Any) -> list[str]:
    """Read a whole list page by page; go on by the task itself, its cursor or its id."""
    found: list[str] = []
    after: Any = None
    while page := await queue.tasks(state, limit=limit, after=after, **options):
        assert len(page) <= limit
        found += [info.id for info in page]
        after = {"task": page[-1], "cursor": page[-1].cursor, "id": page[-1].id}[by]
    return found


@pytest.mark.parametrize("by", ["task", "cursor", "id"])
async def test_the_newest_come_first_page_by_page(where: Where, *, by: str) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        await client.enqueue_many(
            [Task("t", {}, id=f"t{n}", queue="q", delay=60 + n) for n in range(7)]
        )
        expected = [f"q/t{n}" for n in reversed(range(7))]
        assert await read(queue, "scheduled", 3, by, newest=True) == expected
        assert await read(queue, "scheduled", 3, by) == expected[::-1]


async def test_the_newest_dead_come_first_also_when_their_tasks_go(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        dead = client.queue("q").dead
        needed = await client.enqueue(Task("t", {}, queue="q", delay=60))
        for n in range(5):
            await client.enqueue(Task("t", {}, id=f"t{n}", queue="q", depends_on=needed))
        await needed.cancel()
        listed = [info.id for info in await dead.list()]
        page = await dead.list(limit=2, newest=True)
        assert [info.id for info in page] == listed[::-1][:2]
        for info in page:
            assert await client.task(info.id).delete()
        rest = await dead.list(after=page[-1].id, newest=True)
        assert [info.id for info in rest] == listed[::-1][2:]
        assert all(info.state is State.DEAD and info.error for info in rest)


@pytest.mark.parametrize("limit", [1, 4, 100])
async def test_the_newest_of_all_partitions_are_merged(where: Where, *, limit: int) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        await queue.partition(3)
        now = dt.datetime.now(dt.UTC)
        await client.enqueue_many(
            [
                Task("t", {}, id=f"t{n}", queue="q", run_at=now + dt.timedelta(hours=n + 1))
                for n in range(13)
            ]
        )
        found = await read(queue, "scheduled", limit, "id", newest=True)
        assert [split_id(one)[1] for one in found] == [f"t{n}" for n in reversed(range(13))]
        assert len({split_id(one)[0] for one in found}) > 1
        # Oldest first, one partition comes after the other, as ever.
        oldest = await read(queue, "scheduled", limit, "id")
        assert sorted(oldest) == sorted(found)
        assert [*dict.fromkeys(split_id(one)[0] for one in oldest)] == sorted(
            {split_id(one)[0] for one in oldest}
        )


async def test_a_page_may_be_longer_than_one_step(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        await client.enqueue_many([Task("t", {}, queue="q", priority=n % 2) for n in range(600)])
        oldest = [info.id for info in await queue.tasks("pending", limit=1000)]
        newest = [info.id for info in await queue.tasks("pending", limit=1000, newest=True)]
        assert len(oldest) == 600
        assert newest == oldest[::-1]


async def test_a_bad_request_is_refused(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("q")
        with pytest.raises(ConfigError, match="newest=1: must be True or False"):
            await queue.tasks("dead", newest=1)  # type: ignore[arg-type]
        with pytest.raises(rediq.TaskNotFound):
            await queue.dead.list(newest=True, after="q/none")
