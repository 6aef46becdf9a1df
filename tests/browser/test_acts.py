"""Each act of every page is done by mouse, and again by keys alone."""

from __future__ import annotations

import re
from contextlib import ExitStack

import httpx
import pytest
import trio
from playwright.sync_api import Browser, Locator, Page, expect

import rediq_trio as rediq
from rediq_trio.web.site.all_pages import ACTS
from tests.browser.acting import TABLE, Play, Scene
from tests.browser.stage import WITHIN, Stage, opened_context, watch

pytestmark = pytest.mark.slow

SOON = WITHIN * 1000
TABS = 400
"""Presses of Tab until which what is looked for must have had the focus."""
BUTTONS = (
    'main form[action="{0}"] button, main button[formaction="{0}"], main a[href="{0}"],'
    ' main a[href^="{0}?"]'
)
ANSWER = 'main .sheet form button:not([type="button"])'


def test_each_act_has_a_scene() -> None:
    assert {act.path for act in ACTS} == set(TABLE)


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(TABS):
        if wanted.evaluate("each => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


def press(page: Page, wanted: Locator, way: str) -> None:
    if way == "mouse":
        wanted.click()
    else:
        reach(page, wanted)
        page.keyboard.press("Enter")


def type_in(page: Page, field: Locator, text: str, way: str) -> None:
    if way == "mouse":
        field.fill(text)
        return
    reach(page, field)
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)


def answer(page: Page, scene: Scene, queue: str, way: str) -> None:
    """Fill in what is asked, and send it."""
    for name, fill in scene.fills.items():
        field = page.locator(f'main .sheet [name="{name}"]:not([type="hidden"])')
        text = fill(field.input_value()) if callable(fill) else fill.replace("{queue}", queue)
        type_in(page, field, text, way)
    press(page, page.locator(ANSWER), way)


@pytest.mark.parametrize("way", ["mouse", "keys"])
@pytest.mark.parametrize("path", sorted(TABLE))
def test_it_is_done(browser: Browser, stage: Stage, path: str, way: str) -> None:
    scene = TABLE[path]
    queue = f"acts-{way}-{sorted(TABLE).index(path)}"

    async def prepared(stack: ExitStack) -> tuple[str, str]:
        async with rediq.connect(stage.url, key_prefix=stage.prefix) as client:
            shown, target = await scene.prepare(Play(client, stage, queue, stack))
        # What the page shows is at most a second old.
        async with httpx.AsyncClient(base_url=stage.site, timeout=WITHIN) as asking:
            with trio.fail_after(WITHIN):
                while (await asking.get(shown)).status_code != 200:
                    await trio.sleep(0.1)
        return shown, target

    with ExitStack() as stack:
        shown, target = trio.run(prepared, stack)
        tab = watch(stack.enter_context(opened_context(browser)))
        tab.go(stage.site + shown)
        button = tab.page.locator(BUTTONS.format(target)).first
        asks = button.evaluate("each => each.nodeName === 'A' || each.form.method === 'get'")
        press(tab.page, button, way)
        if asks:
            tab.page.wait_for_url(f"**{target}*", timeout=SOON)
            answer(tab.page, scene, queue, way)
        said = tab.page.locator("#stacks" if path.endswith("/stacks") else "#toast")
        expect(said).to_contain_text(re.compile(scene.says, re.DOTALL), timeout=SOON)
        # What was removed may be asked for once more, by the tick that came meanwhile.
        assert [line for line in tab.heard if "status of 404" not in line] == []
