"""What is read of a request, with bounds on its size and its time."""

from __future__ import annotations

from contextlib import aclosing
from urllib.parse import parse_qsl

import trio
from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect, Request

from rediq_trio.web.site.page import Fields, Refused

BODY_MAX = 1024 * 1024
"""Bytes of a form."""
BODY_TIMEOUT = 10.0
"""Seconds in which a form must have arrived."""
FIELDS_MAX = 20_000
"""Fields of a form."""


async def read_form(request: Request) -> Fields:
    """Return the fields of a form; raise `Refused` for one that is too large, too slow or no form."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > BODY_MAX:
        raise _too_large()
    body = bytearray()
    try:
        with trio.fail_after(BODY_TIMEOUT):
            async with aclosing(request.stream()) as parts:
                async for part in parts:
                    body += part
                    if len(body) > BODY_MAX:
                        raise _too_large()
    except trio.TooSlowError:
        raise Refused(
            f"the form did not arrive within {BODY_TIMEOUT:g} s", "Send it again.", 408
        ) from None
    except ClientDisconnect:
        raise Refused("the browser closed the connection before the form had arrived") from None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/x-www-form-urlencoded":
        raise Refused(f"the body is {kind or 'of no type'}, and must be a form", status=415)
    try:
        fields = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError as error:  # not UTF-8, or too many
        raise Refused(f"the form cannot be read: {error}") from None
    return ImmutableMultiDict(fields)


def _too_large() -> Refused:
    why = f"the form is larger than {BODY_MAX:,} bytes"
    return Refused(why, "Select fewer, or all that match a filter.", 413)
