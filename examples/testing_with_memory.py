"""Test your handlers without a server, and without waiting.

`memory://` follows the same rules as Redis and keeps Trio's time. Under a `MockClock`
that jumps ahead whenever everybody waits, an hour of retries takes no time at all.
"""

import time

import trio
import trio.testing

import rediq_trio as rediq

app = rediq.App()
outbox: list[str] = []


@app.task(max_retry=5, backoff=rediq.Exponential(first=60, factor=2, cap=3600, jitter=0))
async def deliver(to: str) -> str:
    if rediq.current_task().attempt < 5:
        raise ConnectionError("mailbox full")
    outbox.append(to)
    return "delivered"


async def test_a_task_names_its_arguments() -> None:
    assert deliver.task("a@example.com").payload == {"to": "a@example.com"}


async def test_a_full_mailbox_is_tried_again_for_a_quarter_of_an_hour() -> None:
    async with rediq.serve(app, "memory://") as server:
        begun = trio.current_time()
        handle = await server.client.enqueue(deliver.task("a@example.com"))
        assert await handle.result(timeout=7200) == "delivered"
        assert (await handle.info()).attempt == 5
        waited = trio.current_time() - begun
        assert 60 + 120 + 240 + 480 <= waited < 920, waited
        assert outbox == ["a@example.com"]
        assert await server.client.queue("default").check() == []


if __name__ == "__main__":
    # With pytest-trio, the `autojump_clock` fixture does the same.
    for test in (
        test_a_task_names_its_arguments,
        test_a_full_mailbox_is_tried_again_for_a_quarter_of_an_hour,
    ):
        began = time.monotonic()
        trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))
        assert time.monotonic() - began < 2
        print(f"{test.__name__}: passed")
