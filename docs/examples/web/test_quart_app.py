"""Test the Quart program, which runs the worker itself: pytest test_quart_app.py"""

import pytest
import trio
import trio.testing
from quart_app import web


async def make_a_report(customer: str, pages: int) -> str:
    async with web.test_app() as running:
        browser = running.test_client()
        ordered = await browser.post(f"/reports?customer={customer}&pages={pages}")
        report = (await ordered.get_json())["id"]
        while True:
            seen = await (await browser.get(f"/reports/{report}")).get_json()
            if seen["state"] == "completed":
                return str(seen["result"])
            await trio.sleep(1)


def test_a_long_report_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIQ_URL", "memory://")
    clock = trio.testing.MockClock(autojump_threshold=0)  # a minute takes no time
    assert trio.run(make_a_report, "Ada", 600, clock=clock) == "600 pages for Ada"
