"""A pool of database connections that all handlers of a worker share."""

import sqlite3
from collections.abc import AsyncGenerator, Generator
from contextlib import closing, contextmanager

import attrs
import trio

import rediq_trio as rediq


@attrs.frozen
class Settings:
    database: str = ":memory:"
    connections: int = 2


class Pool:
    """Connections for handlers that run in threads, each used by one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._send, self._receive = trio.open_memory_channel[sqlite3.Connection](
            settings.connections
        )
        for _ in range(settings.connections):
            self._send.send_nowait(sqlite3.connect(settings.database, check_same_thread=False))

    @contextmanager
    def connection(self) -> Generator[sqlite3.Connection]:
        found = trio.from_thread.run(self._receive.receive)
        try:
            yield found
        finally:
            trio.from_thread.run_sync(self._send.send_nowait, found)

    def close(self) -> None:
        while self._receive.statistics().current_buffer_used:
            self._receive.receive_nowait().close()


@attrs.frozen
class Shared:
    settings: Settings
    pool: Pool


app = rediq.App[Shared]()


@app.lifespan
async def shared() -> AsyncGenerator[Shared]:
    settings = Settings()
    with closing(Pool(settings)) as pool:
        print("open")
        yield Shared(settings, pool)
        print("closed")


@app.task
def add(a: int, b: int) -> int:
    with app.state.pool.connection() as connection:
        (total,) = connection.execute("select ? + ?", (a, b)).fetchone()
    return int(total)


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        handles = await server.client.enqueue_many(add.task(n, 10) for n in range(3))
        for handle in handles:
            print(await handle.result(timeout=10))


if __name__ == "__main__":
    trio.run(main)
