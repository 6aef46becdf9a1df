"""The words of `values.words`, for the tools that show what is observed."""

from rediq_trio.values.words import (
    count,
    counted,
    duration,
    instant,
    ordinal,
    percent,
    rate,
    read_duration,
    relative,
    share,
    shown,
    size,
    when,
)

__all__ = [
    "count",
    "counted",
    "duration",
    "instant",
    "ordinal",
    "percent",
    "rate",
    "read_duration",
    "relative",
    "share",
    "shown",
    "size",
    "when",
]
