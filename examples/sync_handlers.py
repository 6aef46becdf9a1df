"""Handlers that block: a plain `def` runs in a worker thread.

Nothing can stop a thread from outside. One that takes long asks now and then whether
it was cancelled; then a timeout, a cancel and a shutdown end it as they end an
`async def`.
"""

import hashlib
import os
import time

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("digest")
def digest(data: bytes, rounds: int) -> str:
    """Work without a pause; Trio's loop goes on meanwhile."""
    for _ in range(rounds):
        data = hashlib.sha256(data).digest()
    return data.hex()


@app.task("patient", timeout=0.2, max_retry=0)
def patient() -> None:
    """Wait for ever, and let itself be cancelled."""
    started = time.monotonic()
    while True:
        trio.from_thread.check_cancelled()  # raises trio.Cancelled
        rediq.current_task().progress(min(99, 100 * (time.monotonic() - started)))
        time.sleep(0.01)


async def main() -> None:
    url = os.environ.get("REDIQ_URL", "embedded://")
    async with rediq.serve(app, url, threads=4) as server:
        client = server.client
        hashing = await client.enqueue(digest.task(b"seed", rounds=100_000))
        waiting = await client.enqueue(patient.task())
        print("digest:", (await hashing.result(timeout=10))[:16])
        try:
            await waiting.result(timeout=10)
        except rediq.TaskFailed as failed:
            print("patient:", failed.reason)


trio.run(main)
