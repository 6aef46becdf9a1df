"""A partner who takes two calls at a time, and customers who share a queue."""

import trio

import rediq_trio as rediq

app = rediq.App()
running = most = 0
served: list[str] = []


@app.task(queue="partner")
async def call_partner(number: int) -> None:
    global running, most
    running += 1
    most = max(most, running)
    await trio.sleep(0.02)
    running -= 1


@app.task(queue="exports")
async def export(customer: str) -> None:
    served.append(customer)


async def main() -> None:
    async with rediq.serve(app, "memory://", queues=["partner"]) as server:
        client = server.client
        partner = client.queue("partner")
        await partner.limit(concurrency=2, rate=rediq.Rate(100, per=1, burst=10))
        await client.enqueue_many([call_partner.task(n) for n in range(12)])
        await server.wait_idle()
        print("at most", most, "at once")

    # One at a time, and none claimed ahead: so the order of the starts shows.
    async with rediq.serve(
        app, "memory://", queues=["exports"], concurrency=1, prefetch=0
    ) as server:
        client = server.client
        exports = client.queue("exports")
        await exports.limit(fair_by="limit_key", max_pending=8)
        await exports.limit(key="*", rate=rediq.Rate(1000, burst=100))
        await exports.pause()
        for customer in ("large", "large", "large", "large", "large", "large", "small", "small"):
            await client.enqueue(export.options(limit_key=customer).task(customer))
        try:
            await client.enqueue(export.options(limit_key="late").task("late"))
        except rediq.QueueFull as error:
            print(str(error).partition(":")[0])
        await exports.resume()
        await server.wait_idle()
        print(*served[:4])
        print((await exports.limits()).keys["*"].rate)


trio.run(main)
