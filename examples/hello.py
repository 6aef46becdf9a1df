"""Enqueue a task, run it in the same program, wait for its result."""

import os

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("email:send", queue="emails", max_retry=5, timeout=30)
async def send_email(to: str, subject: str) -> str:
    rediq.current_task().progress(50, "rendered")
    await trio.sleep(0.1)
    return f"sent to {to}"


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, queues=["emails"]) as server:
        handle = await server.client.enqueue(send_email.task(to="a@example.com", subject="hi"))
        print(await handle.result(timeout=10))


trio.run(main)
