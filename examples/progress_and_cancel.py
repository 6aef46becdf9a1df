"""Watch a task's progress, then cancel it while it runs."""

import os

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(timeout=600)
async def render(frames: int) -> int:
    task = rediq.current_task()
    done = 0
    try:
        for done in range(frames):
            task.progress(100 * done / frames, f"frame {done}")
            await trio.sleep(0.02)
    finally:
        # A cancelled handler gets trio.Cancelled. Its clean-up may wait, within bounds.
        with task.cleanup():
            await trio.sleep(0.01)
            print(f"handler: cleaning up, reason: {task.cancel_reason}")
    return done


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, progress_interval=0.1) as server:
        handle = await server.client.enqueue(render.task(frames=1000))
        async for progress in handle.progress():
            print(f"watcher: {progress.message}, {progress.percent:.1f} %")
            if progress.percent > 1:
                break
        print("cancel() found it", await handle.cancel())
        try:
            await handle.result(timeout=10)
        except rediq.TaskCancelled as cancelled:
            print("result() raised", type(cancelled).__name__)


trio.run(main)
