"""Why a wait for a task was too slow: the state of the task, and whether a worker serves its queue."""

from __future__ import annotations

import trio

from rediq_trio._errors import ConnectionLost
from rediq_trio.spec.lifecycle import State
from rediq_trio.store.patient import without_patience
from rediq_trio.store.port import Store
from rediq_trio.tasks.task_info import read_worker_infos
from rediq_trio.values.bounds import Duration, queue_of, to_seconds

EXPLAIN_WITHIN = 1.0
"""Seconds that a wait which is over may take to find out why it was too slow."""


async def too_slow(
    store: Store, partition: str, local_id: str, timeout: Duration | None
) -> trio.TooSlowError:
    """Return the error for a wait of `timeout` seconds for a task. Never raises `ConnectionLost`."""
    text = f"task {partition}/{local_id} has not ended after {to_seconds(timeout or 0):g} s"
    with trio.move_on_after(EXPLAIN_WITHIN) as scope:
        try:
            # The wait is over: one try, whose error says why there is no answer.
            why = await _why(without_patience(store), partition, local_id)
        except ConnectionLost as lost:
            return trio.TooSlowError(f"{text}, and Redis does not answer: {lost}")
        return trio.TooSlowError(f"{text}: {why}")
    assert scope.cancelled_caught
    return trio.TooSlowError(f"{text}, and Redis does not answer")


async def _why(store: Store, partition: str, local_id: str) -> str:
    (record,) = await store.get(partition, (local_id,))
    if record is None:
        return "it exists no longer"
    queue, state = queue_of(partition), record.state
    workers = read_worker_infos(await store.workers())
    serving = sum(queue in worker.queues for worker in workers)
    if state is State.ACTIVE:
        return f"it is active, in worker {record.worker}"
    if record.terminal:
        return f"it is {state} by now"
    if not serving:
        return (
            f"it is {state}, and no live worker serves the queue {queue}: start one with "
            f'queues=["{queue}"], or rediq run ... --queues {queue}'
        )
    return f"it is {state}; live workers that serve the queue {queue}: {serving}"
