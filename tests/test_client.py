"""What a user does with a client and a server, on the specification and on a real Redis."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import MemoryStore, State
from tests.actors.parts import Watched
from tests.servers import Server, require_any_server


class Colour(enum.Enum):
    RED = "red"


@attrs.frozen
class Order:
    id: uuid.UUID
    at: dt.datetime
    colour: Colour
    parts: list[str]


app = rediq.App()


@app.task("add")
async def add(a: int, b: int = 1) -> int:
    return a + b


@app.task("order")
async def order(order: Order, note: str | None = None) -> Order:
    assert isinstance(order, Order)
    return order


@app.task("boom", max_retry=0)
async def boom() -> None:
    raise ValueError("boom")


@app.task("wait", timeout=100)
async def wait(seconds: float = 60) -> str:
    rediq.current_task().progress(1, "begun")
    await trio.sleep(seconds)
    rediq.current_task().progress(100, "ended")
    return "waited"


@app.task("any")
async def whatever(payload: object) -> object:
    return payload


@pytest.fixture(params=["memory", "redis"])
def where(
    request: pytest.FixtureRequest, start_server: Callable[[str], Server]
) -> tuple[Any, dict[str, Any]]:
    """Give what `serve` and `connect` open, with the keywords they take."""
    if request.param == "memory":
        return MemoryStore(), {}
    return start_server(require_any_server()).url, {"key_prefix": f"client-{uuid.uuid4().hex[:8]}"}


Where = tuple[Any, dict[str, Any]]


async def test_a_result_comes_back_in_the_type_the_handler_gives(where: Where) -> None:
    mine = Order(uuid.uuid4(), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), Colour.RED, ["x"])
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(order.task(order=mine))
        assert await handle.result(timeout=10) == mine
        again = server.client.task(handle.id)
        assert (await again.result(timeout=10))["colour"] == "red"


async def test_a_payload_that_is_no_mapping_is_the_one_argument(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        for payload in (b"raw", [1, 2], "text", None, 7):
            handle = await server.client.enqueue(rediq.Task("any", payload))
            assert await handle.result(timeout=10) == payload


async def test_a_failed_task_tells_why_and_can_be_tried_again(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(boom.task())
        with pytest.raises(rediq.TaskFailed, match="ValueError: boom") as failed:
            await handle.result(timeout=10)
        assert failed.value.state == "dead"
        dead = server.client.queue("default").dead
        assert [info.id for info in await dead.list()] == [handle.id]
        assert await dead.retry(handle.id) is True
        assert (await handle.wait(timeout=10)).deliveries == 2
        assert await dead.retry_all() == 1
        assert (await handle.wait(timeout=10)).deliveries == 3
        assert await dead.purge() == 1
        with pytest.raises(rediq.TaskNotFound):
            await handle.info()
        with pytest.raises(rediq.TaskNotFound):
            await dead.retry(handle.id)


async def test_a_task_that_did_not_die_is_left_alone_by_the_dead_letters(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handle = await client.enqueue(add.task(1))
        assert await client.queue("default").dead.retry(handle.id) is False
        assert await handle.retry() is State.PENDING


async def test_a_waiting_task_is_cancelled_at_once_and_revived(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handle = await client.enqueue(add.task(1))
        assert await handle.cancel() is State.CANCELLED
        with pytest.raises(rediq.TaskCancelled):
            await handle.result(timeout=10)
        assert await handle.retry() is State.PENDING
        assert await handle.delete() is True
        for call in (handle.cancel, handle.retry, handle.delete, handle.info, handle.wait):
            with pytest.raises(rediq.TaskNotFound):
                await call()


async def test_a_running_task_is_cancelled_soon_and_not_deleted(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(wait.task())
        async for progress in handle.progress():
            assert progress.message == "begun"
            break
        assert await handle.delete() is False
        asked = trio.current_time()
        assert await handle.cancel() is State.ACTIVE
        assert (await handle.wait(timeout=10)).state is State.CANCELLED
        assert trio.current_time() - asked < 8.0  # a heartbeat would tell in 10


async def test_a_running_task_ends_at_its_deadline(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        handle = await server.client.enqueue(wait.options(deadline=1.0).task())
        with pytest.raises(rediq.TaskFailed, match="is dead: deadline: "):
            await handle.result(timeout=10)
        info = await handle.info()
        assert info.deadline == info.created_at + dt.timedelta(seconds=1)


async def test_progress_is_told_until_the_end(where: Where) -> None:
    async with rediq.serve(app, where[0], progress_interval=0.01, **where[1]) as server:
        handle = await server.client.enqueue(wait.task(seconds=0.3))
        seen = [(p.percent, p.message) async for p in handle.progress()]
        assert seen == [(1, "begun"), (100, "ended")]
        with pytest.raises(rediq.TaskNotFound):
            async for _ in server.client.task("default/nobody").progress():
                pass


async def test_waiting_has_its_time(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handle = await client.enqueue(add.task(1))
        for call in (handle.wait, handle.result):
            with pytest.raises(trio.TooSlowError):
                await call(timeout=0.05)


async def test_without_retention_only_who_waited_gets_the_result(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        queue = server.client.queue("default")
        await queue.pause()
        has_waiters, alone = await server.client.enqueue_many(
            [add.options(retention=0).task(1), add.options(retention=0).task(2)]
        )
        got: list[int] = []

        async def waiter() -> None:
            got.append(await has_waiters.result(timeout=10))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            await trio.sleep(0.1)
            await queue.resume()
        await server.wait_idle()
        assert got == [2]
        with pytest.raises(rediq.TaskNotFound):
            await alone.result(timeout=10)


async def test_an_own_id_can_be_enqueued_once(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        first = await client.enqueue(add.options(id="mine").task(1))
        assert first.id == "default/mine"
        with pytest.raises(rediq.DuplicateTask) as duplicate:
            await client.enqueue(add.options(id="mine").task(2))
        assert duplicate.value.existing_id == first.id
        handles = await client.enqueue_many(
            [add.options(id="mine").task(3), add.options(id="other").task(3)]
        )
        assert [(h.id, h.created) for h in handles] == [
            ("default/mine", False),
            ("default/other", True),
        ]
        stats = await client.queue("default").stats()
        assert (stats.pending, stats.enqueued) == (2, 2)


async def test_many_tasks_of_many_queues_keep_their_order(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        tasks = [add.options(queue=f"q{n % 3}").task(n) for n in range(2500)]
        handles = await client.enqueue_many(tasks)
        assert [h.queue for h in handles] == [t.queue for t in tasks]
        assert [(await client.queue(f"q{n}").stats()).pending for n in range(3)] == [834, 833, 833]
        assert await client.queues() == ["q0", "q1", "q2"]
        assert await client.enqueue_many([]) == []


async def test_tasks_are_read_page_by_page(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handles = await client.enqueue_many([add.task(n) for n in range(5)])
        queue = client.queue("default")
        page = await queue.tasks("pending", limit=3)
        rest = await queue.tasks(State.PENDING, after=page[-1].id)
        assert [info.id for info in page + rest] == [h.id for h in handles]
        assert await queue.flush() == 5
        assert await queue.check() == []


@pytest.mark.parametrize("by", ["id", "task", "cursor"])
async def test_pages_go_on_while_their_tasks_go(where: Where, *, by: str) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        handles = await client.enqueue_many([add.options(delay=60).task(n) for n in range(25)])
        queue = client.queue("default")
        found: list[str] = []
        after: Any = None
        while page := await queue.tasks("scheduled", limit=10, after=after):
            found += [info.id for info in page]
            for info in page:
                assert await client.task(info.id).delete()
            after = {"id": page[-1].id, "task": page[-1], "cursor": page[-1].cursor}[by]
        assert sorted(found) == sorted(handle.id for handle in handles)
        if by == "id":
            with pytest.raises(rediq.TaskNotFound):
                await client.queue("default").tasks("scheduled", after=after)
        else:
            assert await client.queue("default").tasks("scheduled", after=after) == []


async def test_a_cursor_is_for_the_list_that_it_came_from(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client.enqueue(add.task(1))
        [info] = await client.queue("default").tasks("pending")
        with pytest.raises(rediq.ConfigError, match="of a task that is dead"):
            await client.queue("default").dead.list(after=info)
        with pytest.raises(rediq.ConfigError, match="of the queue other"):
            await client.queue("other").tasks("pending", after=info)
        for bad in ("default/t|pending|x|", "default/t|pending|1", "?/t|pending|1|", "|", 7):
            with pytest.raises(rediq.ConfigError):
                await client.queue("default").tasks("pending", after=bad)  # type: ignore[arg-type]


async def test_a_delayed_task_runs_at_its_time(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.3)
        handles = await server.client.enqueue_many(
            [add.options(delay=0.3).task(1), add.options(run_at=soon).task(1)]
        )
        for handle in handles:
            info = await handle.wait(timeout=10)
            assert info.started_at is not None
            assert 0 <= (info.started_at - info.run_at).total_seconds() < 4.0


async def test_priorities_decide_who_is_first(where: Where) -> None:
    ran: list[str] = []
    mine = rediq.App()

    @mine.task("note")
    async def note(name: str) -> None:
        ran.append(name)

    async with rediq.connect(where[0], **where[1]) as client:
        for name, priority in (("b", 50), ("c", 90), ("a", 0), ("b2", 50)):
            await client.enqueue(note.options(priority=priority).task(name))
    async with rediq.serve(mine, where[0], concurrency=1, burst=True, **where[1]) as server:
        await server.wait_stopped()
    assert ran == ["a", "b", "b2", "c"]


async def test_layers_are_an_onion_and_an_error_in_one_fails_the_attempt(where: Where) -> None:
    steps: list[str] = []
    mine = rediq.App()

    @mine.middleware
    async def outer(task: rediq.CurrentTask) -> Any:
        steps.append(f"outer {task.type}")
        yield
        steps.append("outer end")

    @mine.middleware
    async def inner(task: rediq.CurrentTask) -> Any:
        steps.append("inner")
        if task.metadata.get("break"):
            raise RuntimeError("in a layer")
        yield
        steps.append("inner end")

    @mine.task("work", max_retry=0)
    async def work() -> None:
        steps.append("work")

    async with rediq.serve(mine, where[0], **where[1]) as server:
        await (await server.client.enqueue(work.task())).result(timeout=10)
        assert steps == ["outer work", "inner", "work", "inner end", "outer end"]
        broken = await server.client.enqueue(work.options(metadata={"break": "yes"}).task())
        with pytest.raises(rediq.TaskFailed, match="RuntimeError: in a layer"):
            await broken.result(timeout=10)


async def test_workers_are_listed_while_they_live(where: Where) -> None:
    async with rediq.serve(app, where[0], name="me", concurrency=3, **where[1]) as server:
        with trio.fail_after(10):
            while not await server.client.workers():
                await trio.sleep(0.01)
        (info,) = await server.client.workers()
        assert (info.id, info.concurrency, info.queues) == ("me", 3, ("default",))
        assert info.version == server.info().version
        await server.stop()
        assert await server.client.workers() == []
        assert server.stats().held == 0


async def test_an_expired_task_is_dead_for_that_reason(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        past = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
        late, soon = await client.enqueue_many(
            [add.options(expires=past).task(1), add.options(expires=0.001).task(1)]
        )
        await trio.sleep(0.01)
    async with rediq.serve(app, where[0], **where[1]) as server:
        for handle in (late, soon):
            info = await server.client.task(handle.id).wait(timeout=10)
            assert (info.state, info.error, info.deliveries) == (State.DEAD, "expired", 0)


async def test_an_error_of_the_block_leaves_as_it_was_raised(where: Where) -> None:
    mine = KeyError("mine")
    with pytest.raises(KeyError) as caught:
        async with rediq.serve(app, where[0], **where[1]):
            raise mine
    assert caught.value is mine
    with pytest.raises(KeyError) as caught:
        async with rediq.connect(where[0], **where[1]):
            raise mine
    assert caught.value is mine


# --- unique keys


def adding(conflict: Any = "reject", **options: Any) -> Callable[[int], rediq.Task[int]]:
    unique = rediq.Unique("key", on_conflict=conflict)
    return lambda n: add.options(unique=unique, **options).task(n)


async def test_a_second_task_of_a_unique_key_is_refused_by_the_holder(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        first = await client.enqueue(adding()(1))
        assert first.created is True
        with pytest.raises(rediq.DuplicateTask) as duplicate:
            await client.enqueue(adding()(2))
        assert duplicate.value.existing_id == first.id
        other = await client.enqueue(adding(queue="other")(2))
        assert other.created is True, "a key is one of its queue"
        assert (await client.queue("default").stats()).enqueued == 1
        await first.cancel()
        assert (await client.enqueue(adding()(3))).created is True


async def test_a_unique_key_may_give_the_handle_of_its_holder(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        queue = server.client.queue("default")
        await queue.pause()
        first = await server.client.enqueue(adding("return")(1))
        again = await server.client.enqueue(adding("return")(2))
        assert (again.id, again.created, first.created) == (first.id, False, True)
        await queue.resume()
        assert await again.result(timeout=10) == 2
        assert (await queue.stats()).enqueued == 1


async def test_a_unique_key_may_put_the_new_task_in_the_place_of_its_holder(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        queue = server.client.queue("default")
        await queue.pause()
        first = await server.client.enqueue(adding("replace", priority=10)(1))
        again = await server.client.enqueue(adding("replace", priority=20, max_retry=7)(5))
        assert (again.id, again.created) == (first.id, False)
        info = await first.info()
        assert (info.priority, info.max_retry) == (20, 7)
        assert (await queue.stats()).enqueued == 1
        await queue.resume()
        assert await first.result(timeout=10) == 6


async def test_a_holder_that_was_claimed_is_not_replaced(where: Where) -> None:
    async with rediq.serve(app, where[0], **where[1]) as server:
        unique = rediq.Unique("key", on_conflict="replace")
        running = await server.client.enqueue(wait.options(unique=unique).task())
        async for _ in running.progress():
            break
        with pytest.raises(rediq.DuplicateTask, match=running.id):
            await server.client.enqueue(wait.options(unique=unique).task())
        await running.cancel()


async def test_equal_arguments_have_one_key_however_they_are_spelt(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        make = add.options(unique=rediq.Unique()).task
        first = await client.enqueue(make(5))
        for same in (make(5, 1), make(5, b=1), make(a=5), make(b=1, a=5)):
            with pytest.raises(rediq.DuplicateTask) as taken:
                await client.enqueue(same)
            assert taken.value.existing_id == first.id
        others = await client.enqueue_many([make(5, 2), make(1), make(1, 5)])
        assert all(other.created for other in others)


async def test_many_tasks_of_a_key_are_one_and_their_handles_tell(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        made = [adding()(1), adding()(2), adding("replace")(3), add.task(4), adding("return")(5)]
        handles = await client.enqueue_many(made)
        assert [handle.created for handle in handles] == [True, False, False, True, False]
        assert {handle.id for handle in handles} == {handles[0].id, handles[3].id}
        stats = await client.queue("default").stats()
        assert (stats.pending, stats.enqueued) == (2, 2)
        assert await client.queue("default").check() == []


# --- dependencies


async def test_a_task_that_depends_on_others_waits_and_says_on_whom(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        first, second = await client.enqueue_many([add.task(1), add.options(queue="other").task(2)])
        handle = await client.enqueue(add.options(depends_on=[first, second.id]).task(3))
        info = await handle.info()
        assert (info.state, info.depends_on) == (State.BLOCKED, (first.id, second.id))
        assert (await first.info()).depends_on == ()
        alone = await client.enqueue(add.options(depends_on=first).task(3))
        assert (await alone.info()).depends_on == (first.id,)


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("missing", ["default/nobody", "other/nobody"])
async def test_without_the_task_that_it_needs_nothing_is_written(
    where: Where, missing: str, *, many: bool
) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        there = await client.enqueue(add.options(id="there").task(1))
        lost = add.options(depends_on=[there, missing]).task(2)
        with pytest.raises(rediq.TaskNotFound) as found:
            await (client.enqueue_many([lost]) if many else client.enqueue(lost))
        assert found.value.task_id == missing
        await written_is(client, {"default/there"})


async def test_a_task_in_a_group_cannot_be_depended_on(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        for queue in ("default", "other"):
            handle = await client.enqueue(add.options(group="g", queue=queue, id="g").task(1))
            assert (await handle.info()).state is State.GROUPED
            with pytest.raises(rediq.TaskNotFound, match=handle.id):
                await client.enqueue(add.options(depends_on=handle).task(1))
        await written_is(client, {"default/g", "other/g"})


async def test_a_batch_may_depend_on_itself_but_not_on_what_comes_after(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        first = add.options(id="first").task(1)
        second = add.options(id="second", depends_on="default/first").task(2)
        handles = await client.enqueue_many([first, second])
        assert [(await handle.info()).state for handle in handles] == ["pending", "blocked"]
        with pytest.raises(rediq.TaskNotFound, match="default/last"):
            await client.enqueue_many(
                [
                    add.options(depends_on="default/last").task(1),
                    add.options(id="last").task(1),
                ]
            )


@pytest.mark.parametrize("queue", ["default", "other"])
async def test_what_has_ended_already_is_looked_at_at_once(where: Where, queue: str) -> None:
    async with rediq.serve(app, where[0], queues=["default", "other"], **where[1]) as server:
        client = server.client
        done = await client.enqueue(add.options(queue=queue).task(1))
        dead = await client.enqueue(boom.options(queue=queue).task())
        await done.wait(timeout=10)
        await dead.wait(timeout=10)
        good = await client.enqueue(add.options(depends_on=done).task(5))
        assert await good.result(timeout=10) == 6
        bad = await client.enqueue(add.options(depends_on=[done, dead]).task(5))
        with pytest.raises(rediq.TaskFailed, match=r"the task \S+ that it needs is dead"):
            await bad.result(timeout=10)
        both = add.options(depends_on=[dead, done], on_dependency_failure="run")
        assert await (await client.enqueue(both.task(7))).result(timeout=10) == 8


async def test_what_died_with_a_task_is_revived_with_it(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        # Their ids have them listed the wrong way round.
        root = await client.enqueue(add.options(id="z").task(1))
        after = await client.enqueue(add.options(id="y", depends_on=root).task(2))
        last = await client.enqueue(add.options(id="x", depends_on=after).task(3))
        queue = client.queue("default")
        await root.cancel()
        assert [info.id for info in await queue.dead.list()] == [last.id, after.id]
        assert await queue.dead.retry(last.id) is False
        assert await queue.dead.retry_all() == 0, "what they need is cancelled"
        assert await root.retry() is State.PENDING
        assert await queue.dead.retry_all() == 2
        assert await last.retry() is State.BLOCKED
        await root.cancel()
        await root.retry()
        assert await queue.dead.retry(after.id) is True
        assert await queue.check() == []


async def test_all_the_dead_are_purged_and_revived_however_many(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = client.queue("default")
        for turn in range(2):
            root = await client.enqueue(add.options(id=f"z{turn}").task(1))
            await client.enqueue_many([add.options(depends_on=root).task(n) for n in range(1200)])
            await root.cancel()
            with trio.fail_after(10):
                while (dead := (await queue.stats()).dead) < 1200:
                    await client._store.unblock("default", limit=1000)
            assert dead == 1200
            await root.retry()
            assert await (queue.dead.retry_all() if turn else queue.dead.purge()) == 1200
            assert (await queue.stats()).dead == 0


# --- bounded queues


async def test_a_full_queue_refuses_and_takes_what_does_not_count(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client._store.arrange("default", max_pending=1)
        first = await client.enqueue(add.options(id="first").task(1))
        with pytest.raises(rediq.QueueFull, match="queue default is full: wait for room"):
            await client.enqueue(add.task(2))
        with pytest.raises(rediq.QueueFull):
            await client.enqueue_many([add.options(id="x", delay=10).task(2), add.task(2)])
        with pytest.raises(rediq.QueueFull):
            await client.enqueue(rediq.chain(add.task(1), add.task(2)))
        await client.enqueue(add.options(id="later", delay=10).task(3))
        await client.enqueue(add.options(id="after", depends_on=first).task(3))
        known = {f"default/{own}" for own in ("first", "later", "after")}
        await written_is(client, known)


async def test_many_tasks_of_a_queue_are_refused_together(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        lost = add.options(depends_on=["default/nothere"]).task(1)
        with pytest.raises(rediq.TaskNotFound):
            await client.enqueue_many([add.task(1), lost, add.task(2)])
        await client._store.arrange("default", max_pending=2)
        with pytest.raises(rediq.QueueFull):
            await client.enqueue_many([add.task(n) for n in range(5)])
        await written_is(client, set())


@pytest.mark.parametrize("apart", [False, True], ids=["one queue", "two queues"])
async def test_an_error_after_the_first_step_carries_what_was_written(
    where: Where, *, apart: bool
) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        queue = "other" if apart else "default"
        await client._store.arrange(queue, max_pending=2 if apart else 1002)
        first = [add.task(n) for n in range(1000)]
        rest = [add.options(queue=queue).task(n) for n in range(3)]
        tasks = [rest[0], *first, *rest[1:]] if not apart else [first[0], *rest, *first[1:]]
        with pytest.raises(rediq.PartlyEnqueued, match=r"1,000 of 1,003 .* is full") as partly:
            await client.enqueue_many(tasks)
        error = partly.value
        assert isinstance(error.__cause__, rediq.QueueFull)
        written = [handle for handle in error.handles if handle is not None]
        assert (len(error.handles), len(written), len(error.refused)) == (1003, 1000, 3)
        assert [n for n, handle in enumerate(error.handles) if handle is None] == (
            [1, 2, 3] if apart else [1000, 1001, 1002]
        )
        assert all([(await handle.info()).state is State.PENDING for handle in written[::200]])
        assert (await client.queue(queue).stats()).pending == (0 if apart else 1000)
        # The tasks that were refused have their ids, so enqueueing them twice is safe.
        await client._store.arrange(queue, max_pending=0)
        then = await client.enqueue_many(error.refused)
        assert all(handle.created for handle in then)
        again = await client.enqueue_many(error.refused)
        assert [(handle.id, handle.created) for handle in again] == [(h.id, False) for h in then]


async def test_many_tasks_wait_for_room_and_are_written_as_it_comes(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client._store.arrange("default", max_pending=2)
        tasks = [add.options(id=f"n{n}").task(n) for n in range(5)]
        found: list[rediq.TaskHandle[int]] = []

        async def enqueue() -> None:
            found.extend(await client.enqueue_many(tasks, wait=True))

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(enqueue)
                for n in range(5):
                    while True:  # in order, and never more than two at once
                        pending = await client.queue("default").tasks("pending")
                        assert len(pending) <= 2
                        if pending and pending[0].id == f"default/n{n}":
                            break
                        await trio.sleep(0.01)
                    await client.task(f"default/n{n}").cancel()
        assert [handle.id for handle in found] == [f"default/n{n}" for n in range(5)]
        assert all(handle.created for handle in found)


async def test_a_missing_task_ends_the_wait_for_room(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client._store.arrange("default", max_pending=1)
        lost = add.options(depends_on=["default/nothere"]).task(1)
        with pytest.raises(rediq.TaskNotFound), trio.fail_after(30):
            await client.enqueue_many([add.task(1), add.task(2), lost], wait=True)
        await written_is(client, set())


@pytest.mark.parametrize("whole", [False, True], ids=["task", "workflow"])
async def test_waiting_for_room_has_an_end(where: Where, *, whole: bool) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        await client._store.arrange("default", max_pending=1)
        first = await client.enqueue(add.task(1))
        made: Any = rediq.chain(add.task(1), add.task(2)) if whole else add.task(1)
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.2):
            await client.enqueue(made, wait=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: client.enqueue(made, wait=True))
            await trio.sleep(0.2)
            assert (await client.queue("default").stats()).pending == 1
            await first.cancel()
        assert (await client.queue("default").stats()).pending == 1


async def written_is(client: rediq.Client, ids: set[str]) -> None:
    """Check that there are these tasks, and that nothing of any other is left behind."""
    found: set[str] = set()
    for name in await client.queues():
        queue = await client._store.dump(name)
        found |= {f"{name}/{own}" for own in queue.records}
        assert queue.outbox == ()
        assert queue.locks == {}
        assert queue.counters.enqueued == len(queue.records)
        followers = {ref for some in queue.edges.values() for ref in some}
        assert {ref if "/" in ref else f"{name}/{ref}" for ref in followers} <= ids
        assert queue.needs.keys() <= queue.records.keys()
        assert await client.queue(name).check() == []
    assert found == ids


# --- workflows


async def test_a_workflow_is_written_as_a_whole(where: Where) -> None:
    async with rediq.serve(app, where[0], queues=["default", "other"], **where[1]) as server:
        away = add.options(queue="other")
        made = rediq.chain(add.task(1), rediq.gather(away.task(2), add.task(3)), add.task(4))
        handle = await server.client.enqueue(made)
        assert await handle.result(timeout=10) == 5
        info = await handle.info()
        assert (info.state, info.counts[State.COMPLETED]) == ("completed", 4)
        last = info.tasks["add-4"]
        assert set(last.depends_on) == {info.tasks["add-2"].id, info.tasks["add-3"].id}


@pytest.mark.parametrize("queue", ["default", "other"])
async def test_an_own_id_that_is_there_keeps_a_whole_workflow_out(where: Where, queue: str) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        there = await client.enqueue(add.options(id="mine", queue=queue).task(1))
        made = rediq.chain(
            add.task(1), add.task(2), add.options(id="mine", queue=queue).task(3), add.task(4)
        )
        with pytest.raises(rediq.DuplicateTask) as duplicate:
            await client.enqueue(made)
        assert duplicate.value.existing_id == there.id
        await written_is(client, {there.id})


async def test_own_ids_make_a_workflow_one_that_is_enqueued_once(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        away = add.options(queue="other", id="b")
        made = rediq.chain(add.options(id="a").task(1), away.task(1), add.options(id="c").task(2))
        await client.enqueue(made)
        with pytest.raises(rediq.DuplicateTask):
            await client.enqueue(made)
        await written_is(client, {"default/a", "other/b", "default/c"})


@pytest.mark.parametrize("missing", ["default/nobody", "other/nobody"])
@pytest.mark.parametrize("queue", ["default", "other"])
async def test_a_node_that_needs_what_is_not_there_keeps_the_workflow_out(
    where: Where, queue: str, missing: str
) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        node = add.options(queue=queue, depends_on=missing).task(3)
        with pytest.raises(rediq.TaskNotFound) as found:
            await client.enqueue(rediq.chain(add.task(1), add.task(2), node))
        assert found.value.task_id == missing
        await written_is(client, set())


async def test_a_workflow_with_a_bad_payload_is_not_begun(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        with pytest.raises(rediq.PayloadError, match="msgpack cannot carry"):
            await client.enqueue(rediq.chain(add.task(1), rediq.Task("any", object())))
        assert await client.queues() == []


async def test_an_own_id_whose_answer_was_lost_is_sent_once_and_any_other_until_it_is_answered() -> (
    None
):
    store = Watched()
    client = rediq.Client(store)
    await client.enqueue(add.task(1))
    store.calls.clear()
    store.deaf = 1
    with pytest.raises(rediq.ConnectionLost) as lost:
        await client.enqueue(add.options(id="own").task(1))
    assert lost.value.sent
    assert store.count("enqueue") == 1
    with pytest.raises(rediq.DuplicateTask):
        await client.enqueue(add.options(id="own").task(1))
    store.deaf = 1
    assert (await client.enqueue(add.task(1))).created
    assert (await client.queue("default").stats()).enqueued == 3


async def test_one_call_carries_no_more_bytes_than_it_may() -> None:
    store = Watched()
    client = rediq.Client(store)
    tasks = [whatever.task("x" * 400_000) for _ in range(30)]
    handles = await client.enqueue_many(tasks)
    assert store.count("enqueue") == 3
    assert len({handle.id for handle in handles}) == 30


async def test_what_has_ended_elsewhere_is_looked_at_although_nobody_serves(where: Where) -> None:
    async with rediq.connect(where[0], **where[1]) as client:
        first = await client.enqueue(add.options(queue="other").task(1))
        await first.cancel()
        after = add.options(depends_on=first, on_dependency_failure="run")
        second = await client.enqueue(after.task(1))
        assert (await second.info()).state is State.PENDING
