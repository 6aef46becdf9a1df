"""A double spend in another domain than the bank of the documentation, written before the test kit was
used on it: a customer's card is charged for a seat.

The handler trusts a step of `once` to be called once. It is, unless the worker dies between the call and
the record of its result. The repaired one names the charge, and the card company refuses a second one.
"""

from __future__ import annotations

import attrs
import trio

import rediq_trio as rediq


@attrs.define
class CardCompany:
    """Stands for a service over HTTP: what it is asked for happens, and then the answer travels."""

    charges: list[tuple[str, int]] = attrs.field(factory=list)
    keys: set[str] = attrs.field(factory=set)

    async def charge(self, card: str, cents: int, key: str | None = None) -> None:
        if key not in self.keys:
            self.charges.append((card, cents))
        if key is not None:
            self.keys.add(key)
        await trio.sleep(0.2)


@attrs.define
class Hall:
    """Stands for the table of seats, which has one row for each seat."""

    sold: dict[str, str] = attrs.field(factory=dict)

    async def sell(self, seat: str, card: str) -> None:
        await trio.sleep(0.01)
        self.sold[seat] = card


@attrs.frozen
class BoxOffice:
    """All that outlives a worker."""

    cards: CardCompany = attrs.field(factory=CardCompany)
    hall: Hall = attrs.field(factory=Hall)

    def effects(self) -> object:
        return self.cards.charges, self.hall.sold


def make_app(office: BoxOffice, *, repaired: bool = False) -> rediq.App:
    app = rediq.App("box-office")

    @app.task("seats:buy", queue="sales")
    async def buy(seat: str, card: str) -> str:
        task = rediq.current_task()

        async def charge() -> str:
            await office.cards.charge(card, 4200, key=task.id if repaired else None)
            return f"receipt for {seat}"

        receipt = await task.once("charge", charge)
        await office.hall.sell(seat, card)
        return receipt

    return app
