from __future__ import annotations

import pytest

from rediq_trio.handlers.trace_context import trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize("header", [f"00-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-00-more"])
def test_the_trace_is_that_of_the_header(header: str) -> None:
    assert trace_id_of({"traceparent": header, "other": "x"}) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "", "x", TRACE, f"00-{TRACE}", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n", f"cc-{TRACE}-{SPAN}-01more",
    ],
)  # fmt: skip
def test_a_header_that_is_not_valid_names_no_trace(header: str) -> None:
    assert trace_id_of({"traceparent": header}) is None


def test_without_a_header_there_is_no_trace() -> None:
    assert trace_id_of({}) is None
