"""Many calls, few runs: the last one after a pause, or the first one of each second."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(delay=1)
async def save(document: str, text: str) -> None:
    print("saved:", text)


@app.task(unique=rediq.Unique("prices", until="expired", ttl=60, on_conflict="return"))
async def refresh() -> None:
    print("refreshed")


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        client = server.client
        for text in ("D", "De", "Dea", "Dear"):
            key = rediq.Unique("save letter", on_conflict="replace")
            handle = await client.enqueue(save.options(unique=key).task("letter", text))
        await handle.result(timeout=10)

        created = 0
        for _ in range(100):
            created += (await client.enqueue(refresh.task())).created
        await server.wait_idle()
        print("of 100 calls:", created)


trio.run(main)
