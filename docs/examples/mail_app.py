"""The handlers that testing.md tests."""

import trio

import rediq_trio as rediq

app = rediq.App()
sent: list[str] = []


@app.task("mail:send", max_retry=2, backoff=rediq.Exponential(first=60, cap=3600, jitter=0))
async def send_mail(to: str) -> str:
    if rediq.current_task().attempt == 1:
        raise ConnectionError("the mail server is away")
    sent.append(to)
    return f"sent to {to}"


@app.task("mail:shout")
async def shout(text: str) -> str:
    await trio.sleep(1)
    return text.upper()
