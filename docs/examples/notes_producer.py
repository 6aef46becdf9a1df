"""The producer: it knows the handler's name only, and runs in a process of its own."""

import trio

import rediq_trio as rediq


async def main() -> None:
    async with rediq.connect() as client:
        task = rediq.Task("notes:count", {"text": "to be or not to be"})
        handle = await client.enqueue(task)
        print("words:", await handle.result(timeout=30))


trio.run(main)
