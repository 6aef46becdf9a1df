"""Everything but liveness works without a script: each act is a form, or a link to a question."""

from __future__ import annotations

import re

import pytest

from rediq_trio.web.site.all_pages import ACTS
from tests.browser.stage import NewContext, Stage

pytestmark = pytest.mark.slow

OTHER_STATES = {
    "/bulk/{work}/stop",
    "/check/{queue}/stop",
    "/check/{queue}/repair",
    "/workers/{worker}/work",
}
"""Acts on what is not so in the fleet: work under way, a broken queue, a worker that is quiet."""


def matcher(pattern: str) -> re.Pattern[str]:
    """Return what matches the paths of an act."""
    text = re.sub(r"\{\w+:path\}", ".+", pattern)
    return re.compile(re.sub(r"\{\w+\}", "[^/]+", text) + r"(\?.*)?$")


def test_each_act_can_be_reached_and_done_by_links_and_forms(
    new_context: NewContext, stage: Stage
) -> None:
    context = new_context(java_script_enabled=False)
    page = context.new_page()
    found: set[str] = set()
    paths = [
        *stage.paths(),
        "/tasks/" + stage.samples["active"],
        "/tasks/" + stage.samples["retry"],
    ]
    paths += ["/workflows/" + stage.samples["waiting"], "/queues/imports", "/schedules/nightly"]
    for path in paths:
        page.goto(stage.site + path)
        html = page.content()
        found |= set(re.findall(r'(?:href|action|formaction)="([^"]*)"', html))
    reached = {act.path for act in ACTS if any(matcher(act.path).match(each) for each in found)}
    assert {act.path for act in ACTS} - reached <= OTHER_STATES
    # One from its button to what it did, and back.
    page.goto(f"{stage.site}/schedules/hourly")
    page.get_by_role("link", name="Pause…").click()
    assert page.locator("h1").inner_text() == "Pause hourly?"
    page.get_by_role("button", name="Pause").click()
    assert page.url.startswith(f"{stage.site}/schedules/hourly")
    assert "Paused hourly." in page.inner_text("#toast")
    page.locator("#toast").get_by_role("button", name="Resume").click()
    assert "hourly ticks again." in page.inner_text("#toast")
    page.get_by_role("group", name="Theme").or_(
        page.locator("form[aria-label=Theme]")
    ).first.get_by_role("button", name="dark").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
