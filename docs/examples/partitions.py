"""One queue over four hash slots."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(queue="mail")
async def send(number: int) -> int:
    return number


async def main() -> None:
    async with rediq.connect("memory://shop") as client:
        await client.queue("mail").partition(4)

    async with rediq.serve(app, "memory://shop", queues=["mail"]) as server:
        client = server.client
        handles = await client.enqueue_many([send.task(n) for n in range(100)])
        print(sum([await handle.result(timeout=10) for handle in handles]))
        print(len({handle.id.partition("/")[0] for handle in handles}), "places")
        print((await client.queue("mail").stats()).completed, "completed in", handles[0].queue)

        mine = await client.enqueue(send.options(id="order-17").task(17))
        print(mine.id)


trio.run(main)
