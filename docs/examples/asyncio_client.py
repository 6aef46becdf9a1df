import asyncio

import rediq_trio as rediq


async def main() -> None:
    async with rediq.asyncio.connect("embedded://") as client:
        email = rediq.Task("email:send", {"to": "a@example.com"}, queue="emails")
        first, second = await asyncio.gather(client.enqueue(email), client.enqueue(email))
        print((await client.queue("emails").stats()).pending)
        try:
            async with asyncio.timeout(0.5):
                await first.result()
        except TimeoutError:
            print("no worker has run it yet")
        print(await second.cancel())


asyncio.run(main())
