"""A type of your own as an argument and as a result."""

from __future__ import annotations

import decimal
from dataclasses import dataclass

import trio

import rediq_trio as rediq


class Money:
    """An amount in a currency: neither an attrs class nor a dataclass."""

    def __init__(self, amount: decimal.Decimal, currency: str) -> None:
        self.amount, self.currency = amount, currency

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    @classmethod
    def parse(cls, text: str) -> Money:
        amount, currency = text.split()
        return cls(decimal.Decimal(amount), currency)


@dataclass
class Line:
    name: str
    price: Money


app = rediq.App(
    converters=[
        rediq.Converter(Money, to_plain=str, from_plain=lambda text, kind: kind.parse(text)),
    ]
)


@app.task("total")
async def total(lines: list[Line], shipping: Money) -> Money:
    amount = sum((line.price.amount for line in lines), shipping.amount)
    return Money(amount, shipping.currency)


async def main() -> None:
    async with rediq.serve(app, "memory://") as server:
        lines = [Line("tea", Money.parse("4.20 EUR")), Line("cup", Money.parse("9.90 EUR"))]
        task = total.task(lines, shipping=Money.parse("3.50 EUR"))
        print(task.payload)
        handle = await server.client.enqueue(task)
        result = await handle.result(timeout=10)
        print(type(result).__name__, result)

        # A producer without the handlers sends plain data.
        wrong = rediq.Task("total", {"lines": [], "shipping": "3.50"})
        print((await (await server.client.enqueue(wrong)).wait(timeout=10)).error)


trio.run(main)
