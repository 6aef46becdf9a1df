"""Enqueue from threads, without Trio: what a web program under threads does."""

import os
from concurrent.futures import ThreadPoolExecutor

import rediq_trio as rediq

URL = os.environ.get("REDIQ_URL", "embedded://")


def main() -> None:
    with rediq.connect_sync(URL) as client, ThreadPoolExecutor(8) as pool:

        def order(number: int) -> rediq.SyncTaskHandle[object]:
            return client.enqueue(rediq.Task("order", {"number": number}, queue="orders"))

        handles = list(pool.map(order, range(100)))
        print(f"{client.queue('orders').stats().pending} orders wait")
        for handle in handles[:10]:
            handle.cancel()
        print(f"{client.queue('orders').stats().pending} orders are left")
        try:
            client.task("orders/unknown").info()
        except rediq.TaskNotFound as error:
            print(f"no task {error.task_id}")


main()
