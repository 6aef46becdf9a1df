"""Pages, rows and acts by keys alone."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.stage import WITHIN, NewContext, Stage, watch

pytestmark = pytest.mark.slow

SOON = WITHIN * 1000


@pytest.mark.parametrize(
    ("key", "path"),
    [("o", "/"), ("q", "/queues"), ("f", "/failures"), ("d", "/dead"), ("w", "/workers"), ("s", "/schedules")],
)  # fmt: skip
def test_g_and_a_letter_lead_to_a_page(
    new_context: NewContext, stage: Stage, key: str, path: str
) -> None:
    context = new_context()
    tab = watch(context)
    tab.go(stage.site + "/help")
    tab.page.keyboard.press("g")
    tab.page.keyboard.press(key)
    tab.page.wait_for_url(stage.site + path, timeout=SOON)
    assert tab.heard == []


def test_rows_are_walked_and_opened_and_acts_asked_for(
    new_context: NewContext, stage: Stage
) -> None:
    context = new_context()
    tab = watch(context)
    tab.go(stage.site + "/schedules")
    page = tab.page
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("tr.now")).to_have_count(1)
    name = page.locator("tr.now b").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{stage.site}/schedules/{name}", timeout=SOON)
    page.keyboard.press("D")
    expect(page.locator("h1")).to_have_text(f"Remove {name}?", timeout=SOON)
    # Tab leads to the buttons in order, and Enter presses the one that has the focus.
    page.get_by_role("link", name="Back").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/schedules/{name}(\?.*)?$"), timeout=SOON)
    assert tab.heard == []


def test_the_search_the_theme_and_the_help_have_keys(new_context: NewContext, stage: Stage) -> None:
    context = new_context(color_scheme="light")
    tab = watch(context)
    tab.go(stage.site + "/workflows")
    page = tab.page
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("t?")  # no key does anything in a field
    expect(page.locator("#q")).to_have_value("t?")
    page.keyboard.press("Escape")
    expect(page.locator("#q")).not_to_be_focused()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    for _ in range(2):  # to light, and to dark; each is kept before the next key
        with page.expect_response(f"{stage.site}/settings", timeout=SOON):
            page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(ground) != light
    page.keyboard.press("?")
    page.wait_for_url(f"{stage.site}/help", timeout=SOON)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert tab.heard == []
