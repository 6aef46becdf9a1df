"""At most one task of a kind at a time, and what becomes of the second."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(unique=rediq.Unique())
async def rebuild(site: str) -> str:
    await trio.sleep(1)
    return f"{site} rebuilt"


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        client = server.client
        first = await client.enqueue(rebuild.task("blog"))
        await client.enqueue(rebuild.task("shop"))
        try:
            await client.enqueue(rebuild.task("blog"))
        except rediq.DuplicateTask as error:
            print("already there:", error.existing_id == first.id)

        shared = rebuild.options(unique=rediq.Unique(on_conflict="return"))
        again = await client.enqueue(shared.task("blog"))
        print("created:", again.created)
        print(await again.result(timeout=10))
        print("created:", (await client.enqueue(shared.task("blog"))).created)


trio.run(main)
