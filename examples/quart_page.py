"""A shop on Quart-Trio: it serves its customers, runs its own tasks, and shows them under /ops.

`python quart_page.py` serves three orders on a free port, and ends. To look at it in a browser, run
`hypercorn --worker-class trio quart_page:web`, and open http://127.0.0.1:8000/ops/.
"""

import json
import os
import urllib.request
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import request
from quart_trio import QuartTrio

import rediq_trio as rediq
from rediq_trio.web import asgi

URL = os.environ.get("REDIQ_URL", "embedded://")
app = rediq.App("shop")
web = QuartTrio(__name__)

Message = dict[str, Any]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]


@app.task("parcel:pack", queue="parcels", max_retry=5, backoff=rediq.Fixed(0.2))
async def pack(what: str, pieces: int) -> str:
    task = rediq.current_task()
    for piece in range(pieces):
        task.progress(100 * piece / pieces, f"piece {piece + 1} of {pieces}")
        await trio.sleep(0.05)
    if what == "glass" and task.attempt == 1:
        raise OSError("it broke")  # the second attempt packs it better
    return f"{pieces} x {what}, attempt {task.attempt}"


@web.while_serving
async def worker() -> AsyncGenerator[None]:
    async with (
        rediq.serve(app, URL, queues=["parcels"]) as server,
        # Whoever sits at this machine may look and act. For others, pass `authorize` or `login`.
        asgi(server.client, name="shop", write=True) as page,
    ):
        web.config.update(CLIENT=server.client, PAGE=page)
        yield


@web.post("/orders")
async def order() -> tuple[Message, int]:
    task = pack.task(request.args["what"], int(request.args["pieces"]))
    handle = await web.config["CLIENT"].enqueue(task)
    return {"id": handle.id}, 202


@web.get("/orders/<path:id>")
async def parcel(id: str) -> tuple[Message, int]:
    handle = web.config["CLIENT"].task(id)
    await handle.wait(timeout=10)
    return {"result": (await handle.info()).result}, 200


def mount(path: str, shop: Asgi) -> Asgi:
    """Return an ASGI app that has the page under a path, and the shop everywhere else."""

    async def both(scope: Message, receive: object, send: object) -> None:
        if scope["type"] == "http" and f"{scope['path']}/".startswith(f"{path}/"):
            below = scope | {"root_path": scope.get("root_path", "") + path}
            await web.config["PAGE"](below, receive, send)
        else:
            await shop(scope, receive, send)

    return both


# Quart lets middleware take the place of this method, which its type does not say.
web.asgi_app = mount("/ops", web.asgi_app)  # type: ignore[assignment,method-assign]


def call(url: str, method: str = "GET") -> str:
    """Do what a browser does, in a thread."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
        return str(answer.read().decode())


async def main() -> None:
    config = Config()
    config.bind, config.loglevel = ["127.0.0.1:0"], "WARNING"
    closing = trio.Event()
    async with trio.open_nursery() as nursery:
        start = partial(serve, web, config, shutdown_trigger=closing.wait)
        (address,) = await nursery.start(start)
        for what, pieces in (("tea", 2), ("glass", 4), ("bread", 1)):
            ordering = f"{address}/orders?what={what}&pieces={pieces}"
            order = json.loads(await trio.to_thread.run_sync(call, ordering, "POST"))
            shown = json.loads(await trio.to_thread.run_sync(call, f"{address}/orders/{order['id']}"))
            print(f"packed: {shown['result']}")
        page = await trio.to_thread.run_sync(call, f"{address}/ops/queues")
        print("the page lists the queue:", "parcels" in page)
        closing.set()


if __name__ == "__main__":
    trio.run(main)
