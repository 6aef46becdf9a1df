"""FilterOptions: by what the tasks of a queue are chosen, as a user passes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, TypedDict

from rediq_trio.values.bounds import Duration


class FilterOptions(TypedDict, total=False):
    """What `Queue.find` and `Queue.select` test; what is left out is not tested."""

    type: str
    """The whole name of the type; of a batch, that of its members."""
    error: str
    """A part of the error's text, 1 to 1,000 characters."""
    kind: str
    """The kind of failure of its last attempt, as `Queue.failures` names it."""
    metadata: Mapping[str, str]
    """Entries that it has among its metadata."""
    limit_key: str
    priority: int
    older_than: Duration | dt.datetime
    """Its age, or an aware datetime: since its end, or since its enqueue if it has not ended."""
    younger_than: Duration | dt.datetime
    payload: str | tuple[str, Any]
    """A part of a text in the payload, or a path such as `"user.id"` and the value that is there."""
