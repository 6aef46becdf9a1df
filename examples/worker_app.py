"""An app for `rediq run`, and a producer that does not import it.

    export REDIQ_URL=redis://127.0.0.1:6379
    rediq run worker_app:app --queues urgent,default    in one terminal, in this folder
    python worker_app.py                                in another

Without a REDIQ_URL, the producer serves the app by itself for a moment.
"""

import os

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("count_words", queue="urgent")
async def count_words(text: str) -> int:
    return len(text.split())


@app.task("shout")
def shout(text: str) -> str:
    return text.upper() + "!"


async def produce(client: rediq.Client) -> None:
    count = rediq.Task[int]("count_words", {"text": "to be or not"}, queue="urgent")
    counted = await client.enqueue(count)
    shouted = await client.enqueue(rediq.Task[str]("shout", {"text": "hello"}))
    print(await counted.result(timeout=10), await shouted.result(timeout=10))


async def main() -> None:
    if "REDIQ_URL" in os.environ:
        async with rediq.connect() as client:
            await produce(client)
    else:
        async with rediq.serve(app, "embedded://", queues=["urgent", "default"]) as server:
            await produce(server.client)


if __name__ == "__main__":
    trio.run(main)
