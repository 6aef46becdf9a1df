"""A queue that keeps its history, and a replay of it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task(queue="mail", max_retry=1, backoff=rediq.Fixed(0.01))
async def send(to: str) -> None:
    if to == "nobody":
        raise LookupError("no such address")


async def main() -> list[str]:
    async with rediq.serve(app, "memory://", queues=["mail"], history=1000) as server:
        await server.client.enqueue_many([send.task("ann"), send.task("nobody")])
        await server.wait_idle()
        lines = [line async for line in server.client.queue("mail").history_lines()]
    steps = [json.loads(line) for line in lines]
    failed = next(step["id"] for step in steps if step.get("event") == "fail")
    for step in steps:
        if step.get("id") == failed:
            print(step["event"], step["target"], step.get("attempt", 0))
    return lines


with tempfile.TemporaryDirectory() as folder:
    recorded = Path(folder) / "mail.jsonl"
    recorded.write_text("\n".join(trio.run(main)), "utf-8")
    command = [sys.executable, "-m", "rediq_trio", "replay", str(recorded)]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")
