"""See what has failed, grouped, and try again what is fixed."""

import trio

import rediq_trio as rediq

app = rediq.App()
declined = {17, 42}


@app.task("pay", max_retry=0)
async def pay(card: int) -> str:
    if card in declined:
        raise PermissionError(f"card {card} is declined")
    return "paid"


@app.task("mail", max_retry=0)
async def mail(to: str) -> None:
    raise ValueError(f"no such address: {to!r}")


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        tasks = [pay.task(17), pay.task(5), pay.task(42), mail.task("ada"), mail.task("bob")]
        for task in tasks:
            await (await server.client.enqueue(task)).wait()

        queue = server.client.queue("default")
        for kind in await queue.failures():
            print(f"{kind.count} x {kind.type}: {kind.error_type}: {kind.message}")

        declined.clear()  # fixed
        (cards,) = [kind for kind in await queue.failures() if kind.type == "pay"]
        for info in await queue.dead.list(kind=cards.kind):
            await queue.dead.retry(info.id)
            print((await server.client.task(info.id).wait()).state)


trio.run(main)
