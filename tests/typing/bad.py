"""What type checkers must refuse: each marked line, and no other."""

import rediq_trio as rediq

app = rediq.App()


@app.task("email:send", queue="emails")
async def send_email(to: str, subject: str = "") -> str:
    return f"{to}: {subject}"


@app.task("bad", prioriti=3)  # error
async def bad_option() -> None: ...


@app.task("bad", retry_on=3)  # error
async def bad_rule() -> None: ...


@app.task("bad", give_up_on=KeyboardInterrupt)  # error
async def bad_class() -> None: ...


@app.task("bad", retry=lambda error: 1.0)  # error
async def bad_function() -> None: ...


async def main() -> None:
    send_email.task(to=1)  # error
    send_email.task()  # error
    send_email.task(to="a", other=1)  # error
    send_email.options(priority="high")  # error
    send_email.options(retry_on=OSError)  # error
    send_email.options(deadline="soon")  # error
    async with rediq.connect("memory://") as client:
        handle = await client.enqueue(send_email.task(to="a"))
        number: int = await handle.result()  # error
        await client.enqueue("email:send")  # error
        del number
