"""Every route and every role: made of the table of pages and acts, so that none can be forgotten."""

from __future__ import annotations

import re

import httpx
import pytest

from rediq_trio.web.site.all_pages import ACTS, PAGES
from rediq_trio.web.site.page import Act, Page, Right
from tests.web_page.visiting import visiting

SAMPLES = {
    "id": "0123456789abcdef",
    "id:path": "emails/0123456789abcdef",
    "queue": "emails",
    "name": "nightly",
    "state": "dead",
}
"""Values for the variable parts of paths; others are "x"."""
REFUSED = "this needs the right to"


def sample(path: str) -> str:
    """Return a path that a pattern matches."""
    return re.sub(r"\{(\w+(:\w+)?)\}", lambda found: SAMPLES.get(found[1], "x"), path)


def is_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and REFUSED in answer.text.lower()


@pytest.mark.parametrize(
    "page", sorted(PAGES, key=lambda page: page.path), ids=lambda page: page.path
)
async def test_a_page_is_shown_to_those_who_may_see_it_only(page: Page) -> None:
    for right in Right:
        async with visiting(right) as browser:
            answer = await browser.get(sample(page.path))
            if right is Right.NONE:
                assert answer.status_code == 403
                continue
            assert is_refused(answer) is (right < page.need), right
            assert answer.status_code < 500, (right, answer.text)


@pytest.mark.parametrize("act", sorted(ACTS, key=lambda act: act.path), ids=lambda act: act.path)
async def test_an_act_is_done_and_asked_for_those_who_may_do_it_only(act: Act) -> None:
    for right in Right:
        async with visiting(right) as browser:
            posted = await browser.post(sample(act.path), data={})
            asked = await browser.get(sample(act.path))
            if right is Right.NONE:
                assert (posted.status_code, asked.status_code) == (403, 403)
                continue
            assert is_refused(posted) is (right < act.need), right
            assert posted.status_code < 500, (right, posted.text)
            if act.ask is not None and act.path not in {page.path for page in PAGES}:
                assert is_refused(asked) is (right < act.need), right
            assert asked.status_code < 500, (right, asked.text)


@pytest.mark.parametrize("act", sorted(ACTS, key=lambda act: act.path), ids=lambda act: act.path)
async def test_an_act_needs_more_than_the_right_to_look(act: Act) -> None:
    assert act.need > Right.LOOK


async def test_an_act_is_not_done_for_a_form_of_another_site() -> None:
    async with visiting() as browser:
        for act in ACTS:
            other = {"Sec-Fetch-Site": "cross-site"}
            answer = await browser.post(sample(act.path), data={}, headers=other)
            assert answer.status_code == 403
            assert "another site" in answer.text


def test_each_route_is_there_once() -> None:
    for table in (PAGES, ACTS):
        paths = [route.path for route in table]
        assert len(paths) == len(set(paths))
