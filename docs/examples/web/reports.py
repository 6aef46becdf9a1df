"""The handlers, in a module of their own: the web program imports it, and a worker can too."""

import trio

import rediq_trio as rediq

app = rediq.App()


@app.task("report:make", timeout=600)
async def make_report(customer: str, pages: int) -> str:
    for page in range(pages):
        rediq.current_task().progress(100 * page / pages)
        await trio.sleep(0.1)  # a page takes its time
    return f"{pages} pages for {customer}"
