"""Options of a handler for tasks whose producers left them unset.

They are those that matter only after a claim: before, no queue knows the handler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from rediq_trio.tasks.prepare import retention_ms
from rediq_trio.values.backoff import Backoff


@attrs.frozen(kw_only=True)
class HandlerOptions:
    """The options that a handler was registered with; None for those that it leaves unset too."""

    timeout: float | None
    backoff: Backoff | None
    max_retry: int | None
    retention_ms: int | None


def handler_options(options: Mapping[str, Any]) -> HandlerOptions | None:
    """Return the options of a handler that apply after a claim; None if it sets none of them."""
    retention = options.get("retention")
    found = HandlerOptions(
        timeout=options.get("timeout"),
        backoff=options.get("backoff"),
        max_retry=options.get("max_retry"),
        retention_ms=None if retention is None else retention_ms(retention),
    )
    return found if any(value is not None for value in attrs.astuple(found)) else None
