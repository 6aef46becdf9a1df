"""The first task: enqueue a call, run it in the same program, read what it returned."""

import os

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task
async def greet(name: str) -> str:
    return f"Hello, {name}!"


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "memory://")
    async with rediq.serve(app, url) as server:
        handle = await server.client.enqueue(greet.task("Ada"))
        print(await handle.result(timeout=10))
        info = await handle.info()
        print(info.state, info.attempt)


trio.run(main)
