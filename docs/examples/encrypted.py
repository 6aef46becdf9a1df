"""Payloads and results that Redis cannot read."""

import trio

import rediq_trio as rediq

KEY = rediq.Encryption.generate_key()  # in earnest: from where you keep your secrets

app = rediq.App()


@app.task("greet")
async def greet(name: str) -> str:
    return f"hello, {name}"


async def main() -> None:
    encryption = rediq.Encryption(keys=[KEY])
    async with rediq.serve(app, "memory://", encryption=encryption) as server:
        handle = await server.client.enqueue(greet.task("Ada"))
        print(await handle.result(timeout=10))


trio.run(main)
