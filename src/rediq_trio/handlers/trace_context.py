"""The trace that a task belongs to, by the W3C header that its producer put into the metadata.

The header is `traceparent`, see https://www.w3.org/TR/trace-context/#traceparent-header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TRACEPARENT = "traceparent"
"""The key of the header in a task's metadata."""
_HEADER = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id_of(metadata: Mapping[str, str]) -> str | None:
    """Return the id of the trace, 32 hexadecimal digits; None without a valid header."""
    header = metadata.get(TRACEPARENT)
    found = None if header is None else _HEADER.match(header)
    if header is None or found is None:
        return None
    # Versions after 00 may append fields, each after a dash.
    rest = header[found.end() :]
    valid = not rest or (rest.startswith("-") and not header.startswith("00"))
    return found[1] if valid else None
