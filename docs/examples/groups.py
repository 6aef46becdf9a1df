"""Tasks that are worth doing together: one mail for many notes."""

from typing import Any

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("note")
async def note(text: str) -> None:
    """Never runs by itself: every note goes into a group."""


@app.task("mail")
async def mail(to: str, notes: list[str]) -> str:
    print(f"to {to}: {', '.join(notes)}")
    return f"mailed {len(notes)}"


@app.aggregator("notes:*", max_size=3, grace_period=1, max_delay=5)
async def digest(tasks: list[rediq.Task[Any]]) -> rediq.Task[str]:
    group = rediq.current_task().group or ""
    return mail.task(to=group.removeprefix("notes:"), notes=[t.payload["text"] for t in tasks])


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        client, queue = server.client, server.client.queue("default")

        for_ann = note.options(group="notes:ann")
        for text in ("hello", "how are you?", "bye", "one more thing"):
            handle = await client.enqueue(for_ann.task(text))

        await trio.sleep(0.5)
        print("waits:", (await handle.info()).group)
        await trio.sleep(2)

        for info in await queue.tasks("completed"):
            if info.members:
                result = await client.task(info.result).result(timeout=10)
                print(f"a batch of {len(info.members)}: {result}")
        stats = await queue.stats()
        print(f"{stats.batched} notes in {stats.completed // 2} batches")


trio.run(main)
