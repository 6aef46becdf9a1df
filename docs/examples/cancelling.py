"""Cancelling a task that runs: its handler is cancelled as Trio cancels, and can clean up."""

import trio

import rediq_trio as rediq

app = rediq.App()
started = trio.Event()


@app.task
async def watch(camera: str) -> None:
    task = rediq.current_task()
    try:
        started.set()
        await trio.sleep_forever()
    finally:
        with task.cleanup():
            await trio.sleep(0.05)  # an await that the cancellation would otherwise end at once
            print(f"closed {camera}, because {task.cancel_reason}")


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle = await server.client.enqueue(watch.options(timeout=600).task("door"))
        await started.wait()
        print(await handle.cancel())
        print((await handle.wait(timeout=10)).state)
        try:
            await handle.result()
        except rediq.TaskCancelled as error:
            print(type(error).__name__)


trio.run(main)
