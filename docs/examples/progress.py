"""A handler tells how far it is; whoever holds the handle can follow."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task
async def render(pages: int) -> int:
    for page in range(1, pages + 1):
        await trio.sleep(0.5)
        rediq.current_task().progress(100 * page / pages, f"page {page}")
    return pages


async def main() -> None:
    async with rediq.serve(app, "memory://", progress_interval=0.05) as server:
        handle = await server.client.enqueue(render.task(4))
        async for progress in handle.progress():
            print(f"{progress.percent:g} % {progress.message}")
        print("rendered", await handle.result(timeout=10))


trio.run(main)
