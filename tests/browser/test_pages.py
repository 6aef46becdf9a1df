"""Each page, as it looks and as it is read, in both themes and from wide to narrow."""

from __future__ import annotations

import pytest
from axe_core_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from rediq_trio.web.site.all_pages import PAGES
from tests.browser.stage import (
    NOT_LOOKED_AT,
    PATTERNS,
    THEMES,
    WIDTHS,
    Stage,
    opened_context,
    watch,
)

pytestmark = pytest.mark.slow

OWNED = "window.owned !== undefined || document.querySelector('#owned') !== null"
"""Whether something that a task carries became a part of the page."""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
RULED = {(1440, "light"), (360, "dark")}
"""Where all pages are held against the rules of accessibility."""
FIXED = [page.path for page in PAGES if "{" not in page.path]
"""The pages that are there without any queue."""


def violations(page: Page) -> list[str]:
    """Return what is hard to read or to use for some people: the rule, and the first elements."""
    found = Axe().run(page)["violations"]
    return [
        f"{page.url} {each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}"
        for each in found
    ]


def seen(
    browser: Browser, site: str, paths: list[str], theme: str, width: int, *, rules: bool = True
) -> list[str]:
    """Look at pages in one theme and width; return everything that is wrong.

    The rules of accessibility take most of the time.
    """
    wrong: list[str] = []
    with opened_context(
        browser,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if theme == "dark" else "light",
    ) as context:
        tab = watch(context)
        for path in paths:
            tab.go(site + path)
            if (wider := tab.page.evaluate(WIDER)) > 0:
                wrong.append(f"{path} is {wider} px wider than {width} px")
            if tab.page.evaluate(OWNED):
                wrong.append(f"{path} has an element of a task's text")
            if tab.page.locator("h1").count() != 1:
                wrong.append(f"{path} has {tab.page.locator('h1').count()} titles")
            if rules:
                wrong += violations(tab.page)
        return wrong + tab.heard


@pytest.mark.parametrize(("width", "theme"), [(width, theme) for width in WIDTHS for theme in THEMES])
def test_each_page_is_sound_to_see_and_to_read(
    browser: Browser, stage: Stage, width: int, theme: str
) -> None:
    # Contrast depends on the theme and the size of targets on the width: two of the six show each once.
    rules = (width, theme) in RULED
    assert seen(browser, stage.site, stage.paths(), theme, width, rules=rules) == []


def test_each_pattern_of_pages_and_questions_is_looked_at(stage: Stage) -> None:
    assert {path for path in PATTERNS if not stage.filled(path)} == NOT_LOOKED_AT


def test_each_page_is_sound_while_nothing_was_ever_enqueued(
    browser: Browser, empty_site: str
) -> None:
    assert seen(browser, empty_site, FIXED, "light", 1440) == []
    assert seen(browser, empty_site, FIXED, "dark", 360) == []
