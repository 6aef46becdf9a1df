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
async def fails(how: str) -> None:
    raise {"key": KeyError, "index": IndexError, "value": ValueError}[how](how)


async def test_each_exception_is_retried_as_its_rule_says(redis_server: Server) -> None:
    async with twins(app, redis_server) as (one, _):
        queue = one.queue("default")
        ends = {
            how: await (await one.enqueue(fails.task(how))).wait(timeout=20)
            for how in ("key", "index", "value")
        }
        assert {info.state for info in ends.values()} == {State.DEAD}
        assert {how: info.deliveries for how, info in ends.items()} == {
            "key": 1,  # given up
            "index": 3,  # retried, until the function had enough
            "value": 1,  # not among those that are retried
        }
        assert all(how in (info.error or "") for how, info in ends.items())
        assert (await queue.stats()).failed_total == 5
        await check_sound(one)
