"""Tasks outlive the program: a folder keeps them until a worker comes."""

import sys
import tempfile

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task
async def resize(image: str) -> str:
    return f"{image}.small"


async def main(folder: str) -> None:
    url = f"embedded://{folder}"

    async with rediq.connect(url) as client:
        names = ("a.png", "b.png", "c.png")
        handles = await client.enqueue_many(resize.task(name) for name in names)
        print("pending:", (await client.queue("default").stats()).pending)
    # The server has ended here, and everything with it but the folder.

    async with rediq.serve(app, url) as server:
        for handle in handles:
            print(await server.client.task(handle.id).result(timeout=10))


with tempfile.TemporaryDirectory() as temporary:
    trio.run(main, sys.argv[1] if len(sys.argv) > 1 else temporary)
