"""An enqueued workflow is followed, cancelled and drawn by its tasks alone.

The tasks are enqueued on their own here: what holds them back until others have
completed is the store's, and tested with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio

import rediq_trio as rediq
from rediq_trio import Client, MemoryStore, State, Task, TaskHandle
from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.messages import Cancelling, InState
from rediq_trio.spec.records import Record
from rediq_trio.tasks.prepare import prepare
from rediq_trio.values.bounds import MAX_PAYLOAD
from rediq_trio.workflow.build import Workflow, chain, gather
from rediq_trio.workflow.handle import WorkflowHandle

pytestmark = pytest.mark.mock_clock

app = rediq.App()


@app.task("give", timeout=1000)
async def give(value: int, after: float = 0) -> int:
    await trio.sleep(after)
    return value


@app.task("boom", max_retry=0)
async def boom(after: float = 0) -> int:
    await trio.sleep(after)
    raise ValueError(f"boom after {after:g}")


LATER = 100.0


async def enqueue(client: Client, workflow: Workflow[Any]) -> WorkflowHandle[Any]:
    plan = workflow.plan()
    handles: dict[str, TaskHandle[Any]] = {}
    for node in plan.nodes:
        one = prepare(attrs.evolve(node.task, id=node.local_id), MAX_PAYLOAD, workflow=plan.id)
        await client._store.enqueue(node.queue, [one.new])
        handles[node.name] = client._open(node.queue, node.local_id, node.task.returns)
    return WorkflowHandle(plan.graph(), handles)


async def test_the_result_is_that_of_the_last_task() -> None:
    async with rediq.serve(app, "memory://") as server:
        last = give.options(id="last").task(3)
        handle = await enqueue(server.client, chain(give.task(1), give.task(2), last))
        assert await handle.result(timeout=10) == 3
        assert handle.handles["give-3"].id == "default/last"
        assert list(handle.handles) == ["give", "give-2", "give-3"]
        assert repr(handle) == f"<WorkflowHandle {handle.id} of 3 nodes>"


async def test_the_results_of_several_last_tasks_come_by_their_names() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(
            server.client, chain(give.task(1), gather(give.task(2, 9), give.task(3)))
        )
        assert await handle.result() == {"give-2": 2, "give-3": 3}
        assert list(await handle.result()) == ["give-2", "give-3"]


async def test_a_result_is_in_the_type_that_the_handler_gives() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, chain(attrs.evolve(give.task(1), returns=set[int])))
        with pytest.raises(rediq.PayloadError, match="1 is no set"):
            await handle.result(timeout=10)


async def test_a_result_that_is_late_is_too_slow() -> None:
    async with rediq.connect("memory://") as client:
        handle = await enqueue(client, chain(give.task(1), give.task(2)))
        for wait in (handle.result, handle.wait):
            before = trio.current_time()
            with pytest.raises(trio.TooSlowError):
                await wait(timeout=7)
            assert trio.current_time() - before == pytest.approx(7)
            with pytest.raises(rediq.ConfigError, match="timeout=-1"):
                await wait(timeout=-1)


async def test_a_failure_is_told_of_the_task_that_failed_first() -> None:
    workflow = Workflow()
    one = workflow.add(give.task(1))
    cause = workflow.add(boom.options(id="cause").task(2), "cause", after=one)
    workflow.add(boom.task(1), "echo", after=cause)
    workflow.add(boom.options(id="other").task(3), "other", after=one)
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, workflow)
        with pytest.raises(rediq.TaskFailed, match="ValueError: boom after 2") as failed:
            await handle.result(timeout=10)
        assert failed.value.task_id == "default/cause"
        info = await handle.info()
        assert (info.failed, info.state, info.done) == ("cause", "dead", True)


async def test_a_cancelled_task_may_be_the_cause() -> None:
    workflow = chain(give.options(id="cause").task(1, LATER), boom.task())
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, workflow)
        await handle.handles["boom"].wait()
        await handle.handles["give"].cancel()
        await handle.wait(timeout=10)
        with pytest.raises(rediq.TaskCancelled, match="default/cause"):
            await handle.result(timeout=10)
        assert (await handle.info()).state == "cancelled"


async def test_a_failure_that_no_sink_suffered_from_is_none_of_the_workflow() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, chain(boom.task(), give.task(5)))
        assert await handle.result(timeout=10) == 5
        info = await handle.wait(timeout=10)
        assert (info.state, info.failed, info.states["boom"]) == ("completed", "boom", State.DEAD)


async def test_info_counts_the_nodes_by_their_states() -> None:
    workflow = Workflow("mine")
    workflow.add(give.task(1), "ends")
    workflow.add(give.task(2, LATER), "runs", after="ends")
    workflow.add(give.options(delay=LATER, queue="slow").task(3), "waits", after="runs")
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, workflow)
        await trio.sleep(1)
        info = await handle.info()
        assert info.states == {
            "ends": State.COMPLETED,
            "runs": State.ACTIVE,
            "waits": State.SCHEDULED,
        }
        assert list(info.tasks) == list(info.states)
        assert info.tasks["waits"].id == handle.handles["waits"].id
        assert sum(info.counts.values()) == 3
        assert info.counts[State.ACTIVE] == info.counts[State.COMPLETED] == 1
        assert (info.counts[State.DEAD], info.purged) == (0, 0)
        assert (info.done, info.state, info.failed) == (False, "running", None)
        assert handle.name == "mine"


class Counting(MemoryStore):
    """Counts what is read of it; loses the connection when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()
        self.lose = 0
        self.least = 1
        """Ids that a call has at least which loses the connection."""

    async def get(
        self, queue: str, ids: Sequence[str], *, skip_newer: bool = False
    ) -> tuple[Record | None, ...]:
        if self.lose and len(ids) >= self.least:
            self.lose -= 1
            raise ConnectionLost("lost")
        self.read[queue] += 1
        return await super().get(queue, ids, skip_newer=skip_newer)


async def test_a_thousand_nodes_are_read_by_one_call_per_queue() -> None:
    store = Counting()
    async with rediq.connect(store) as client:
        workflow = gather(*[Task("a")] * 600, *[Task("b", queue="other")] * 400)
        plan = workflow.plan()
        tasks = [attrs.evolve(node.task, id=node.local_id) for node in plan.nodes]
        enqueued = await client.enqueue_many(tasks)
        names = [node.name for node in plan.nodes]
        handle: WorkflowHandle[Any] = WorkflowHandle(
            plan.graph(), dict(zip(names, enqueued, strict=True))
        )
        store.read.clear()
        assert (await handle.info()).counts[State.PENDING] == 1000
        assert store.read == {"default": 1, "other": 1}


async def test_a_waiter_outlives_a_lost_connection() -> None:
    store = Counting()
    async with rediq.serve(app, store) as server:
        handle = await enqueue(server.client, chain(boom.task(5), boom.task(5)))
        async with trio.open_nursery() as nursery:

            async def cut() -> None:
                await trio.sleep(1)
                store.lose = 10

            nursery.start_soon(cut)
            with pytest.raises(rediq.TaskFailed):
                await handle.result(timeout=60)
        for store.least in (1, 2):
            store.lose = 3
            assert (await handle.wait(timeout=60)).state == "dead"
            assert store.lose == 0
        store.lose = 1
        assert (await handle.info()).state == "dead"
        assert store.lose == 0


async def test_purged_nodes_show_as_such_and_nothing_hangs() -> None:
    gone = give.options(retention=0).task(1)
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, chain(gone, give.task(2)))
        assert await handle.result() == 2
        info = await handle.wait()
        assert info.states == {"give": None, "give-2": State.COMPLETED}
        assert list(info.tasks) == ["give-2"]
        assert (info.purged, info.done, info.state) == (1, True, "completed")
        assert "purged" in await handle.mermaid()
        assert await handle.cancel() == {"give": None, "give-2": State.COMPLETED}


async def test_the_result_of_a_purged_sink_is_not_found() -> None:
    async with rediq.serve(app, "memory://") as server:
        workflow = chain(give.task(1), give.options(retention=0).task(2))
        handle = await enqueue(server.client, workflow)
        await trio.sleep(10)
        with pytest.raises(rediq.TaskNotFound, match=handle.handles["give-2"].id):
            await handle.result()
        assert (await handle.wait()).state == "completed"


async def test_a_failed_node_tells_why_a_purged_sink_has_no_result() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, chain(boom.task(), give.task(2)))
        await handle.wait()
        await handle.handles["give"].delete()
        with pytest.raises(rediq.TaskFailed, match="boom"):
            await handle.result()
        assert (await handle.info()).state == "dead"


async def test_a_waiter_gets_results_that_nobody_keeps() -> None:
    async with rediq.serve(app, "memory://") as server:
        brief = give.options(retention=0)
        handle = await enqueue(server.client, gather(brief.task(1, 1), brief.task(2, 500)))
        assert await handle.result() == {"give": 1, "give-2": 2}


async def test_a_workflow_that_is_gone_is_not_found() -> None:
    async with rediq.connect("memory://") as client:
        handle = await enqueue(client, chain(give.task(1), give.task(2)))
        await client.queue("default").flush()
        for ask in (
            handle.info, handle.result, handle.wait, handle.cancel, handle.mermaid, handle.svg,
        ):  # fmt: skip
            with pytest.raises(rediq.TaskNotFound, match=handle.handles["give-2"].id):
                await ask()


async def test_a_cancel_ends_those_that_wait_before_those_they_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    cancel = MemoryStore.cancel

    async def last_entry(
        self: MemoryStore, queue: str, task_id: str, *, still: InState | None = None
    ) -> State | None:
        asked.append(f"{queue}/{task_id}")
        return await cancel(self, queue, task_id, still=still)

    monkeypatch.setattr(MemoryStore, "cancel", last_entry)
    workflow = gather(chain(give.task(1), give.task(2)), give.task(3), then=give.task(4))
    workflow.add(give.task(5), "late", after="give")
    async with rediq.connect("memory://") as client:
        handle = await enqueue(client, workflow)
        assert await handle.cancel() == dict.fromkeys(handle.handles, State.CANCELLED)
        place = {name: asked.index(each.id) for name, each in handle.handles.items()}
        assert all(place[after] < place[before] for before, after in workflow.links)
        assert len(asked) == 5
        info = await handle.wait()
        assert (info.state, info.failed) == ("cancelled", "give")
        with pytest.raises(rediq.TaskCancelled):
            await handle.result()
        asked.clear()
        await handle.cancel()
        assert asked == []


async def test_a_cancel_leaves_what_ended_and_asks_the_running_to_stop() -> None:
    async with rediq.serve(app, "memory://") as server:
        waiting = give.options(delay=LATER).task(3)
        handle = await enqueue(server.client, chain(give.task(1), give.task(2, LATER), waiting))
        await trio.sleep(1)
        states = await handle.cancel()
        assert states == {
            "give": State.COMPLETED,
            "give-2": State.ACTIVE,
            "give-3": State.CANCELLED,
        }
        info = await handle.wait(timeout=5)
        assert info.states["give-2"] is State.CANCELLED
        assert info.done


async def test_a_cancel_ends_what_waits_for_its_retry() -> None:
    async with rediq.serve(app, "memory://") as server:
        failing = Task("boom", {}, max_retry=1, backoff=rediq.Fixed(LATER))
        handle = await enqueue(server.client, chain(give.task(1), failing))
        await trio.sleep(1)
        assert (await handle.info()).states["boom"] is State.RETRY
        assert await handle.cancel() == {"give": State.COMPLETED, "boom": State.CANCELLED}


async def test_a_node_that_goes_while_the_workflow_is_cancelled_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def gone(
        self: MemoryStore, queue: str, task_id: str, *, still: InState | None = None
    ) -> Cancelling:
        await trio.lowlevel.checkpoint()
        return Cancelling(None)

    async with rediq.connect("memory://") as client:
        handle = await enqueue(client, chain(give.task(1), give.task(2)))
        monkeypatch.setattr(MemoryStore, "cancel", gone)
        assert await handle.cancel() == {"give": None, "give-2": None}


async def test_wait_waits_for_branches_that_no_sink_waits_for_any_more() -> None:
    workflow = chain(gather(boom.task(), give.task(1, LATER)), boom.task())
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, workflow)
        before = trio.current_time()
        with pytest.raises(rediq.TaskFailed):
            await handle.result()
        assert trio.current_time() - before < LATER
        assert not (await handle.info()).done
        info = await handle.wait()
        assert info.done
        assert trio.current_time() - before >= LATER


async def test_what_follows_nothing_runs_with_no_results() -> None:
    followed = rediq.App()

    @followed.task("join")
    async def join() -> dict[str, Any]:
        return await rediq.current_task().results()

    nothing: list[rediq.Task[Any]] = []
    async with rediq.serve(followed, "memory://") as server:
        for made in (
            rediq.gather(*nothing, then=join.task()),
            rediq.chain(rediq.gather(*nothing), join.task()),
        ):
            handle = await server.client.enqueue(made)
            assert await handle.result(timeout=30) == {}
        with pytest.raises(rediq.ConfigError, match="it has no node"):
            await server.client.enqueue(rediq.gather(*nothing))


async def test_a_cancelled_wait_leaves_the_workflow_alone() -> None:
    async with rediq.connect("memory://") as client:
        handle = await enqueue(client, gather(give.task(1), give.task(2)))
        with trio.move_on_after(3) as scope:
            await handle.result()
        assert scope.cancelled_caught
        assert (await handle.info()).counts[State.PENDING] == 2


async def test_a_workflow_is_drawn_with_its_states() -> None:
    workflow = Workflow("mine")
    workflow.add(give.task(1), "good")
    workflow.add(boom.task(), "bad", after="good")
    async with rediq.serve(app, "memory://") as server:
        handle = await enqueue(server.client, workflow)
        await handle.wait()
        states = {"good": "completed", "bad": "dead"}
        assert await handle.mermaid() == workflow.mermaid(states)
        assert await handle.svg() == workflow.svg(states)


async def test_a_handle_is_needed_for_each_node() -> None:
    with pytest.raises(rediq.ConfigError, match="no handle for node 'give'"):
        WorkflowHandle(chain(give.task(1)).plan().graph(), {})
