"""Orders to a worker, as they are packed: a name and at most one number.

Whoever adds an order adds a name. A worker that does not know it answers that it does not.
"""

from __future__ import annotations

import math
from typing import Any, cast

from rediq_trio._errors import PayloadError
from rediq_trio.wire.packing import UNPACK_ERRORS, pack, unpack

ORDER_NAME_MAX = 40
"""Maximum characters of an order's name that a worker looks at."""
_ORDER_ERRORS: tuple[type[Exception], ...] = (*UNPACK_ERRORS, AttributeError)


def pack_order(name: str, seconds: float | None = None) -> bytes:
    """Pack an order; `seconds` is the grace of a stop, None for that of the worker."""
    return pack([name, seconds])


def read_order(packed: bytes) -> tuple[str, float | None]:
    """Return the name of an order and its seconds; raise `PayloadError` if it cannot be read."""
    try:
        found: Any = unpack(packed)
        name, seconds = cast("list[Any]", found)[:2]
        if not isinstance(name, str):
            raise TypeError
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError
    except _ORDER_ERRORS as error:
        raise PayloadError("the order cannot be decoded") from error
    return name[:ORDER_NAME_MAX], None if seconds is None else float(seconds)
