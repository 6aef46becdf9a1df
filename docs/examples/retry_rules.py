"""Which failures are worth another attempt, and after how long."""

import trio

import rediq_trio as rediq

app = rediq.App()


class Busy(Exception):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"busy, come back in {seconds:g} s")
        self.seconds = seconds


class NoSuchPage(Exception):
    pass


def wait(error: Exception, attempt: int) -> float | None:
    if attempt == 3:
        return None  # enough: dead, whatever attempts are left
    return error.seconds if isinstance(error, Busy) else 0.05 * attempt


@app.task(max_retry=9, retry_on=(Busy, OSError), retry=wait)
async def fetch(page: str) -> str:
    attempt = rediq.current_task().attempt
    if page == "none":
        raise NoSuchPage(page)
    if page == "down":
        raise ConnectionError(f"attempt {attempt}: no answer")
    if attempt == 1:
        raise Busy(0.1)
    return f"{page}, at attempt {attempt}"


@app.task(max_retry=9, give_up_on=ValueError)
async def parse(text: str) -> int:
    return int(text)


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        for task in (
            fetch.task("news"),
            fetch.task("down"),
            fetch.task("none"),
            parse.task("twelve"),
        ):
            handle = await server.client.enqueue(task)
            info = await handle.wait(timeout=10)
            print(f"{info.state} after {info.attempt}: {info.result or info.error}")


trio.run(main)
