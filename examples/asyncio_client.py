"""Enqueue from asyncio, without Trio: what FastAPI on uvicorn does."""

import asyncio
import os

import rediq_trio as rediq

URL = os.environ.get("REDIQ_URL", "embedded://")


async def main() -> None:
    async with rediq.asyncio.connect(URL) as client:
        orders = [rediq.Task("order", {"number": number}, queue="orders") for number in range(100)]
        handles = await asyncio.gather(*(client.enqueue(order) for order in orders))
        print(f"{(await client.queue('orders').stats()).pending} orders wait")
        try:
            async with asyncio.timeout(0.2):
                await handles[0].result()
        except TimeoutError:
            print("the first one has no result yet")
        await asyncio.gather(*(handle.cancel() for handle in handles[:10]))
        print(f"{(await client.queue('orders').stats()).pending} orders are left")


asyncio.run(main())
