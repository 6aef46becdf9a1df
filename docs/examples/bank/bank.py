"""The database of the example: accounts, and the transfers that were carried out."""

import trio


class Bank:
    """Stands for a database. Each method is one transaction: it takes a while, then all of it is done."""

    def __init__(self) -> None:
        self.balance = {"ann": 100, "bob": 100}
        self.moved: list[str] = []
        self.done: set[str] = set()

    async def is_done(self, transfer: str) -> bool:
        await trio.sleep(0.01)
        return transfer in self.done

    async def move(self, transfer: str, amount: int) -> None:
        await trio.sleep(0.01)
        self._move(transfer, amount)

    async def mark_done(self, transfer: str) -> None:
        await trio.sleep(0.01)
        self.done.add(transfer)

    async def move_once(self, transfer: str, amount: int) -> None:
        await trio.sleep(0.01)
        if transfer not in self.done:
            self.done.add(transfer)
            self._move(transfer, amount)

    def _move(self, transfer: str, amount: int) -> None:
        self.balance["ann"] -= amount
        self.balance["bob"] += amount
        self.moved.append(transfer)
