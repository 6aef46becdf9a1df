"""An app with handlers and a schedule in queues of their own: `many:app`."""

import rediq_trio as rediq

app = rediq.App()


@app.task("mail", queue="mail")
async def mail() -> None: ...


app.schedule("tick", rediq.Every(3600), mail.options(queue="ticks").task())
