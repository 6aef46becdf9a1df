"""Tasks for later, and tasks that must not be enqueued twice."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task
async def remind(text: str) -> None:
    print(text)


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        client = server.client
        later = remind.options(delay=1.5)
        first = await client.enqueue(later.task("half past"))
        print((await first.info()).state)

        once = remind.options(id="invoice-17", delay=0.5)
        second = await client.enqueue(once.task("the invoice"))
        try:
            await client.enqueue(once.task("the invoice, again"))
        except rediq.DuplicateTask as error:
            print("exists already:", error.existing_id)

        await second.result(timeout=10)
        await first.result(timeout=10)


trio.run(main)
