"""Only forms of the site itself change something."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from starlette.datastructures import Headers

from rediq_trio.web.access.csrf import check_origin
from rediq_trio.web.site.page import Refused

HOST = {"Host": "ops.example.com:8080"}


@pytest.mark.parametrize(
    "given",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://elsewhere.example.com"},
        {"Origin": "http://ops.example.com:8080"},
        {"Origin": "http://OPS.example.com:8080"},
        {"Authorization": "Bearer something"},
    ],
)
def test_a_form_of_the_site_is_taken(given: Mapping[str, str]) -> None:
    check_origin(Headers({**HOST, **given}))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "does not say"),
        ({"Sec-Fetch-Site": "cross-site"}, "another site"),
        ({"Sec-Fetch-Site": "same-site"}, "another site"),
        ({"Sec-Fetch-Site": "none"}, "another site"),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://ops.example.com:8080"}, "another site"),
        ({"Origin": "null"}, "another site"),
        ({"Origin": "http://ops.example.com"}, "another site"),
        ({"Origin": "http://ops.example.com:8080.evil.example"}, "another site"),
        ({"Origin": "file://ops.example.com:8080"}, "another site"),
        ({"Origin": "http://ops.example.com:8080@evil.example"}, "another site"),
        ({"Referer": "http://ops.example.com:8080/queues"}, "does not say"),
        ({"Authorization": "Basic YWRhOng="}, "does not say"),
    ],
)
def test_what_comes_from_elsewhere_or_nowhere_is_refused(
    given: Mapping[str, str], why: str
) -> None:
    with pytest.raises(Refused, match=why) as caught:
        check_origin(Headers({**HOST, **given}))
    assert caught.value.status == 403
