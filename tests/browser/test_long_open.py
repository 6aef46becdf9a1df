"""A page that is open for long: clicks leave nothing, its clock is the server's, an upgrade reloads it."""

from __future__ import annotations

import datetime as dt
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import rediq_trio as rediq
from benchmarks.operate.clicks import Clicker
from tests.browser.stage import ROOT, WITHIN, NewContext, Stage, served, watch
from tests.browser.test_together import SOON, free_port

pytestmark = pytest.mark.slow

CLICKS, SECONDS = 300, 60.0
"""Clicks, or for how long: a busy machine has fewer."""
CLICKS_FIRST = 30
"""Clicks after which what there is counts as the beginning."""
WRONG_CLOCK = """
  const Real = Date, wrong = 5 * 365 * 86400e3;
  window.Date = class extends Real {
    constructor(...given) { given.length ? super(...given) : super(Real.now() - wrong); }
    static now() { return Real.now() - wrong; }
  };
"""


def test_clicks_leave_nothing_in_the_page_nor_in_its_process(
    new_context: NewContext, stage: Stage
) -> None:
    with served(stage.url, stage.prefix, "--write") as (site, child):
        tab = watch(new_context())
        clicker = Clicker(tab.page, site, child.pid)
        clicker.click(CLICKS_FIRST)
        first = clicker.left()
        end = time.monotonic() + SECONDS
        clicker.click(CLICKS - CLICKS_FIRST, lambda: time.monotonic() < end)
        last = clicker.left()
        print(f"{clicker.done} clicks: {first}, then {last}")
        tab.page.goto("about:blank")
    assert clicker.done > CLICKS_FIRST
    assert last.heap - first.heap < 2
    assert last.nodes < first.nodes + 5_000
    assert last.server - first.server < 15
    assert tab.heard == []


def shown_ages(page: Page) -> list[str]:
    """Return how far the instants of a page are, in its words."""
    return [text.strip() for text in page.locator("main time").all_inner_texts()]


def test_a_wrong_clock_of_the_browser_changes_no_time(
    new_context: NewContext, stage: Stage
) -> None:
    wrong = new_context()
    wrong.add_init_script(WRONG_CLOCK)
    tab = watch(wrong)
    tab.go(stage.site + "/failures")
    assert tab.page.evaluate("new Date().getFullYear()") < dt.datetime.now(dt.UTC).year - 3
    at = tab.page.inner_text("#live .at")
    # Once it was shown anew by the script.
    expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
    expect(tab.page.locator("#live .at")).not_to_have_text(at, timeout=SOON)
    now = dt.datetime.now(dt.UTC)
    shown = dt.datetime.strptime(tab.page.inner_text("#live .at"), "%H:%M:%S").time()
    apart = abs((dt.datetime.combine(now.date(), shown, dt.UTC) - now).total_seconds())
    assert min(apart, 86_400 - apart) < WITHIN
    ages = shown_ages(tab.page)
    assert ages
    assert [age for age in ages if not re.fullmatch(r"[\d.]+ (ms|s|min)( \d+ s)? ago", age)] == []
    tab.page.locator("button[name=zone][value=local]").click()
    expect(tab.page.locator("#live.on")).to_be_visible(timeout=SOON)
    assert tab.heard == []


def newer_version(folder: Path) -> str:
    """Copy the package with another script, as an upgrade brings it; return where Python finds it."""
    package, source = Path(rediq.__file__).parent, folder / "src"
    shutil.copytree(
        package, source / package.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    (folder / "lua").symlink_to(ROOT / "lua")
    with (source / package.name / "web" / "static" / "look.js").open("a") as script:
        script.write("\n// newer\n")
    return os.pathsep.join((str(source), str(ROOT)))


def test_a_page_that_is_open_over_an_upgrade_loads_itself_anew_but_not_while_one_types(
    new_context: NewContext, stage: Stage, tmp_path: Path
) -> None:
    port, path = str(free_port()), newer_version(tmp_path)
    context = new_context()
    reads, types = watch(context), watch(context)
    with served(stage.url, stage.prefix, "--write", "--port", port) as (site, child):
        for tab in (reads, types):
            tab.go(site + "/queues")
            tab.page.evaluate("window.same = true")
        older = reads.page.get_attribute("body", "data-version")
        types.page.locator("#q").type("half a wo")
        expect(reads.page.locator("#live.on")).to_be_visible(timeout=SOON)
        child.send_signal(signal.SIGTERM)
        child.wait(WITHIN)
    with served(stage.url, stage.prefix, "--write", "--port", port, PYTHONPATH=path):
        expect(reads.page.locator("body")).not_to_have_attribute(
            "data-version", older or "", timeout=SOON
        )
        expect(reads.page.locator("#live.on")).to_be_visible(timeout=SOON)
        assert reads.page.evaluate("window.same") is None
        # What is typed stays, until it is left.
        expect(types.page.locator("#live.on")).to_be_visible(timeout=SOON)
        assert types.page.evaluate("window.same") is True
        assert types.page.input_value("#q") == "half a wo"
        types.page.locator("#q").blur()
        expect(types.page.locator("body")).not_to_have_attribute(
            "data-version", older or "", timeout=SOON
        )
        for tab in (reads, types):
            tab.page.goto("about:blank")
