"""A database of your own that refuses a late writer, by the task's fence."""

import sqlite3

import trio

import rediq_trio as rediq

app = rediq.App()
database = sqlite3.connect(":memory:")
database.execute("CREATE TABLE totals (id TEXT PRIMARY KEY, total INTEGER, fence INTEGER)")

UPSERT = """
    INSERT INTO totals VALUES (:id, :total, :fence)
    ON CONFLICT (id) DO UPDATE SET total = :total, fence = :fence WHERE fence <= :fence
"""


def write(task_id: str, total: int, fence: int) -> bool:
    """Write the total; say whether it was taken."""
    row = {"id": task_id, "total": total, "fence": fence}
    return database.execute(UPSERT, row).rowcount == 1


@app.task
async def add(numbers: list[int]) -> bool:
    task = rediq.current_task()
    return write(task.id, sum(numbers), task.fence)


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        handle = await server.client.enqueue(add.task([1, 2, 3]))
        print("written:", await handle.result(timeout=10))
        print("an earlier delivery:", write(handle.id, 999, fence=0))
        print(database.execute("SELECT total, fence FROM totals").fetchall())


trio.run(main)
