"""Retries by exception, with two servers on a real Redis: the rules hold wherever a task runs."""

from __future__ import annotations

import rediq_trio as rediq
from rediq_trio import State
from tests.servers import Server
from tests.worker.twin import check_sound, twins

app = rediq.App()


def wait(error: Exception, attempt: int) -> float | None:
    """Give up on the third attempt."""
    return None if attempt == 3 else 0.01


@app.task("fails", max_retry=9, retry_on=LookupError, give_up_on=KeyError, retry=wait)
async def fails(ended_as: str) -> None:
    raise {"key": KeyError, "index": IndexError, "value": ValueError}[ended_as](ended_as)


async def test_each_exception_is_retried_as_its_rule_says(redis_server: Server) -> None:
    async with twins(app, redis_server) as (one, _):
        queue = one.queue("default")
        ends = {
            ended_as: await (await one.enqueue(fails.task(ended_as))).wait(timeout=20)
            for ended_as in ("key", "index", "value")
        }
        assert {info.state for info in ends.values()} == {State.DEAD}
        assert {ended_as: info.deliveries for ended_as, info in ends.items()} == {
            "key": 1,  # given up
            "index": 3,  # retried, until the function had enough
            "value": 1,  # not among those that are retried
        }
        assert all(ended_as in (info.error or "") for ended_as, info in ends.items())
        assert (await queue.stats()).failed_total == 5
        await check_sound(one)
