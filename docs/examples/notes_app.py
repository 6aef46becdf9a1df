"""The handlers: `rediq run notes_app:app` serves them."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("notes:count", timeout=10)
async def count_words(text: str) -> int:
    await trio.sleep(0.01)
    return len(text.split())
