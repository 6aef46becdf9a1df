"""Fetches side by side, then a join, then a report."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("fetch")
async def fetch(source: str) -> list[int]:
    await trio.sleep(0.05)
    return [len(source), 1]


@app.task("join")
async def join() -> int:
    return sum(sum(numbers) for numbers in (await rediq.current_task().results()).values())


@app.task("report")
async def report(title: str) -> str:
    (total,) = (await rediq.current_task().results()).values()
    return f"{title}: {total}"


async def main() -> None:
    sources = ("prices", "stock", "orders")
    workflow = rediq.chain(
        rediq.gather(*(fetch.task(source) for source in sources)),
        join.task(),
        report.task("nightly"),
    )
    async with rediq.serve(app, "memory://") as server:
        handle = await server.client.enqueue(workflow)
        print(await handle.result(timeout=10))
        info = await handle.info()
        print(info.state, ", ".join(f"{name} {state}" for name, state in info.states.items()))


trio.run(main)
