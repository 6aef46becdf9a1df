"""Read how the attempts of each type went."""

import trio
from trio.testing import MockClock

import rediq_trio as rediq

app = rediq.App()


@app.task("mail", max_retry=0)
async def mail(to: str) -> None:
    await trio.sleep(1.5)
    if "@" not in to:
        raise ValueError(f"no address: {to}")


@app.task("report", timeout=200)
async def report() -> None:
    await trio.sleep(100)


async def main() -> None:
    async with rediq.serve(app, "memory://", concurrency=4) as server:
        people = ["ada@example.com", "grace@example.com", "nobody", "alan@example.com"]
        await server.client.enqueue_many([*(mail.task(to) for to in people), report.task()])
        await trio.sleep(300)
        for one in await server.client.queue("default").types():
            assert one.run is not None
            assert one.failure_rate is not None
            print(f"{one.type}: {one.failure_rate:.0%} of {one.attempts} failed", end=", ")
            print(f"half of them took at most {one.run.p50:.2g} s")


trio.run(main, clock=MockClock(autojump_threshold=0))  # leave the clock out in earnest
