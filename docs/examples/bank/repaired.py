"""Transfers between two accounts, repaired: one transaction looks, moves and marks."""

from bank import Bank

import rediq_trio as rediq


def make_app(bank: Bank) -> rediq.App:
    app = rediq.App("bank")

    @app.task("bank:transfer")
    async def transfer(amount: int) -> str:
        await bank.move_once(rediq.current_task().id, amount)
        return f"moved {amount}"

    return app
