"""Report failures to Sentry, with the task and the trace of its producer."""

import os

import sentry_sdk
import trio

import rediq_trio as rediq
from rediq_trio.sentry import SentryIntegration


def show(event, hint):
    tags = event["tags"]
    print(event["level"], tags["rediq.type"], "failed in attempt", tags["rediq.attempt"])
    return event


sentry_sdk.init(
    dsn=os.environ.get("SENTRY_DSN"),  # without one, nothing is sent
    traces_sample_rate=1.0,
    before_send=show,
)
app = rediq.App()
SentryIntegration().install(app)


@app.task(name="pay", max_retry=1, backoff=rediq.Exponential(first=0.01))
async def pay(card: str) -> None:
    sentry_sdk.set_tag("card", card[-4:])
    raise ValueError("the card was refused")


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        with sentry_sdk.start_transaction(name="checkout") as transaction:
            handle = await server.client.enqueue(pay.task("4111 1111"))
        await handle.wait(timeout=10)
        metadata = (await handle.info()).metadata
        print(metadata["sentry-trace"].startswith(transaction.trace_id))


trio.run(main)
